# Off-site copies are restic's: it gets the newest proven snapshot of every guard, as plain folders.
{ config, lib, ... }:
let
  cfg = config.services.aidb;
  folder = lib.escapeShellArg cfg.offsite.folder;
  # Only a folder that a run made is taken away: whatever else stands at that path is somebody's.
  mark = ".made-by-aidb";
  clear = "if [ -e ${folder}/${mark} ]; then rm -rf -- ${folder}; fi";
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
          ${clear}
          mkdir -p -- "$(dirname -- ${folder})"
          rmdir -- ${folder} 2> /dev/null || true
          if ! mkdir -m 700 -- ${folder}; then
            echo "aidb: services.aidb.offsite.folder: expected a path that is free, found "${folder}" with something in it; choose another one, or take away what is there" >&2
            exit 1
          fi
          : > ${folder}/${mark}
          for guard in ${lib.escapeShellArgs (lib.attrNames cfg.internal.stack.guards)}; do
            # What has no proven snapshot yet does not keep the others from being handed over; the monitor says so.
            ${cfg.package}/bin/aidb-snapshot --config ${cfg.internal.checked} restore "$guard" --to ${folder}/"$guard" \
              || echo "aidb: no snapshot of $guard is handed over" >&2
          done
        '';
        backupCleanupCommand = clear;
        timerConfig = lib.mkDefault {
          OnCalendar = "daily";
          Persistent = true;
          RandomizedDelaySec = "1h";
        };
      };
    };
  };
}
