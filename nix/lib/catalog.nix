# What is known of images (nix/catalog.json, which the tools read too), and the rules by which it applies.
{
  lib,
  text,
  image,
}:
let
  catalog = lib.importJSON ../catalog.json;
  inherit (catalog) presets;
  isOneOf = patterns: value: lib.any (pattern: text.matchesWildcard pattern value) patterns;
in
rec {
  inherit presets;
  # Folders of the host by what is to be expected of them.
  inherit (catalog) hostFolders;

  names = lib.attrNames presets;

  # The names of the presets of an image's data folders: its own first, then those of further folders.
  forImage =
    parsed:
    let
      own = lib.findFirst (name: lib.any (entry: image.is entry parsed) presets.${name}.images) null names;
      tag = if parsed.tag == null then "" else parsed.tag;
    in
    if parsed == null || own == null then
      [ ]
    else
      [ own ]
      ++ map (extra: extra.preset) (
        lib.filter (extra: isOneOf extra.tags tag) (presets.${own}.extraFolders or [ ])
      );

  # Where a container of this tag and with these variables has its data: { candidates; moved; part; }, in which `moved`
  # is what store paths begin with that is not part of this folder, because a variable moved only a part, and `part` is
  # the same for a container that mounts nothing but that part (null if there is none); null if that is not known;
  # { variable; value; } if a variable moves it to a place that cannot be told.
  dataPath =
    preset: tag: variables:
    let
      byTag = lib.findFirst (b: isOneOf b.tags (if tag == null then "" else tag)) null (preset.byTag or [ ]);
      paths =
        if byTag != null then
          [ byTag.dataPath ]
        else
          lib.optional (preset ? dataPath) preset.dataPath ++ preset.alsoDataPaths or [ ];
      variable = if byTag != null then byTag.dataEnv or null else preset.dataEnv or null;
      value = if variable == null then "" else variables.${variable} or "";
      to = text.containerPath value;
      folder = preset.dataEnvFolder or null;
      stays = paths != [ ] && to == (if folder == null then lib.head paths else text.join (lib.head paths) folder);
      unmoved =
        if paths == [ ] then
          null
        else
          {
            candidates = paths;
            moved = null;
            part =
              if folder == null then
                null
              else
                {
                  candidates = [ (text.join (lib.head paths) folder) ];
                  moved = folder;
                  part = null;
                };
          };
    in
    if value == "" then
      unmoved
    else if to == null then
      { inherit variable value; }
    else if stays then
      unmoved
    else
      {
        candidates = [ to ];
        moved = folder;
        part = null;
      };

  # Where a variable puts the SQLite file of a store: a path of the container, null for the store's own place, and
  # "elsewhere" for a server, or for a file that no look can read. Written as a path or, as SQLAlchemy reads it, as
  # `sqlite:///PATH`; one that is relative begins where the application was started.
  databaseAt =
    preset: store: variables:
    let
      rule = preset.storeFileEnv.${store} or null;
      value = if rule == null then "" else variables.${rule.variable} or "";
      bare = lib.head (lib.splitString "?" value);
      isUrl = lib.hasPrefix "sqlite:///" bare;
      path = if isUrl then lib.removePrefix "sqlite:///" bare else bare;
      isAbsolute = lib.hasPrefix "/" path;
      at = text.containerPath (if isAbsolute then path else "${rule.workDir or ""}/${path}");
    in
    if value == "" then
      null
    else if path == "" || !isUrl && lib.hasInfix ":" bare then
      "elsewhere"
    else if !isAbsolute && !rule ? workDir then
      if baseNameOf path == baseNameOf preset.stores.${store}.path then null else "elsewhere"
    else if at == null then
      "elsewhere"
    else
      at;

  # The names of the stores that a container with these variables has.
  storeNames =
    preset: variables:
    lib.filter (
      name:
      databaseAt preset name variables != "elsewhere"
      && lib.all (
        variable:
        let
          value = variables.${variable} or "";
        in
        value == "" || isOneOf preset.storeUnlessEnv.${name}.${variable} value
      ) (lib.attrNames (preset.storeUnlessEnv.${name} or { }))
    ) (lib.attrNames preset.stores);

  # Whether what such a container must not lose is elsewhere, on a server.
  isElsewhere =
    preset: variables:
    let
      needed = lib.filter (name: !(preset.stores.${name}.optional or false)) (lib.attrNames preset.stores);
    in
    needed != [ ] && lib.intersectLists needed (storeNames preset variables) == [ ];

  # What settings must say of a preset's stores for such a container, beside naming the preset: null takes a store
  # away, another path moves it.
  storeChanges =
    preset: variables: moved:
    let
      there = storeNames preset variables;
      change =
        name: store:
        if !lib.elem name there then
          null
        else if moved == null then
          { }
        else
          let
            path = text.containerPath "/${store.path}";
          in
          if !text.isWithin "/${moved}" path then
            null
          else
            {
              path =
                let
                  rest = text.below "/${moved}" path;
                in
                if rest == "" then "." else rest;
            };
    in
    lib.filterAttrs (_: store: store != { }) (lib.mapAttrs change preset.stores);
}
