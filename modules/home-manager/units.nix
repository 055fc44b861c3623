# The units beside the containers: what looks, keeps, proves and tells when nobody is there.
{ config, lib, ... }:
let
  cfg = config.services.aidb;
  podman = config.services.podman;
  inherit ((import ../../nix/lib { inherit lib; })) hooks text;
  inherit (hooks) tools;

  enabled = lib.filterAttrs (_: guard: guard.enable) cfg.guards;

  # Guards of units that are not in services.podman, by unit.
  foreign = lib.mapAttrs (_: lib.listToAttrs) (
    lib.groupBy (guard: guard.value.unit) (
      lib.attrsToList (
        lib.filterAttrs (_: guard: guard.unit != null && !cfg.internal.containers ? ${guard.container}) enabled
      )
    )
  );

  # Every unit by which Home Manager calls Podman: the first Podman command after a power cut deletes the old layers.
  podmanUnits = lib.optionals podman.enable (
    map (name: "podman-${name}.service") (
      lib.attrNames podman.containers
      ++ map (name: "${name}-network") (lib.attrNames podman.networks)
      ++ map (name: "${name}-volume") (lib.attrNames podman.volumes)
      ++ map (name: "${name}-image") (lib.attrNames podman.images)
      ++ map (name: "${name}-build") (lib.attrNames podman.builds)
    )
    ++ [ "podman-auto-update.service" ]
  );

  # A unit of ours that is at work goes on during a switch; its new text counts from the next start.
  unit =
    description: section:
    {
      Description = "aidb: ${description}";
      "X-SwitchMethod" = "keep-old";
    }
    // section;

  # What systemd's user manager can shut in (system calls, folders, devices) also takes away newuidmap's privileges, and
  # with them Podman and the files of sub-uids. What is left: modest, private, and the first to go when memory is short.
  modest = {
    UMask = "0077";
    OOMScoreAdjust = 500;
  };
  background = modest // {
    Slice = "background.slice";
    CPUWeight = 20;
    IOWeight = 20;
    Nice = 10;
    IOSchedulingClass = "idle";
  };

  timer = description: timer: {
    Unit.Description = "aidb: ${description}";
    Timer = timer;
    Install.WantedBy = [ "timers.target" ];
  };

  # A path as one argument of a unit's line; `~/` is the home folder there, too.
  path =
    text:
    ''"${lib.replaceStrings [ "%" "\\" "\"" "$" ] [ "%%" "\\\\" "\\\"" "$$" ] (
      if lib.hasPrefix "~" text then config.home.homeDirectory + lib.removePrefix "~" text else text
    )}"'';

  # Statuses that are an answer or come right by themselves: 1 was said by the tool, 4 is busy.
  answered = "1 4";

  # The tools know the companion of `a@b.service` as `aidb-check-a@b.service`.
  stemOf = lib.removeSuffix ".service";

  companions = lib.concatMapAttrs (
    of: guards:
    let
      names = lib.attrNames guards;
      # Neither looks at, nor keeps, the empty folder below a mount that is not there yet.
      RequiresMountsFor = map text.unitPath (cfg.internal.dataOf guards);
    in
    {
      # Looks before the unit starts; a hold fails the unit's start by dependency.
      "aidb-check-${stemOf of}" = {
        Unit = unit "the data of ${of} before its start" {
          inherit RequiresMountsFor;
          Before = [ of ];
          StartLimitIntervalSec = 0;
          # The unit itself has not failed: its start waits for this one. The alert is about it.
          OnFailure = [ "aidb-alert@${of}.service" ];
        };
        Service = modest // {
          Type = "oneshot";
          # Any start job of a unit that is up pulls this one in again, and nothing is to be moved under an application.
          ExecCondition = "/bin/sh -c '! ${config.systemd.user.systemctlPath} --user --quiet is-active ${of}'";
          # A held start gives this unit's job back.
          Environment = [ "PODMAN_SYSTEMD_UNIT=${of}" ];
          ExecStart =
            cfg.internal.prepareOf guards
            ++ [ (hooks.check names) ]
            ++ lib.concatLists (
            lib.mapAttrsToList (
              guard: g: lib.mapAttrsToList (store: folder: hooks.migrate guard store "${folder}") g.migrations
            ) guards
          );
        };
        Install.RequiredBy = [ of ];
      };
      # Stops before the unit does, with its application still up; after a crash, with everything at rest.
      "aidb-keep-${stemOf of}" = {
        Unit = unit "a snapshot when ${of} stops" {
          inherit RequiresMountsFor;
          BindsTo = [ of ];
          After = [ of ];
          Wants = [ (hooks.verify of) ];
          OnSuccess = [ hooks.prove ];
        };
        Service = modest // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStop = hooks.keep names;
          TimeoutStopSec = 60;
        };
        Install.WantedBy = [ of ];
      };
    }
  ) foreign;
