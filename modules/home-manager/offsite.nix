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
          mkdir -p -m 700 -- ${folder}
          for guard in ${lib.escapeShellArgs (lib.attrNames cfg.internal.stack.guards)}; do
            # What has no proven snapshot yet does not keep the others from being handed over; the monitor says so.
            ${cfg.package}/bin/aidb-snapshot --config ${cfg.internal.checked} restore "$guard" --to ${folder}/"$guard" \
              || echo "aidb: no snapshot of $guard is handed over" >&2
          done
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
