# The options: types, defaults, examples, descriptions. What they do is in the files beside this one.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  aidb = import ../../nix/lib { inherit lib; };
  json = (pkgs.formats.json { }).type;

  # A path on the host as a text: a Nix path would be copied to the store, and the copy guarded.
  hostPath =
    let
      # As quadlets write the home folder.
      written = types.strMatching "%h/.*";
    in
    types.coercedTo written (path: "~" + lib.removePrefix "%h" path) (types.strMatching "~?/.*")
    // {
      description = "absolute path as a text (`~/` or `%h/` is the home folder)";
    };
  containerName = types.strMatching "[a-zA-Z0-9][a-zA-Z0-9_.-]*" // {
    description = "container name (a letter or digit, then letters, digits, `_`, `.`, `-`)";
  };
  unless = type: default: description: example:
    mkOption {
      type = types.nullOr type;
      default = null;
      defaultText = lib.literalMD default;
      inherit description example;
    };
  calendar = default: what: mkOption {
    type = types.str;
    inherit default;
    example = "*-*-* 03:30";
    description = "When ${what}, as a calendar event of systemd (systemd.time(7)).";
  };

  storeOptions.options = {
    kind = unless (types.enum [
      "sqlite"
      "chroma"
      "ollama"
      "qdrant"
      "files"
    ]) "the preset's" "Which application's format the store has." "sqlite";
    path =
      unless types.str "the preset's"
        "Where the store is, relative to the data folder; `.` is the folder itself."
        "webui.db";
    optional =
      unless types.bool "the preset's, else false"
        "Whether a healthy folder may lack the store."
        true;
    contract = mkOption {
      type = types.attrsOf json;
      default = { };
      example = {
        tables = [
          "user"
          "note"
        ];
        neverShrink = [ "user" ];
        maxShrinkPercent.note = 50;
      };
      description = ''
        What a healthy store shows, key by key over the preset's: `tables`, `tablesWhen`, `neverShrink`,
        `maxShrinkPercent`, `revision`, `knownRevisions`, `halfMigrated`, `migrationTables`, `identity`, `foreignKeys`,
        `files`. An empty list takes a key of the preset away. The build checks it.
      '';
    };
  };

  guardOptions =
    { name, ... }:
    {
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          example = false;
          description = "Whether this folder is guarded. `false` leaves a container that the catalog knows alone.";
        };
        container = mkOption {
          type = containerName;
          default = name;
          defaultText = lib.literalMD "the guard's name";
          example = "open-webui";
          description = "The container that has the folder; several guards may name one container.";
        };
        unit =
          unless (types.strMatching "[a-zA-Z0-9:_.@-]+\\.service" // { description = "name of a unit (letters, digits, `:_.@-`) that ends in `.service`"; })
            "`podman-CONTAINER.service` for a container of `services.podman.containers`"
            ''
              The user unit that runs the application, for one that is not in `services.podman.containers` (quadlet-nix,
              compose2nix, a unit of your own). Its text stays as it is: a companion unit looks at the data before it
              starts, and keeps a snapshot when it stops.
            ''
            "paperless.service";
        data =
          unless hostPath "derived from the container's volumes" "The data folder on the host."
            "/home/alice/ai/open-webui";
        mount =
          unless (types.strMatching "/.*") "derived from the container's volumes"
            "Where the container sees the data folder."
            "/app/backend/data";
        preset =
          unless (types.enum aidb.catalog.names) "derived from the container's image"
            "The known application that supplies stores, contracts and excludes."
            "open-webui";
        exclude =
          unless (types.listOf types.str) "the preset's"
            "What is not kept: glob patterns relative to the data folder, in place of the preset's."
            [ "cache/**" ];
        stores = mkOption {
          type = types.attrsOf (types.nullOr (types.submodule storeOptions));
          default = { };
          example = {
            notes = {
              kind = "sqlite";
              path = "notes.db";
              contract.tables = [ "note" ];
            };
          };
          description = "The data stores inside the folder, over the preset's; `null` takes one of those away.";
        };
        policy = mkOption {
          default = { };
          example.uninitialised = "hold";
          description = "What a start does about what is found.";
          type = types.submodule {
            options = {
              uninitialised = unless (types.enum [
                "quarantine"
                "hold"
                "warn"
              ]) "`quarantine`" "About a database that never held a table." "hold";
              missing = unless (types.enum [
                "hold"
                "warn"
              ]) "`hold`" "About a store that is gone although data of it is known." "warn";
              damaged = unless (types.enum [
                "hold"
                "restore"
                "warn"
              ]) "`hold`" "About a store that cannot be read as what it is." "restore";
              shrunken = unless (types.enum [
                "hold"
                "warn"
              ]) "`warn`" "About lost rows, or another database than before." "hold";
              mount = unless (types.enum [
                "hold"
                "warn"
              ]) "`hold`" "About a data path that is not the mount it should be." "warn";
            };
          };
        };
        prepare = mkOption {
          type = types.listOf (types.strMatching "[^\n]+" // { description = "command on one line"; });
          default = [ ];
          example = [ "/usr/bin/systemctl --user start open-vault.service" ];
          description = ''
            Commands that make the folder reachable (an encrypted one is opened, a disk mounted), as `ExecStartPre=` has
            them. They run before the check, which otherwise comes before every `ExecStartPre=` of your own and would look
            at the empty folder below; one that fails keeps the application from starting.
          '';
        };
        migrations = mkOption {
          type = types.attrsOf (types.either types.path hostPath);
          default = { };
          example = lib.literalExpression "{ aidb = ./migrations; }";
          description = ''
            Folders of migrations (`NNNN_name.sql`, one transaction each), by store. They run before the container
            starts, after a snapshot was proven; one that fails holds the start.
          '';
        };
      };
    };
