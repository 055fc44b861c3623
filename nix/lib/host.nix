# Where a container's mounts are on the host, by the volumes and folders of a configuration.
{
  lib,
  text,
  catalog,
}:
let
  # What podman-volume-create(1) makes of a volume of these types is empty whenever it is mounted.
  isMemory = kind: lib.elem kind [ "tmpfs" "ramfs" ];

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
      isNode = text.isWithin "/dev" device && !text.isWithin "/dev/shm" device;
    in
    if device != null && lib.hasPrefix "/" device && !isNode && isBind then device else null;

  isVolumeInMemory = unit: isMemory (unit.type or null) || isMemory (unit.device or null);

  isWithinOne = folders: path: lib.findFirst (folder: text.isWithin folder path) null folders;
in
rec {
  # The folder of these that a path of the host is in and that does not outlive a boot, or is cleaned while it runs.
  ephemeralOf = isWithinOne catalog.hostFolders.ephemeral;

  # Whether a path of the host is the system's own: nothing that an application makes is there.
  isSystem = path: isWithinOne catalog.hostFolders.system path != null;

  # What the configuration says of a volume: { device; type; }, also as `podman volume create` takes it
  # (`--opt device=/srv/data`).
  volumeUnit =
    environment: v:
    let
      more = v.extraConfig.Volume or { };
      words = lib.concatMap text.words (
        (v.extraPodmanArgs or [ ]) ++ map toString (lib.toList (more.PodmanArgs or [ ]))
      );
      given =
        key:
        lib.foldl' (
          last: word:
          let
            found = builtins.match "(--opt=|-o=?)?${key}=(.*)" word;
          in
          if found == null then last else lib.last found
        ) null words;
      first = lib.findFirst (value: value != null) null;
    in
    {
      device =
        let
          written = first [
            (given "device")
            (more.Device or null)
            (v.device or null)
          ];
        in
        if written == null then null else (text.expand environment written).text or null;
      type = first [
        (given "type")
        (more.Type or null)
        (v.type or null)
      ];
    };

  # Whether a source is a volume that is made anew, empty, whenever it is mounted.
  isInMemory =
    context: source:
    let
      name = if source.kind == "volume" then source.name else lib.removeSuffix ".volume" source.unit;
    in
    lib.elem source.kind [ "volume" "volumeUnit" ] && isVolumeInMemory (context.volumes.${name} or { });

  # Whether what the container writes to a mount stays on the host.
  keeps =
    context: mount:
    mount.access == "writable"
    && lib.elem mount.source.kind [
      "folder"
      "volume"
      "volumeUnit"
    ]
    && !isInMemory context mount.source;

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
    if host == null || isInMemory context source then null else text.join host below;

  # What a mount that keeps nothing is.
  keepsNothing =
    context: source:
    if isInMemory context source then
      "its volume is in memory (`tmpfs`)"
    else
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
}
