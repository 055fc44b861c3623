# From containers to the folders that are guarded, those that nobody guards, and what is wrong, by the catalog.
{
  lib,
  text,
  image,
  volume,
  host,
  catalog,
}:
let
  inherit (host) hostOf ephemeralOf;

  # What a container sees at a path of its own: { mount; path; } with the host's folder; null if there is none.
  seenAt =
    context: container: path:
    let
      under = volume.find container.mounts [ path ];
      found = if under == null then null else hostOf context under.mount under.below;
    in
    if found == null then
      null
    else
      {
        inherit (under) mount;
        path = found;
      };

  # Where the data of a preset is looked for, as `catalog.dataPath` returns it.
  placeOf =
    container: preset: tag:
    let
      whole = catalog.dataPath preset tag container.variables;
      isMounted = place: volume.find container.mounts place.candidates != null;
    in
    if whole == null || whole ? variable || whole.part == null then
      whole
    else if !isMounted whole && isMounted whole.part then
      whole.part
    else
      whole;

  # Where a database is that a variable has moved, below a data folder; null if it is not in there.
  belowFolder =
    context: container: found: at:
    let
      seen = seenAt context container at;
    in
    if found.outcome == "kept" then
      if seen != null && text.isWithin found.data seen.path then text.below found.data seen.path else null
    else if found.wanted or null != null && text.isWithin found.wanted at then
      text.below found.wanted at
    else
      null;

  # The databases of a preset that a variable has moved: { STORE = path of the container; }.
  databases =
    preset: variables:
    lib.filterAttrs (_: at: at != null && at != "elsewhere") (
      lib.mapAttrs (store: _: catalog.databaseAt preset store variables) (preset.storeFileEnv or { })
    );

  # What belongs to a folder's data and is mounted elsewhere: [ { at; host; } ], `host` null if nothing keeps it.
  outsideOf =
    context: container: preset: data: mount: inner:
    let
      atOf =
        part:
        let
          value = container.variables.${part.variable} or "";
        in
        if value == "" then text.join mount part.path else text.containerPath value;
      hostAt =
        at:
        let
          seen = seenAt context container at;
        in
        if seen == null then null else seen.path;
      isOutside = part: part.host == null || !text.isWithin data part.host;
    in
    lib.unique (
      lib.filter isOutside (
        map (at: {
          inherit at;
          host = hostAt at;
        }) (lib.filter (at: at != null) (map atOf (preset.parts or [ ])))
      )
      # The files of a server belong together, whatever is in them.
      ++ lib.optionals (preset.atRestOnly or false) (
        map (m: {
          at = m.target;
          host = hostOf context m "";
        }) (lib.filter (host.keeps context) inner)
      )
    );

  # One data folder of a container, for one of the names of `guardNames`:
  #   { name; preset; outcome = "kept"; data; mount; stores; mounts; nested; outside; isWhole; ephemeral; }
  #   { name; preset; outcome = "absent"; }                    it has none, and that is normal
  #   { name; preset; outcome = "lost"; wanted; why; }         what it writes there is lost
  # `stores` is what settings must say of the preset's; `isWhole` whether no part of the data is of use alone.
  folder =
    context: container: guard:
    let
      preset = catalog.presets.${guard.preset};
      isDatabase = guard.file != null;
      place =
        if isDatabase then
          {
            candidates = [ (dirOf guard.file) ];
            moved = null;
          }
        else
          placeOf container preset guard.tag;
      under = volume.find container.mounts place.candidates;
      isOptional = preset.volume == "optional";
      data = hostOf context under.mount under.below;
      base = {
        inherit (guard) name preset file;
      };
      absent = base // {
        outcome = "absent";
      };
      lost =
        why:
        if !isDatabase && catalog.isElsewhere preset container.variables then
          absent
        else
          base
          // {
            outcome = "lost";
            wanted = lib.head place.candidates;
            inherit why;
          };
      inner = volume.nested container.mounts under.path;
      kept = base // {
        outcome = "kept";
        inherit data;
        mount = under.path;
        stores = if isDatabase then ofDatabase else ofFolder;
        mounts = [ under.mount ] ++ inner;
        ephemeral = ephemeralOf data;
        outside = lib.optionals (!isDatabase) (outsideOf context container preset data under.path inner);
        isWhole = preset.atRestOnly or false;
        nested = map (m: {
          below = text.below under.path m.target;
          host = hostOf context m "";
          isKept = host.keeps context m;
        }) inner;
      };
      ofDatabase = lib.mapAttrs (
        store: _: if store == guard.store then { path = baseNameOf guard.file; } else null
      ) preset.stores;
      ofFolder =
        catalog.storeChanges preset container.variables place.moved
        // lib.filterAttrs (store: change: change != { path = preset.stores.${store}.path; }) (
          lib.mapAttrs (
            _: at:
            let
              path = belowFolder context container kept at;
            in
            if path == null then null else { inherit path; }
          ) (databases preset container.variables)
        );
    in
    if place == null then
      absent
    else if place ? variable then
      base
      // {
        outcome = "lost";
        wanted = null;
        why = "`${place.variable}` is `${place.value}`, which is no absolute path, so it cannot be told where the data is";
      }
    else if isDatabase && lib.any (m: m.target == guard.file) container.mounts then
      lost "`${guard.file}` alone is mounted, so what SQLite writes beside it goes with the container"
    else if under == null then
      if isOptional then absent else lost "no volume holds it, so it is written to the container's own layer"
    else if isOptional && !host.keeps context under.mount then
      absent
    else if under.mount.access == "O" then
      lost "its volume has the option `O`, whose writes vanish with the container"
    else if under.mount.access == "ro" then
      lost "its volume has the option `ro`, so the container cannot write it"
    else if data == null then
      lost (host.keepsNothing context under.mount.source)
    else
      kept;
