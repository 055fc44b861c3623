# What containers mount, as `Volume=`, `Mount=`, `Tmpfs=` and the arguments of `podman run` write it.
#
# A mount is { source; target; access; }: `source.kind` is "folder" (`path`), "volume" (`name`, `folder`),
# "volumeUnit" (`unit`), "memory" or "unusable" (`why`, `text`); `access` is "writable", "ro" or "O". A reader returns
# { mount = …; } or { odd = what was expected and what was found; }.
{ lib, text }:
let
  unusable = why: written: {
    kind = "unusable";
    inherit why;
    text = written;
  };

  parseSource =
    environment: written:
    let
      expanded = text.expand environment written;
      path = expanded.text;
    in
    if expanded ? specifier then
      unusable "specifier" written // { inherit (expanded) specifier; }
    else if path == "" then
      unusable "anonymous" ""
    else if lib.hasPrefix "~" path then
      unusable "tilde" path
    else if lib.hasPrefix "." path then
      unusable "relative" path
    else if lib.hasPrefix "/" path then
      # `..` in a host path would be resolved by the kernel, through links; it is not guessed here.
      if text.containerPath path == null then
        unusable "relative" path
      else
        {
          kind = "folder";
          path = text.containerPath path;
        }
    else if !text.isContainerName path then
      unusable "name" path
    else if lib.hasSuffix ".volume" path then
      {
        kind = "volumeUnit";
        unit = path;
      }
    else
      {
        kind = "volume";
        name = path;
        folder = ".";
      };

  withTarget =
    environment: written: whole: mount:
    let
      expanded = text.expand environment written;
      target = if expanded ? specifier then null else text.containerPath expanded.text;
    in
    if target == null then
      { odd = "expected an absolute path in the container, found `${whole}`"; }
    else
      { mount = mount // { inherit target; }; };
in
rec {
  # A `Volume=` line, or the argument of `--volume`.
  parseVolume =
    environment: written:
    let
      parts = lib.splitString ":" written;
      count = lib.length parts;
      options = if count == 3 then lib.splitString "," (lib.elemAt parts 2) else [ ];
    in
    if count > 3 then
      { odd = "expected `SOURCE:TARGET:OPTIONS`, found `${written}`"; }
    else
      withTarget environment (lib.elemAt parts (if count == 1 then 0 else 1)) written {
        source = if count == 1 then unusable "anonymous" "" else parseSource environment (lib.head parts);
        access = lib.foldl' (
          access: option:
          if
            lib.elem option [
              "ro"
              "O"
            ]
          then
            option
          else
            access
        ) "writable" options;
      };

  # A `Mount=` word, or the argument of `--mount` (`type=bind,source=…,target=…`).
  parseMount =
    environment: written:
    let
      read = lib.foldl' (
        mount: field:
        let
          parts = lib.splitString "=" field;
          key = lib.trim (lib.head parts);
          value = if lib.length parts == 1 then "true" else lib.concatStringsSep "=" (lib.tail parts);
          isIn = lib.elem key;
        in
        mount
        // lib.optionalAttrs (key == "type") { kind = value; }
        // lib.optionalAttrs (isIn [
          "source"
          "src"
        ]) { source = value; }
        // lib.optionalAttrs (isIn [
          "target"
          "destination"
          "dst"
        ]) { target = value; }
        // lib.optionalAttrs (
          isIn [
            "ro"
            "readonly"
          ]
          && value != "false"
          || key == "rw" && value == "false"
        ) { access = "ro"; }
        // lib.optionalAttrs (
          isIn [
            "O"
            "overlay"
          ]
          && value != "false"
        ) { access = "O"; }
        // lib.optionalAttrs (isIn [
          "subpath"
          "volume-subpath"
        ]) { folder = value; }
      ) { access = "writable"; } (lib.splitString "," written);
      kind = read.kind or "volume";
      parsed = parseSource environment read.source;
      folder = lib.concatStringsSep "/" (lib.filter (name: name != "") (lib.splitString "/" (read.folder or ".")));
      source =
        if
          lib.elem kind [
            "tmpfs"
            "ramfs"
            "devpts"
          ]
        then
          { kind = "memory"; }
        else if
          lib.elem kind [
            "image"
            "artifact"
            "glob"
          ]
        then
          unusable "name" (read.source or "")
        else if !read ? source then
          unusable "anonymous" ""
        else if parsed.kind != "volume" then
          parsed
        else if kind == "volume" then
          parsed // { inherit folder; }
        else
          # A bind mount has no volume's name: the path would be relative.
          unusable "relative" parsed.name;
      isKnown = lib.elem kind [
        "bind"
        "volume"
        "tmpfs"
        "ramfs"
        "devpts"
        "image"
        "artifact"
        "glob"
      ];
    in
    if !read ? target then
      { odd = "expected `target=`, found `${written}`"; }
    else if !isKnown then
      { odd = "expected `type=bind`, `volume` or `tmpfs`, found `${kind}`"; }
    else
      withTarget environment read.target written {
        inherit source;
        # An image is mounted read-only, or writable with the writes thrown away.
        access =
          if
            lib.elem kind [
              "image"
              "artifact"
              "glob"
            ]
          then
            "O"
          else
            read.access;
      };

  # A `Tmpfs=` line, or the argument of `--tmpfs`.
  parseTmpfs =
    environment: written:
    withTarget environment (lib.head (lib.splitString ":" written)) written {
      source.kind = "memory";
      access = "writable";
    };

  # The mounts and variables among arguments of `podman run`: { mounts; variables; odd; }.
  parseArguments =
    environment: words:
    let
      readers = {
        "-v" = parseVolume environment;
        "--volume" = parseVolume environment;
        "--mount" = parseMount environment;
        "--tmpfs" = parseTmpfs environment;
        "-e" = null;
        "--env" = null;
      };
      splitFlag =
        word:
        let
          parts = lib.splitString "=" word;
          short = lib.substring 0 2 word;
          rest = lib.substring 2 (-1) word;
        in
        if lib.hasPrefix "--" word then
          {
            flag = lib.head parts;
            value = if lib.length parts > 1 then lib.concatStringsSep "=" (lib.tail parts) else null;
          }
        else if (short == "-v" || short == "-e") && rest != "" then
          {
            flag = short;
            # `-v=a:/b` is the same as `-va:/b`.
            value = lib.head (builtins.match "=*(.*)" rest);
          }
        else
          {
            flag = word;
            value = null;
          };
      take =
        state: flag: value:
        if readers.${flag} == null then
          let
            parts = lib.splitString "=" value;
          in
          if lib.length parts < 2 then
            state
          else
            state // { variables = state.variables // { ${lib.head parts} = lib.concatStringsSep "=" (lib.tail parts); }; }
        else
          let
            read = readers.${flag} value;
          in
          if read ? odd then
            state // { odd = state.odd ++ [ read.odd ]; }
          else
            state // { mounts = state.mounts ++ [ read.mount ]; };
      step =
        state: word:
        if state.open != null then
          take (state // { open = null; }) state.open word
        else
          let
            split = splitFlag word;
          in
          if !readers ? ${split.flag} then
            state
          else if split.value == null then
            state // { open = split.flag; }
          else
            take state split.flag split.value;
      end = lib.foldl' step {
        mounts = [ ];
        variables = { };
        odd = [ ];
        open = null;
      } words;
    in
    {
      inherit (end) mounts variables;
      odd = end.odd ++ lib.optional (end.open != null) "expected a value after `${end.open}`, found nothing";
    };

  # On which mount the first of these paths is: a mount at exactly one of them, else the one with the longest target
  # that holds one: { mount; below; path; }, or null.
  find =
    mounts: candidates:
    let
      # Of two at one place the later wins.
      newestFirst = lib.reverseList mounts;
      firstOf =
        f:
        lib.findFirst (found: found != null) null (
          map (
            path:
            let
              mount = f path;
            in
            if mount == null then
              null
            else
              {
                inherit mount path;
                below = text.below mount.target path;
              }
          ) candidates
        );
      exact = firstOf (path: lib.findFirst (m: m.target == path) null newestFirst);
      around = firstOf (
        path:
        lib.foldl' (
          best: m:
          if text.isWithin m.target path && (best == null || text.depth m.target > text.depth best.target) then
            m
          else
            best
        ) null newestFirst
      );
    in
    if exact != null then exact else around;

  # The mounts that lie below a path of the container.
  nested = mounts: path: lib.filter (m: m.target != path && text.isWithin path m.target) mounts;
}
