# What an example becomes, as one text: its quadlets, our units, and stack.json. By evaluation only.
{ lib }:
{ config, quadlets, ... }:
let
  value = v: if lib.isBool v then lib.boolToString v else toString v;
  lines = key: v: if lib.isAttrs v then lib.mapAttrsToList (k: x: "${key}=${k}=${value x}") v else map (x: "${key}=${value x}") (lib.toList v);
  # Sections and keys as Home Manager writes them.
  unit =
    sections:
    lib.concatLists (
      lib.mapAttrsToList (
        name: section:
        let
          all = lib.concatLists (lib.mapAttrsToList lines section);
        in
        lib.optionals (all != [ ]) ([ "[${name}]" ] ++ all)
      ) sections
    );
  ours = lib.filterAttrs (name: _: lib.hasPrefix "aidb-" name || name == "restic-backups-aidb");
  units =
    kind: all:
    lib.concatLists (lib.mapAttrsToList (name: sections: [ "" "--- ${name}.${kind}" ] ++ unit sections) (ours all));

  # As jq prints it.
  pretty =
    indent: json:
    let
      inner = "${indent}  ";
      block = open: close: items: if items == [ ] then "${open}${close}" else "${open}\n${lib.concatMapStringsSep ",\n" (i: "${inner}${i}") items}\n${indent}${close}";
    in
    if lib.isAttrs json then
      block "{" "}" (lib.mapAttrsToList (k: v: "${builtins.toJSON k}: ${pretty inner v}") json)
    else if lib.isList json then
      block "[" "]" (map (pretty inner) json)
    else
      builtins.toJSON json;

  # Store paths change with every package, and so do versions.
  strip =
    text:
    lib.concatStrings (
      map (
        part: if lib.isList part then "/nix/store/…-${(builtins.parseDrvName (lib.head part)).name}" else part
      ) (builtins.split "/nix/store/[a-z0-9]{32}-([^/ :\"'\n]+)" text)
    );
in
strip (
  builtins.unsafeDiscardStringContext (
    lib.concatStringsSep "\n" (
      lib.concatLists (lib.mapAttrsToList (name: text: [ "" "--- ${name}" text ]) quadlets)
      ++ units "service" config.systemd.user.services
      ++ units "timer" config.systemd.user.timers
      ++ [
        ""
        "--- stack.json"
        (pretty "" (config.services.aidb.internal.stack or { }))
        ""
      ]
    )
  )
)
