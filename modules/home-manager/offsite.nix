# Off-site copies are restic's: it gets the newest proven snapshot of every guard, as plain folders.
{ config, lib, ... }:
let
  cfg = config.services.aidb;
  folder = lib.escapeShellArg cfg.offsite.folder;
in
{
  config = lib.mkIf (cfg.enable && cfg.offsite.enable) {
    # A switch in the middle of the night does not end a backup that is at work.
    systemd.user.services.restic-backups-aidb.Unit."X-SwitchMethod" = "keep-old";

    services.restic = {
      enable = lib.mkDefault true;
      backups.aidb = {
        # A real folder at a constant path: of a link restic would keep the link alone, and by another path it would not
        # find its last run.
        paths = [ cfg.offsite.folder ];
        initialize = lib.mkDefault true;
        backupPrepareCommand = ''
          rm -rf -- ${folder}
          ${lib.getExe' cfg.package "aidb-snapshot"} --config ${cfg.internal.checked} restore --all --to ${folder}
        '';
        backupCleanupCommand = "rm -rf -- ${folder}";
        timerConfig = lib.mkDefault {
          OnCalendar = "daily";
          Persistent = true;
          RandomizedDelaySec = "1h";
        };
      };
    };
  };
}
