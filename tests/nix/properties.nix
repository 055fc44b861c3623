# What holds whatever is written: laws of the module, each with the pairs that break it.
{
  lib,
  evaluate, # modules: { config; quadlets; }
  aidb, # the module
  examples, # name: file
}:
let
  with' = file: more: evaluate ([ aidb file ] ++ lib.toList more);
  without = file: evaluate [ file { options.services.aidb = lib.mkOption { type = lib.types.anything; }; } ];

  four = examples.four-containers;
  base = (with' four [ ]).quadlets;

  # Lines of ours in a quadlet.
  cut = text: lib.filter (line: !lib.any (ours: lib.hasInfix ours line) [ "aidb" "RestartMode" "SuccessExitStatus" "TimeoutStopSec" ]) (lib.splitString "\n" text);

  unchanging = {
    vault = { vault = "/srv/vault"; };
    state = { state = "/srv/state"; };
    keep = { keep.last = 9; };
    gate = { gate = "warn"; };
    "another package" = { package = { outPath = "/nix/store/00000000000000000000000000000000-aidb"; type = "derivation"; name = "aidb"; meta = { }; }; };
    policy = { guards.open-webui.policy.damaged = "restore"; };
    exclude = { guards.open-webui.exclude = [ "audio/**" ]; };
    stores = { guards.open-webui.stores.vectors = null; };
    "another folder's guard" = { guards.letters = { data = "/srv/letters"; }; };
    backup = { backup.onCalendar = "hourly"; };
    monitor = { monitor.metrics = "/srv/m.prom"; };
    archive = { archive.enable = false; };
    offsite = { offsite.enable = true; };
    settings = { settings.programs.podman = "/usr/bin/podman"; };
  };
in
{
  "disabled: the same quadlets as without the module" = lib.concatMap (
    name:
    let
      off = with' examples.${name} { services.aidb.enable = lib.mkForce false; };
    in
    lib.optional (off.quadlets != (without examples.${name}).quadlets) name
  ) (lib.attrNames examples);

  "disabled: the same units as without the module" =
    let
      off = with' four { services.aidb.enable = lib.mkForce false; };
      not = without four;
    in
    lib.optional (off.config.systemd.user.services != not.config.systemd.user.services) "services"
    ++ lib.optional (off.config.systemd.user.timers != not.config.systemd.user.timers) "timers";

  "an option changes no quadlet" = lib.concatLists (
    lib.mapAttrsToList (
      name: change: lib.optional ((with' four { services.aidb = change; }).quadlets != base) name
    ) unchanging
  );

  "a hook line changes where it must, and nowhere else" =
    let
      off = (with' four { services.aidb.guards.qdrant.enable = false; }).quadlets;
      more =
        (with' four {
          services.aidb.guards.more = {
            container = "qdrant";
            data = "/srv/more";
          };
        }).quadlets;
      changed = q: lib.filter (name: q.${name} != base.${name}) (lib.attrNames base);
    in
    lib.optional (changed off != [ "podman-qdrant.container" ]) "guard off: ${toString (changed off)}"
    ++ lib.optional (changed more != [ "podman-qdrant.container" ]) "second guard: ${toString (changed more)}"
    ++ lib.optional (!lib.hasInfix "--at start more qdrant ||" more."podman-qdrant.container") "second guard: not named";

  "what a user wrote is still there" = lib.concatMap (
    name:
    let
      on = (with' examples.${name} [ ]).quadlets;
      off = (without examples.${name}).quadlets;
    in
    lib.concatMap (
      quadlet: lib.optional (lib.subtractLists (cut on.${quadlet}) (cut off.${quadlet}) != [ ]) "${name}: ${quadlet}"
    ) (lib.attrNames off)
  ) (lib.attrNames examples);

  "a folder is the same one written with `%h/`, as quadlets write it, and with `~/`" =
    let
      stack = data: (with' four { services.aidb.guards.letters = { inherit data; container = "qdrant"; }; }).config.services.aidb.internal.stack;
    in
    lib.optional (stack "%h/letters" != stack "~/letters" || !(stack "%h/letters").guards ? letters) "not the same";

  # systemd forgets the lines before an empty one.
  "a user's reset takes no hook away" =
    let
      reset =
        (with' four {
          services.podman.containers.qdrant.extraConfig.Service = {
            ExecStartPre = [ "" "/bin/one" ];
            ExecStop = "";
            ExecStopPost = [ "/bin/two" "" ];
            SuccessExitStatus = "";
          };
        }).quadlets."podman-qdrant.container";
      alive =
        key:
        lib.foldl' (
          lines: line:
          if line == "${key}=" then
            [ ]
          else if lib.hasPrefix "${key}=" line then
            lines ++ [ line ]
          else
            lines
        ) [ ] (lib.splitString "\n" reset);
      lacks = key: ours: lib.optional (!lib.any (lib.hasInfix ours) (alive key)) "${key}: ${toString (alive key)}";
    in
    lacks "ExecStartPre" "aidb-precheck check"
    ++ lacks "ExecStartPre" "/bin/one"
    ++ lacks "ExecStop" "aidb-snapshot take"
    ++ lacks "ExecStopPost" "aidb-snapshot take"
    ++ lacks "SuccessExitStatus" "137 143";

  "hooks are on guarded containers, once, and on no others" = lib.concatMap (
    name:
    let
      on = with' examples.${name} [ ];
      of = lib.mapAttrsToList (_: g: g.container) (lib.filterAttrs (_: g: g.enable) on.config.services.aidb.guards);
      count = text: lib.length (lib.splitString "aidb-precheck check --at start" text) - 1;
    in
    lib.concatMap (
      container:
      lib.optional (
        count on.quadlets."podman-${container}.container" != (if lib.elem container of then 1 else 0)
      ) "${name}: ${container}"
    ) (lib.attrNames on.config.services.podman.containers)
  ) (lib.attrNames examples);

  "every option has a type, a default, an example and a description" = lib.concatMap (
    option:
    lib.concatMap (part: lib.optional (!option ? ${part}) "${option.name}: no ${part}") [
      "type"
      "default"
      "example"
      "description"
    ]
  ) (lib.filter (o: o.visible && !o.internal) (lib.optionAttrSetToDocList (with' four [ ]).options.services.aidb));

  "a start that a companion holds is told, about its unit, whose companion has the name that the tools know" =
    let
      of = "letters@home.service";
      services =
        (with' four {
          services.aidb.guards.letters = {
            unit = of;
            data = "/srv/letters";
          };
        }).config.systemd.user.services;
      check = services."aidb-check-letters@home" or { Unit.OnFailure = [ ]; };
    in
    lib.optional (check.Unit.OnFailure or [ ] != [ "aidb-alert@${of}.service" ]) (builtins.toJSON check);

  "a start with migrations has the time that they may take, or what the user gives it" =
    let
      limit =
        service:
        lib.filter (lib.hasPrefix "TimeoutStartSec=") (
          lib.splitString "\n"
            (with' four {
              services.aidb.guards.open-webui.migrations.chats = "/srv/migrations";
              services.podman.containers.open-webui.extraConfig.Service = service;
            }).quadlets."podman-open-webui.container"
        );
      ours = limit { };
      theirs = limit { TimeoutStartSec = 60; };
    in
    lib.optional (ours != [ "TimeoutStartSec=1800" ]) "ours: ${toString ours}"
    ++ lib.optional (theirs != [ "TimeoutStartSec=60" ]) "theirs: ${toString theirs}";

  "a unit waits for the mounts of its guards' folders: the quadlet by itself for those that it mounts, ours for the others" =
    let
      waits = text: lib.filter (lib.hasPrefix "RequiresMountsFor=") (lib.splitString "\n" text);
      quadlet = more: name: waits (with' four more).quadlets."podman-${name}.container";
      services =
        (with' four {
          services.aidb.guards.letters = {
            unit = "letters.service";
            data = "~/my letters";
          };
        }).config.systemd.user.services;
      compare = what: expected: found: lib.optional (expected != found) "${what}: expected ${toString expected}, found ${toString found}";
      letters = [ "\"/home/alice/my letters\"" ];
    in
    compare "a folder" [ ] (quadlet { } "qdrant")
    ++ compare "below a folder" [ ] (quadlet { services.aidb.guards.qdrant.data = "/home/alice/ai/qdrant/in"; } "qdrant")
    ++ compare "an argument" [ "RequiresMountsFor=/srv/50%%" ] (quadlet {
      services.podman.containers.argument = {
        image = "docker.io/n8nio/n8n";
        extraPodmanArgs = [ "-v" "/srv/50%%:/home/node/.n8n" ];
      };
    } "argument")
    ++ compare "a volume, beside what the user waits for" [ "RequiresMountsFor=/home/alice/.local/share/containers/storage/volumes/n/_data" "RequiresMountsFor=/mnt" ] (quadlet {
      services.podman.containers.named = {
        image = "docker.io/n8nio/n8n";
        volumes = [ "n:/home/node/.n8n" ];
        extraConfig.Unit.RequiresMountsFor = "/mnt";
      };
    } "named")
    ++ compare "the companion that looks" letters services.aidb-check-letters.Unit.RequiresMountsFor
    ++ compare "the companion that keeps" letters services.aidb-keep-letters.Unit.RequiresMountsFor;

  "what makes a folder reachable comes before the check, and what else the user does comes after it" =
    let
      open = "/usr/bin/open-vault";
      on = with' four {
        services.podman.containers.qdrant.extraConfig.Service.ExecStartPre = [ "" "/bin/own" ];
        services.aidb.guards = {
          qdrant.prepare = [ open ];
          letters = {
            unit = "letters.service";
            data = "/srv/letters";
            prepare = [ open ];
          };
        };
      };
      # Which of ours each line is.
      short = line: if lib.hasInfix "aidb-precheck check" line then "check" else line;
      pre = map (line: short (lib.removePrefix "ExecStartPre=" line)) (
        lib.filter (lib.hasPrefix "ExecStartPre=") (lib.splitString "\n" on.quadlets."podman-qdrant.container")
      );
      companion = map short on.config.systemd.user.services.aidb-check-letters.Service.ExecStart;
    in
    lib.optional (pre != [ "" open "check" "/bin/own" ]) "container: ${toString pre}"
    ++ lib.optional (companion != [ open "check" ]) "companion: ${toString companion}";

  "a variable in Podman's folder of volumes is expanded" =
    let
      found =
        (with' four {
          services.podman.settings.storage.storage.graphroot = "\${HOME}/disk/$USER";
          services.podman.containers.qdrant.volumes = lib.mkForce [ "q:/qdrant/storage" ];
        }).config.services.aidb.guards.qdrant.data;
    in
    lib.optional (found != "/home/alice/disk/alice/volumes/q/_data") found;

  "no unit names a store path of the tools" =
    lib.concatMap (
      name:
      let
        on = with' examples.${name} [ ];
        lines = lib.concatMap (
          unit: lib.concatMap (v: lib.toList v) (lib.attrValues (unit.Service or { }))
        ) (lib.attrValues (lib.filterAttrs (n: _: lib.hasPrefix "aidb-" n) on.config.systemd.user.services));
      in
      map (line: "${name}: ${toString line}") (
        lib.filter (line: lib.hasInfix "/nix/store" (toString line) && lib.hasInfix "/bin/aidb" (toString line) && !lib.hasInfix "%E/aidb/bin" (toString line)) lines
      )
    ) (lib.attrNames examples);
}
