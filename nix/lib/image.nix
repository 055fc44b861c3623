# Image references as quadlets write them: transport, registry, path, tag, digest.
{ lib }:
let
  otherTransports = [
    "docker-archive:"
    "docker-daemon:"
    "oci-archive:"
    "oci:"
    "dir:"
    "sif:"
    "ostree:"
  ];
  cutPrefixes =
    text: lib.foldl' (t: prefix: if t == text then lib.removePrefix prefix t else t) text [
      "docker://"
      "containers-storage:"
    ];
in
{
  # { path = [ … ]; tag; } or null if the text names no image of a registry (an archive, a folder, a build).
  parse =
    written:
    let
      whole = cutPrefixes (lib.trim written);
      name = lib.head (lib.splitString "@" whole);
      components = lib.splitString "/" name;
      # A colon before the last slash belongs to the registry's port.
      last = lib.splitString ":" (lib.last components);
      tag = if lib.length last > 1 then lib.concatStringsSep ":" (lib.tail last) else null;
      all = lib.init components ++ [ (lib.head last) ];
      first = lib.head all;
      isRegistry = lib.length all > 1 && (lib.hasInfix "." first || lib.hasInfix ":" first || first == "localhost");
      path = if isRegistry then lib.tail all else all;
    in
    if
      lib.hasPrefix "/" whole
      || lib.hasPrefix "." whole
      || lib.hasInfix "//" whole
      || lib.any (transport: lib.hasPrefix transport whole) otherTransports
      || lib.elem "" path
    then
      null
    else
      { inherit path tag; };

  # Whether the image is the one that a catalog entry names: an entry of several components matches the last ones of
  # the path, so that mirrors match; one of a single component stands alone or below `library`.
  is =
    entry: image:
    let
      wanted = lib.splitString "/" entry;
      endsWith = end: lib.length image.path >= lib.length end && lib.takeEnd (lib.length end) image.path == end;
    in
    if lib.length wanted == 1 then image.path == wanted || endsWith ([ "library" ] ++ wanted) else endsWith wanted;
}
