# What is said when a configuration is evaluated: errors where data would be lost, each with its way out, and warnings.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.aidb;
  podman = config.services.podman;
  aidb = import ../../nix/lib { inherit lib; };
  inherit (aidb) catalog derive host text;
  inherit (cfg.internal)
    folders
    containers
    odd
    foreign
    ;

  enabled = lib.filterAttrs (_: guard: guard.enable) cfg.guards;
  names = lib.attrNames enabled;
  option = name: "services.aidb.guards.${lib.strings.escapeNixIdentifier name}";
  ofPodman = name: "services.podman.containers.${lib.strings.escapeNixIdentifier name}";
  leave = name: "if losing it is fine, say `${option name}.enable = false;`";

  error = condition: message: {
    assertion = !condition;
    inherit message;
  };

  home = path: if lib.hasPrefix "~/" path then config.home.homeDirectory + lib.removePrefix "~" path else path;

  # Without a trailing slash and the like, so that paths compare.
  clean =
    path:
    let
      found = text.containerPath (home path);
    in
    if found == null then home path else found;

  # The container that was probably meant.
  near =
    name:
    let
      close = lib.filter (
        c:
        lib.hasInfix (lib.toLower name) (lib.toLower c)
        || lib.hasInfix (lib.toLower c) (lib.toLower name)
        || lib.strings.levenshteinAtMost 3 name c
        || lib.hasInfix (bare name) (bare c)
      ) (lib.attrNames containers);
      bare = n: lib.replaceStrings [ "-" "_" "." ] [ "" "" "" ] (lib.toLower n);
    in
    lib.optionalString (close != [ ]) "; did you mean ${lib.concatMapStringsSep " or " (c: ''"${c}"'') close}?";

  # The way out of data that nothing keeps.
  mend =
    name: folder:
    let
      volume = "write ${ofPodman folder.container}.volumes = [ \"${config.home.homeDirectory}/${name}:${folder.wanted}\" ]";
      isWholeHome = lib.any (all: lib.hasInfix "`${all}` begins" folder.why) [ "~" "~/" ];
    in
    if folder.wanted == null then
      "write an absolute path on a volume"
    else if lib.hasInfix "begins with `~`" folder.why && !isWholeHome then
      "write \${config.home.homeDirectory} in place of `~`"
    else if lib.hasInfix "has `..` in it" folder.why then
      "write the path without `..`"
    else if lib.hasInfix "has the option" folder.why then
      "take the option away"
    else if lib.hasInfix "is no volume of" folder.why then
      "declare it there, or ${volume}"
    else if folder.file != null then
      "${volume}, or take that variable away"
    else
      volume;

  lost = lib.mapAttrsToList (
    name: folder:
    error (folder.outcome == "lost" && enabled ? ${name} && enabled.${name}.data == null) (
      "${ofPodman folder.container}: nothing keeps "
      + (
        if folder.wanted == null then
          "its data"
        else if folder.file != null then
          "`${folder.wanted}`, where a variable has its database (`${folder.file}`)"
        else
          "`${folder.wanted}`, where its image has its data"
      )
      + ": ${folder.why}. "
      + lib.concatMapStrings (o: "(Not understood: ${o}.) ") odd.${folder.container}
      + "To keep it, ${mend name folder}; ${leave name}"
    )
  ) folders;

  # Folders that hold more than one application's data.
  isWide = data: text.isWithin (clean data) config.home.homeDirectory;
  wide = lib.mapAttrsToList (
    name: guard:
    error (guard.data != null && isWide guard.data)
      "${option name}.data: `${toString guard.data}` holds your whole home, and not this application's data alone. Give it a folder of its own, such as `${config.home.homeDirectory}/${name}`; ${leave name}"
  ) enabled;

  # What belongs to a guard's data and is mounted elsewhere, unless another guard has it: { name; folder; part; }.
  outside = lib.concatLists (
    lib.mapAttrsToList (
      name: folder:
      let
        isGuarded = part: part.host != null && lib.any (guard: guard.data != null && clean guard.data == part.host) (lib.attrValues enabled);
      in
      lib.optionals (folder.outcome == "kept" && enabled ? ${name} && enabled.${name}.data == folder.data) (
        map (part: { inherit name folder part; }) (lib.filter (part: !isGuarded part) folder.outside)
      )
    ) folders
  );
  partOf =
    {
      name,
      folder,
      part,
    }:
    let
      own = "services.aidb.guards.${lib.strings.escapeNixIdentifier "${name}.${baseNameOf part.at}"}";
    in
    "${ofPodman folder.container}: part of its data is at `${part.at}`, "
    + (if part.host == null then "which nothing keeps" else "in `${part.host}`")
    + ", and the snapshots of guard \"${name}\" (`${folder.data}`) lack it${lib.optionalString folder.isWhole ", so that none of them can be brought back alone"}. "
    + (
      if part.host == null then
        "Mount a folder there"
      else
        "Guard it, too: `${own} = { container = \"${folder.container}\"; data = \"${part.host}\"; mount = \"${part.at}\"; stores.files = { kind = \"files\"; path = \".\"; }; };`"
    )
    + ", or keep it below `${folder.mount}`${lib.optionalString folder.isWhole "; ${leave name}"}";
  isFatal = missing: missing.folder.isWhole || missing.part.host == null;
  incomplete = map (missing: error (isFatal missing) (partOf missing)) outside;

  gone = lib.mapAttrsToList (
    name: folder:
    error
      (
        folder.outcome == "kept"
        && folder.ephemeral != null
        && enabled ? ${name}
        && enabled.${name}.data == folder.data
      )
      "${ofPodman folder.container}: its data is in `${folder.data or ""}`, and `${toString (folder.ephemeral or "")}` does not outlive a boot. Mount a folder below ${config.home.homeDirectory}; ${leave name}"
  ) folders;

  misnamed = map (
    name:
    error (!text.isContainerName name) "services.aidb.guards: \"${name}\" is no name for a guard; write a letter or digit, then letters, digits, `_`, `.`, `-`, as for a container"
  ) names;

  whose = lib.mapAttrsToList (
    name: guard:
    let
      isThere = containers ? ${guard.container};
      unitOf = lib.removePrefix "podman-" (lib.removeSuffix ".service" (toString guard.unit));
    in
    if isThere then
      error (guard.unit != null && guard.unit != "podman-${guard.container}.service")
        "${option name}.unit: container \"${guard.container}\" is in services.podman.containers, where its unit is podman-${guard.container}.service; found ${toString guard.unit}. Leave `unit` out"
    else if !podman.enable && guard.unit == null && guard.data == null then
      error true "${option name}.data: services.podman is off, so it cannot be told where the data is; write the folder on the host, or say `services.podman.enable = true;`"
    else if guard.unit != null && containers ? ${unitOf} then
      error true "${option name}.unit: ${guard.unit} is container \"${unitOf}\" of services.podman.containers; write `container = \"${unitOf}\";` in place of `unit`"
    else
      error (podman.enable && guard.unit == null && (guard.data == null || guard.container != name))
        "${option name}.container: no container \"${guard.container}\" in services.podman.containers${if near guard.container == "" then "." else near guard.container} For an application that runs otherwise, say `unit` and `data`"
  ) enabled;

  nowhere = lib.mapAttrsToList (
    name: guard:
    error (guard.data == null && (guard.unit != null || containers ? ${guard.container}) && !folders ? ${name})
      "${option name}.data: the image of container \"${guard.container}\" has no preset of that name, so it cannot be told where the data is; write the folder on the host"
  ) enabled;

  # Pairs of guards on one folder. Folders inside of each other are told by the build, which knows what is excluded.
  twice =
    let
      byData = lib.groupBy (name: clean enabled.${name}.data) (
        lib.filter (name: enabled.${name}.data != null) names
      );
    in
    lib.mapAttrsToList (
      data: who:
      error (lib.length who > 1) "services.aidb.guards: ${lib.concatMapStringsSep " and " (n: ''"${n}"'') who} guard the same folder, `${data}`; say `${option (lib.last who)}.enable = false;`"
    ) byData;

  apart = lib.concatMap (
    name:
    let
      data = enabled.${name}.data;
    in
    map
      (
        place:
        let
          folder = clean (lib.attrByPath (lib.splitString "." place) null cfg);
        in
        error
          (data != null && !isWide data && (text.isWithin (clean data) folder || text.isWithin folder (clean data)))
          "services.aidb.${place}: `${folder}` and the data of guard \"${name}\", `${toString data}`, hold each other; choose another folder for services.aidb.${place}"
      )
      (
        [
          "vault"
          "state"
        ]
        ++ lib.optional cfg.offsite.enable "offsite.folder"
      )
  ) names;

  # What one of them writes the other one would take for its own.
  together =
    let
      vault = clean cfg.vault;
      state = clean cfg.state;
    in
    error (text.isWithin vault state || text.isWithin state vault)
      "services.aidb.vault: `${vault}` and services.aidb.state, `${state}`, hold each other; choose another folder for one of them";

  # What has an option of its own is written there: the parts of the module, and their checks, look at the options.
  beside = map (
    key:
    error (key != "programs")
      "services.aidb.settings.${key}: what is written there goes past the options and their checks; ${
        if cfg ? ${key} && key != "settings" && key != "internal" then
          "say services.aidb.${key}"
        else
          "there are options for all that it could say but `programs`"
      }"
  ) (lib.attrNames cfg.settings);

  # Podman expands variables of its own process there.
  unclear =
    let
      inherit (cfg.internal.context) storage;
      isUsed = lib.any (folder: lib.hasPrefix storage (folder.data or "")) (lib.attrValues folders);
    in
    error (lib.hasInfix "$" storage && isUsed) "services.podman.settings: the folder of volumes, `${storage}`, has a variable in it whose value is not known here, so it cannot be told where their data is; write the path";

  # A store that another mount covers: the guard sees the empty place below it.
  covered = lib.concatLists (
    lib.mapAttrsToList (
      name: folder:
      let
        guard = enabled.${name};
        stores = lib.filterAttrs (store: _: (guard.stores.${store} or { }) != null) catalog.presets.${folder.preset}.stores;
        pathOf = store: let own = guard.stores.${store}.path or null; in if own == null then stores.${store}.path else own;
        over = inner: store: text.isWithin "/${inner.below}" "/${pathOf store}";
        isCovered = inner: store: !inner.isKept || !(stores.${store}.optional or false);
      in
      lib.optionals (folder.outcome == "kept" && enabled ? ${name} && guard.preset == folder.preset && guard.data == folder.data) (
        lib.concatMap (
          inner:
          map (
            store:
            error (over inner store && isCovered inner store)
              "${ofPodman folder.container}: its store \"${store}\" is at `${folder.mount}/${pathOf store}`, where another mount is (${if inner.isKept then "`${toString inner.host}`" else "which keeps nothing"}), so guard \"${name}\" of `${folder.data}` would not see it. Take that mount away, or say `${option name}.stores.${store} = null;`${lib.optionalString inner.isKept " and guard `${toString inner.host}` on its own"}"
          ) (lib.attrNames stores)
        ) folder.nested
      )
    ) folders
  );

  clashing = map (
    name:
    error true "services.podman.containers: the guards of ${lib.concatMapStringsSep " and " (c: ''"${c}"'') cfg.internal.clashes.${name}} would both be named \"${name}\", so one of them would not be guarded; rename a container"
  ) (lib.attrNames cfg.internal.clashes);

  # Migrations run in hooks.
  idle = lib.mapAttrsToList (
    name: guard:
    error (guard.migrations != { } && guard.unit == null && !containers ? ${guard.container} && podman.enable)
      "${option name}.migrations: the guard belongs to no unit, so nothing would run them; say `unit`, or `container`"
  ) enabled;

  # What lies there is gone with the next boot.
  fleeting = map (
    place:
    let
      folder = home cfg.${place};
      found = host.ephemeralOf folder;
    in
    error (found != null)
      "services.aidb.${place}: `${folder}` does not outlive a boot, since `${toString found}` does not; choose a folder below ${config.home.homeDirectory}"
  ) [
    "vault"
    "state"
  ];

  # restic's folder is cleared before each run.
  handed = map (
    other:
    let
      folder = clean cfg.offsite.folder;
    in
    error
      (cfg.offsite.enable && (text.isWithin other folder && other != config.home.homeDirectory || text.isWithin folder other))
      "services.aidb.offsite.folder: `${folder}` and `${other}` hold each other, and what is handed over is made anew and removed; choose a folder that nothing else uses"
  ) [
    config.home.homeDirectory
    (clean cfg.vault)
    (clean cfg.state)
  ];

  # What the container sees where the guard says that its data is. Of a volume it is not known for certain where that
  # lies, so a guard may say so.
  astray = lib.mapAttrsToList (
    name: guard:
    let
      found = derive.seenAt cfg.internal.context cfg.internal.seen.${guard.container} guard.mount;
    in
    error
      (guard.data != null && guard.mount != null && containers ? ${guard.container}
        && found != null && found.mount.source.kind == "folder" && clean found.path != clean guard.data)
      "${option name}.data: it is `${guard.data}`, but container \"${guard.container}\" sees `${found.path}` at `${guard.mount}`, so what it writes would not be guarded. Write that folder, or leave `data` out where it can be derived"
  ) enabled;

  serviceOf = name: containers.${name}.extraConfig.Service or { };
  guarded = lib.filter (name: lib.any (guard: guard.container == name) (lib.attrValues enabled)) (
    lib.attrNames containers
  );
  # The statuses of a value, after its last empty line; systemd knows 1 by a name, too.
  isOne = word: builtins.match "0*1|FAILURE" word != null;
  wordsOf =
    value:
    lib.foldl' (
      all: line: if line == "" then [ ] else all ++ text.words line
    ) [ ] (map toString (lib.toList value));

  successes = map (
    name:
    error (lib.any isOne (wordsOf ((serviceOf name).SuccessExitStatus or [ ])))
      "${ofPodman name}.extraConfig.Service.SuccessExitStatus: 1 counts as success there, so a start that is held would go on. Take 1 away; ${leave name}"
  ) guarded;

  isPlain = value: builtins.match "[^[:space:]'\"\\$%]+" value != null;
  movable = lib.concatLists (
    lib.mapAttrsToList (
      name: guard:
      lib.mapAttrsToList (
        store: folder:
        error (!(isPlain store && isPlain "${folder}")) "${option name}.migrations: store \"${store}\" and its folder stand in a unit's line, without spaces, quotes, `$`, `\\` and `%`; rename what has them"
      ) guard.migrations
    ) enabled
  );

  seconds =
    value:
    if lib.isInt value then
      value
    else if lib.isString value && builtins.match "[0-9]+s?" value != null then
      lib.toIntBase10 (lib.removeSuffix "s" value)
    else
      null;
  hasty = lib.filter (
    name:
    let
      limit = seconds ((serviceOf name).TimeoutStopSec or 60);
    in
    # 0 is no limit.
    limit != null && limit != 0 && limit < 30
  ) guarded;

  # A folder has one guard, whose hooks are in one unit: a second one would move things under an application that is up.
  # Who gave that guard to a certain container knows.
  second = lib.filter (
    candidate:
    let
      guard = cfg.guards.${candidate.sharedWith};
    in
    guard.enable
    && guard.container == folders.${candidate.sharedWith}.container
    && cfg.guards.${candidate.name}.enable or true
  ) cfg.internal.shared;

  alone = lib.filter (
    name:
    let
      guard = enabled.${name};
    in
    !(containers ? ${guard.container}) && guard.unit == null && guard.data != null && near name != ""
  ) names;
