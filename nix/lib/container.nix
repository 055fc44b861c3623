# One container of `services.podman.containers` as discovery sees it: { name; image; mounts; variables; odd; awaited; }, in
# which `awaited` are the host's folders for whose mounts Podman's quadlets make the unit wait.
{
  lib,
  text,
  volume,
}:
let
  toText = value: if lib.isBool value then lib.boolToString value else toString value;
  # Podman's lists may be written as one text; null is no line.
  lines = value: map toText (lib.filter (line: line != null && !lib.isAttrs line) (lib.toList value));

  # Their values stand in a line of the unit, where systemd expands what it knows.
  expanded =
    environment:
    lib.mapAttrs (
      _: value:
      let
        found = text.expand environment value;
      in
      found.text or value
    );

  variablesOf =
    value:
    if lib.isAttrs value then
      lib.mapAttrs (_: toText) (lib.filterAttrs (_: v: v != null && !lib.isList v) value)
    else
      lib.listToAttrs (
        map (
          word:
          let
            parts = lib.splitString "=" word;
          in
          lib.nameValuePair (lib.head parts) (lib.concatStringsSep "=" (lib.tail parts))
        ) (lib.filter (lib.hasInfix "=") (lib.concatMap text.words (lines value)))
      );

  followImage =
    images: written:
    let
      name = lib.removeSuffix ".image" written;
    in
    if lib.hasSuffix ".image" written && images ? ${name} then images.${name}.image else written;
in
{
  # `context` has `environment` (home, stateHome, cacheHome, configHome) and `images`. `extra` is the `[Container]` part
  # of `extraConfig`.
  normalize =
    context: name: container: extra:
    let
      inherit (context) environment;
      arguments = volume.parseArguments environment (
        lib.concatMap text.words (container.extraPodmanArgs ++ lines (extra.PodmanArgs or [ ]))
      );
      parsed =
        map (volume.parseVolume environment) (container.volumes ++ lines (extra.Volume or [ ]))
        ++ map (volume.parseMount environment) (lib.concatMap text.words (lines (extra.Mount or [ ])))
        ++ map (volume.parseTmpfs environment) (lines (extra.Tmpfs or [ ]));
    in
    {
      inherit name;
      image = followImage context.images container.image;
      mounts = arguments.mounts ++ lib.catAttrs "mount" parsed;
      variables = expanded environment (
        variablesOf container.environment // variablesOf (extra.Environment or { }) // arguments.variables
      );
      awaited = map (m: m.source.path) (lib.filter (m: m.source.kind == "folder") (lib.catAttrs "mount" parsed));
      odd = arguments.odd ++ lib.catAttrs "odd" parsed;
    };
}