in
{
  config = lib.mkIf cfg.enable {
    services.aidb.internal = {
      inherit foreign;
      companionOf = unit: "aidb-keep-${stemOf unit}.service";
    };

    systemd.user.services = {
      # Ends with its container, is not run for a start that is held, and never keeps the manager from being up.
      "aidb-verify@" = {
        Unit = unit "did %i come up with its data?" {
          BindsTo = [ "%i.service" ];
          After = [ "%i.service" ];
          StartLimitIntervalSec = 0;
          # The alert is about the container.
          OnFailure = [ "aidb-alert@%i.service.service" ];
          # What was kept before, by the switch that installs us among others, when no stop of a container asked for its proof.
          OnSuccess = [ hooks.prove ];
        };
        Service = background // {
          Type = "exec";
          ExecStart = "${tools}/aidb-init-verify --unit %i.service";
        };
      };

      "aidb-alert@" = {
        Unit = unit "%i failed" { };
        Service = modest // {
          Type = "oneshot";
          ExecStart = "${tools}/aidb-monitor alert --unit %i";
        };
      };

      aidb-prove = {
        Unit = unit "open and check the snapshots that nobody has proven yet" {
          # A crash loop asks for it at every turn.
          StartLimitIntervalSec = 0;
        };
        Service = background // {
          Type = "oneshot";
          ExecStart = "${tools}/aidb-snapshot prove";
          SuccessExitStatus = answered;
        };
      };

      # Before any Podman command of this boot.
      aidb-rescue = lib.mkIf (cfg.internal.stack.guards != { }) {
        Unit = unit "what containers wrote outside of their volumes before a power cut" {
          Before = podmanUnits ++ lib.attrNames foreign;
        };
        Service = modest // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "-${tools}/aidb-snapshot rescue";
          TimeoutStartSec = 60;
        };
        Install.WantedBy = [ "default.target" ];
      };

      aidb-backup = lib.mkIf cfg.backup.enable {
        Unit = unit "a snapshot of everything" { OnFailure = [ hooks.alert ]; };
        Service = background // {
          Type = "oneshot";
          ExecStart = [
            "${tools}/aidb-snapshot take --reason timer"
            "${tools}/aidb-snapshot prove"
          ];
          SuccessExitStatus = answered;
        };
      };

      aidb-monitor = lib.mkIf cfg.monitor.enable {
        Unit = unit "what changed while nobody looked?" { };
        Service = background // {
          Type = "oneshot";
          ExecStart = [
            "${tools}/aidb-monitor check"
          ]
          ++ lib.optional (cfg.monitor.metrics != null) "${tools}/aidb-monitor metrics --to ${path cfg.monitor.metrics}"
          ++ lib.optional (cfg.monitor.report != null) "${tools}/aidb-monitor report --to ${path cfg.monitor.report}";
          SuccessExitStatus = answered;
        }
        # The exporter that serves the metrics is another user.
        // lib.optionalAttrs (cfg.monitor.metrics != null) { UMask = "0022"; };
      };

      aidb-archive = lib.mkIf cfg.archive.enable {
        Unit = unit "the independent copy" { OnFailure = [ hooks.alert ]; };
        Service = background // {
          Type = "oneshot";
          ExecStart = [
            "${tools}/aidb-snapshot archive"
          ]
          ++ lib.optional cfg.archive.readAll "${tools}/aidb-snapshot verify --read-all";
          SuccessExitStatus = "4";
        };
      };
    }
    // companions;

    systemd.user.timers = {
      aidb-backup = lib.mkIf cfg.backup.enable (
        timer "a snapshot of everything" (
          {
            OnCalendar = cfg.backup.onCalendar;
            Persistent = cfg.backup.persistent;
            RandomizedDelaySec = cfg.backup.randomizedDelay;
          }
          // lib.optionalAttrs (cfg.backup.onBoot != null) { OnBootSec = cfg.backup.onBoot; }
        )
      );
      aidb-monitor = lib.mkIf cfg.monitor.enable (
        timer "what changed while nobody looked?" {
          OnCalendar = cfg.monitor.onCalendar;
          OnBootSec = "10min";
        }
      );
      aidb-archive = lib.mkIf cfg.archive.enable (
        timer "the independent copy" {
          OnCalendar = cfg.archive.onCalendar;
          Persistent = true;
          RandomizedDelaySec = "1h";
        }
      );
    };
  };
}