in
{
  inherit seenAt folder;

  # The guards that a container can have: { name; preset; tag; file; store; }, one for each data folder of its image,
  # then one for each database that a variable has moved out of them (`file`, a path of the container).
  guardNames =
    context: container:
    let
      parsed = image.parse container.image;
      folders = lib.imap0 (index: preset: {
        name = if index == 0 then container.name else "${container.name}.${preset}";
        inherit preset;
        tag = if parsed == null then null else parsed.tag;
        file = null;
        store = null;
      }) (catalog.forImage parsed);
    in
    folders
    ++ lib.concatMap (
      guard:
      let
        found = folder context container guard;
      in
      lib.mapAttrsToList (store: at: {
        name = "${container.name}.${store}";
        inherit (guard) preset tag;
        file = at;
        inherit store;
      }) (
        lib.filterAttrs (_: at: belowFolder context container found at == null) (
          databases catalog.presets.${guard.preset} container.variables
        )
      )
    ) folders;

  # The host folders that a container keeps and that none of these folders is: { container; folders; why; } or null, and
  # those that belong to a guard's data and are mounted elsewhere.
  notGuarded =
    context: container: presets: kept:
    let
      taken = lib.concatMap (f: f.mounts) kept;
      data = map (f: f.data) kept;
      hosts = map (mount: hostOf context mount "") (
        lib.filter (mount: host.keeps context mount && !lib.elem mount taken) container.mounts
      );
      parts = lib.concatMap (
        f:
        map (inner: {
          folder = inner.host;
          why = "it is mounted inside the data of guard `${f.name}`, at `${inner.below}`, and is not part of its snapshots";
        }) f.nested
        ++ map (part: {
          folder = part.host;
          why = "it is part of the data of guard `${f.name}`, at `${part.at}`, and is not part of its snapshots";
        }) (lib.filter (part: !text.isWithin f.mount part.at) f.outside)
      ) kept;
      told = lib.filter (part: part.folder != null && !lib.elem part.folder data) parts;
      folders = lib.filter (
        path:
        path != null && ephemeralOf path == null && !host.isSystem path && !lib.any (part: part.folder == path) told
      ) hosts;
    in
    map (part: {
      container = container.name;
      folders = [ part.folder ];
      inherit (part) why;
    }) told
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
