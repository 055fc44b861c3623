# From containers to the folders that are guarded, those that nobody guards, and what is wrong, by the catalog.
{
  lib,
  image,
  volume,
  catalog,
}:
let
  text = import ./text.nix { inherit lib; };

  # Folders of the host that do not outlive a boot, or are cleaned while it runs.
  ephemeral = [
    "/tmp"
    "/var/tmp"
    "/run"
    "/dev/shm"
  ];
  ephemeralOf = host: lib.findFirst (folder: text.isWithin folder host) null ephemeral;

  # A volume unit's device, if it is a folder: one of another type (tmpfs, a block device) is none.
  deviceOf =
    unit:
    let
      device = unit.device or null;
      isBind = lib.elem (unit.type or null) [
        null
        "none"
        "bind"
      ];
    in
    if device != null && lib.hasPrefix "/" device && !text.isWithin "/dev" device && isBind then device else null;

  # The folder on the host of what lies below a mount; null if there is none.
  hostOf =
    context: mount: below:
    let
      inherit (mount) source;
      storage = name: "${context.storage}/${name}/_data";
      ofName =
        name:
        let
          device = if context.volumes ? ${name} then deviceOf context.volumes.${name} else null;
        in
        if device != null then device else storage name;
      name = lib.removeSuffix ".volume" source.unit;
      host =
        {
          folder = source.path;
          volume = text.join (ofName source.name) source.folder;
          volumeUnit = if context.volumes ? ${name} then ofName name else null;
        }
        .${source.kind} or null;
    in
    if host == null then null else text.join host below;

  # Whether a volume is made anew, empty, whenever it is mounted.
  isInMemory =
    context: source:
    let
      name = if source.kind == "volume" then source.name else lib.removeSuffix ".volume" source.unit;
      unit = context.volumes.${name} or { };
      isMemory = kind: lib.elem kind [ "tmpfs" "ramfs" ];
    in
    lib.elem source.kind [ "volume" "volumeUnit" ] && (isMemory (unit.type or null) || isMemory (unit.device or null));

  # What a mount that keeps nothing is.
  keepsNothing =
    source:
    {
      memory = "it is mounted in memory";
      volumeUnit = "`${source.unit}` is no volume of services.podman.volumes";
      unusable =
        {
          anonymous = "its volume is anonymous, and Podman deletes that with the container";
          tilde = "`${source.text}` begins with `~`, which nothing expands";
          relative =
            if lib.hasPrefix "/" source.text then
              "`${source.text}` has `..` in it, so it cannot be told which folder that is"
            else
              "`${source.text}` is relative to the unit file";
          specifier = "what `%${source.specifier}` in `${source.text}` stands for is not known here";
          name = "`${source.text}` is neither an absolute path nor a volume's name";
        }
        .${source.why or "name"};
    }
    .${source.kind} or "it is not kept";

  # One data folder of a container, for one preset of its image:
  #   { name; preset; outcome = "kept"; data; mount; moved; mounts; nested; ephemeral; }
  #   { name; preset; outcome = "absent"; }                    it has none, and that is normal
  #   { name; preset; outcome = "lost"; wanted; why; }         what it writes there is lost
  folder =
    context: container: tag: name: presetName:
    let
      preset = catalog.presets.${presetName};
      path = catalog.dataPath preset tag container.variables;
      under = volume.find container.mounts path.candidates;
      isOptional = preset.volume == "optional";
      data = hostOf context under.mount under.below;
      base = {
        inherit name;
        preset = presetName;
      };
      lost =
        why:
        base
        // {
          outcome = "lost";
          wanted = lib.head path.candidates;
          inherit why;
        };
      absent = base // {
        outcome = "absent";
      };
      inner = volume.nested container.mounts under.path;
    in
    if path == null then
      absent
    else if path ? variable then
      base
      // {
        outcome = "lost";
        wanted = null;
        why = "`${path.variable}` is `${path.value}`, which is no absolute path, so it cannot be told where the data is";
      }
    else if under == null then
      if isOptional then absent else lost "no volume holds it, so it is written to the container's own layer"
    else if isOptional && !volume.keeps under.mount then
      absent
    else if under.mount.access == "O" then
      lost "its volume has the option `O`, whose writes vanish with the container"
    else if under.mount.access == "ro" then
      lost "its volume has the option `ro`, so the container cannot write it"
    else if isInMemory context under.mount.source then
      lost "its volume is in memory (`tmpfs`)"
    else if data == null then
      lost (keepsNothing under.mount.source)
    else
      base
      // {
        outcome = "kept";
        inherit data;
        mount = under.path;
        inherit (path) moved;
        mounts = [ under.mount ] ++ inner;
        ephemeral = ephemeralOf data;
        nested = map (m: {
          below = text.below under.path m.target;
          host = hostOf context m "";
          isKept = volume.keeps m && !isInMemory context m.source;
        }) inner;
      };
in
{
  inherit ephemeralOf;

  # What a container sees at a path of its own: { kind; path; } of the host's folder; null if there is none.
  seenAt =
    context: container: path:
    let
      under = volume.find container.mounts [ path ];
      host = if under == null then null else hostOf context under.mount under.below;
    in
    if host == null then
      null
    else
      {
        inherit (under.mount.source) kind;
        path = host;
      };

  # The names of the guards of a container, with the preset of each. Depends on the image alone.
  guardNames =
    container:
    let
      parsed = image.parse container.image;
      presets = catalog.forImage parsed;
    in
    lib.imap0 (index: preset: {
      name = if index == 0 then container.name else "${container.name}.${preset}";
      inherit preset;
      tag = if parsed == null then null else parsed.tag;
    }) presets;

  # The folder of one of these names.
  folder =
    context: container: guard:
    folder context container guard.tag guard.name guard.preset;

  # The host folders that a container keeps and that none of these folders is: { container; folders; why; } or null, and
  # those that are mounted inside of a guard's data.
  notGuarded =
    context: container: presets: kept:
    let
      taken = lib.concatMap (f: f.mounts) kept;
      hosts = map (mount: hostOf context mount "") (
        lib.filter (mount: volume.keeps mount && !lib.elem mount taken) container.mounts
      );
      folders = lib.filter (
        host: host != null && ephemeralOf host == null && !text.isWithin "/dev" host
      ) hosts;
    in
    lib.concatMap (
      f:
      map (inner: {
        container = container.name;
        folders = [ inner.host ];
        why = "it is mounted inside the data of guard `${f.name}`, at `${inner.below}`, and is not part of its snapshots";
      }) (lib.filter (inner: inner.host != null) f.nested)
    ) kept
    ++ lib.optional (folders != [ ]) {
      container = container.name;
      inherit folders;
      why =
        if presets == [ ] then
          "no preset knows image `${container.image}`"
        else
          "preset `${lib.head presets}` has no data there";
    };
}