in
{
  options.services.aidb = {
    enable = lib.mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether to protect the data of containers; this starts no application, not even one named AIDB. Every
        container of `services.podman.containers` whose image is known is guarded: its data is looked at before a start,
        kept before a stop and before a switch, and once a day.
      '';
    };

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ../../nix/package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./nix/package.nix { }";
      example = lib.literalExpression "inputs.aidb.packages.\${pkgs.stdenv.hostPlatform.system}.default";
      description = "The tools. Units call them by a link beside the settings, so another package restarts nothing.";
    };

    vault = mkOption {
      type = hostPath;
      default = "${config.xdg.dataHome}/aidb-vault";
      defaultText = lib.literalExpression ''"''${config.xdg.dataHome}/aidb-vault"'';
      example = "/home/alice/.vault";
      description = ''
        The folder of snapshots. On the filesystem of the data (its default place usually is), what did not change costs
        no space.
      '';
    };

    state = mkOption {
      type = hostPath;
      default = "${config.xdg.stateHome}/aidb";
      defaultText = lib.literalExpression ''"''${config.xdg.stateHome}/aidb"'';
      example = "/home/alice/.local/state/aidb";
      description = "The folder of the ledger: what was seen, kept and said.";
    };

    keep =
      let
        count =
          default: what:
          mkOption {
            type = types.ints.positive;
            inherit default;
            example = default * 2;
            description = "How many distinct snapshots of each guard are kept, ${what}.";
          };
      in
      {
        last = count 3 "the newest ones";
        daily = count 7 "one a day";
        weekly = count 4 "one a week";
        monthly = count 3 "one a month";
        archives = mkOption {
          type = types.ints.positive;
          default = 2;
          example = 8;
          description = "How many independent copies (`archive`) of each guard are kept, the newest ones.";
        };
      };

    gate = mkOption {
      type = types.enum [
        "hold"
        "warn"
      ];
      default = "hold";
      example = "warn";
      description = ''
        Whether a switch that would restart a container whose data is not fit is refused before anything changes
        (`hold`), or only commented on (`warn`). `AIDB_GATE=warn home-manager switch` is the same for one switch.
      '';
    };

    guards = mkOption {
      type = types.attrsOf (types.submodule guardOptions);
      default = { };
      defaultText = lib.literalMD "derived from `services.podman.containers`";
      example = lib.literalExpression ''
        {
          # A container that was guarded anyway: this changes one thing about it.
          open-webui.policy.damaged = "restore";
          # A folder that nobody knows.
          notes = {
            data = "/home/alice/notes";
            unit = "notes.service";
            stores.notes = { kind = "sqlite"; path = "notes.db"; };
          };
        }
      '';
      description = ''
        What is guarded, by name. A guard is named like its container (a second folder of one container: like the
        container, a dot, and the preset; a database that a variable has moved out of them: and the store), and those that can be derived are there without being written.
      '';
    };

    backup = {
      enable = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether a snapshot of every guard is taken by a timer, beside those of every stop and switch.";
      };
      onCalendar = calendar "daily" "the snapshots are taken";
      onBoot = mkOption {
        type = types.nullOr types.str;
        default = "5min";
        example = null;
        description = "How long after boot a snapshot is taken, too; `null` for not at all.";
      };
      persistent = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether a run that was missed while the machine was off is made up for.";
      };
      randomizedDelay = mkOption {
        type = types.str;
        default = "0";
        example = "15min";
        description = "By how much at most each run is delayed, at random.";
      };
    };

    monitor = {
      enable = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether everything is looked at by a timer and compared with what was known; news are told.";
      };
      onCalendar = calendar "hourly" "everything is looked at";
      metrics = mkOption {
        type = types.nullOr hostPath;
        default = null;
        example = "/var/lib/node-exporter/aidb.prom";
        description = "A file to which each run writes metrics, in Prometheus' text format; a node exporter serves it.";
      };
      report = mkOption {
        type = types.nullOr hostPath;
        default = null;
        example = "/home/alice/aidb.html";
        description = "A file to which each run writes a page: verdicts, curves, snapshots.";
      };
    };

    alert = {
      desktop = unless types.bool "true" "Whether news are shown as notifications on the desktop." false;
      command =
        unless (types.nonEmptyListOf types.str) "none"
          ''
            A program (absolute) and its arguments, run when there is news; it reads one JSON document with `alerts`: what
            happened (`event`), to which guard, why, and what to do next. What no way could tell is told at the next look.
          ''
          [
            "/home/alice/bin/tell-me"
            "--subject"
            "aidb"
          ];
      quietHours =
        unless (types.ints.between 0 8760) "24"
          "For how many hours the return of something that was told is not told again; of a held start one hour at most."
          6;
    };

    archive = {
      enable = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = ''
          Whether one proven snapshot of every guard is written as an independent `.tar.xz` by a timer. Snapshots share
          blocks with the data: one bad sector can hit all of them.
        '';
      };
      onCalendar = calendar "weekly" "the archive is written";
      readAll = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether all snapshots are read back from the disk and compared with their hashes then, too.";
      };
    };

    offsite = {
      enable = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = ''
          Whether the newest proven snapshot of every guard is handed to `services.restic.backups.aidb`, which you give a
          repository and a password.
        '';
      };
      folder = mkOption {
        type = types.strMatching "/.*";
        default = "${config.xdg.cacheHome}/aidb-offsite";
        defaultText = lib.literalExpression ''"''${config.xdg.cacheHome}/aidb-offsite"'';
        example = "/home/alice/.cache/aidb-offsite";
        description = ''
          The folder that restic reads; it is made before each run and removed after it. Its path is part of the backup:
          another one makes restic read everything again.
        '';
      };
    };

    settings = mkOption {
      type = types.attrsOf json;
      default = { };
      example.programs.podman = "/usr/bin/podman";
      description = "What `stack.json` says and no option does: `programs`. The build checks it.";
    };

    internal = mkOption {
      type = types.lazyAttrsOf types.unspecified;
      default = { };
      internal = true;
      visible = false;
      description = "What the parts of the module tell each other.";
    };
  };
}