in
{
  config = lib.mkIf cfg.enable {
    inherit (cfg.internal) assertions warnings;

    services.aidb.internal.assertions = [
      (lib.hm.assertions.assertPlatform "services.aidb" pkgs lib.platforms.linux)
    ]
    ++ lost
    ++ gone
    ++ wide
    ++ incomplete
    ++ misnamed
    ++ whose
    ++ nowhere
    ++ twice
    ++ apart
    ++ [ together unclear ]
    ++ beside
    ++ fleeting
    ++ handed
    ++ astray
    ++ clashing
    ++ covered
    ++ idle
    ++ successes
    ++ movable;

    services.aidb.internal.warnings =
      lib.optional (!podman.enable && podman.containers != { })
        "services.aidb: containers are declared, but services.podman.enable is false, so they are not there and none of them is guarded. Enable it, or take them away"
      ++ map (
        name:
        "${ofPodman name}.extraConfig.Service.TimeoutStopSec: a snapshot at the stop may take 20 seconds, found ${toString (serviceOf name).TimeoutStopSec}. Write 60, which is the default of a guarded container"
      ) hasty
      ++ map partOf (lib.filter (missing: !isFatal missing) outside)
      ++ map (
        candidate:
        let
          first = cfg.guards.${candidate.sharedWith}.container;
        in
        "${ofPodman candidate.container}: it shares `${candidate.found.data}` with container \"${first}\", whose guard has the hooks; \"${candidate.container}\" itself is not held at a start, and its stop keeps no snapshot. The timer keeps the folder all the same. If that is meant, say `${option candidate.name}.enable = false;`"
      ) second
      ++ map (
        name:
        "${option name}: it belongs to no unit, so its data is kept by the timer alone${near name} If that is meant, choose a name that is further from the container's"
      ) alone;
  };
}
