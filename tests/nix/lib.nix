# nix/cases.json, which aidb-core's discover and catalog are tested with, too. Evaluates to the cases that fail.
{ lib }:
let
  aidb = import ../../nix/lib { inherit lib; };
  inherit (aidb)
    text
    image
    volume
    catalog
    container
    derive
    host
    ;

  environment = {
    home = "/home/alice";
    stateHome = "/home/alice/.local/state";
    cacheHome = "/home/alice/.cache";
    configHome = "/home/alice/.config";
  };
  context = {
    inherit environment;
    storage = "/data/containers/storage/volumes";
    volumes = lib.mapAttrs (_: host.volumeUnit environment) {
      data = { };
      dev = {
        device = "/srv/dev";
        type = "none";
      };
      disk.device = "/dev/sda1";
      mem = {
        device = "tmpfs";
        type = "tmpfs";
      };
      ram.extraPodmanArgs = [ "--opt type=ramfs --opt=device=ramfs" ];
      percent.device = "/srv/50%%";
      shm = {
        device = "/dev/shm/x";
        type = "none";
      };
    };
    images.wi.image = "ghcr.io/open-webui/open-webui:v1";
  };

  cases = lib.importJSON ../../nix/cases.json;

  # Cases of one kind that fail; what is expected stands last in each.
  failing =
    about: f: rows:
    lib.concatMap (
      row:
      let
        is = lib.last row;
        got = f (lib.init row);
      in
      lib.optional (got != is) "${about}: ${builtins.toJSON (lib.init row)}: expected ${builtins.toJSON is}, found ${builtins.toJSON got}"
    ) rows;
  table = kind: f: failing kind f cases.${kind};
  of1 = f: row: f (lib.head row);

  # A container as discovery sees it, and its folders.
  discovered =
    given:
    let
      seen = container.normalize context "c" {
        inherit (given) image;
        volumes = given.volumes or [ ];
        environment = given.environment or { };
        extraPodmanArgs = given.podmanArgs or [ ];
      } (given.lines or { });
      guards = derive.guardNames context seen;
      folders = map (derive.folder context seen) guards;
    in
    {
      inherit seen guards folders;
      kept = lib.filter (f: f.outcome == "kept") folders;
    };

  # Where the SQLite files of its guards are.
  databases =
    given:
    lib.listToAttrs (
      map (
        f:
        let
          ofPreset = catalog.presets.${f.preset}.stores;
          there = lib.filterAttrs (name: store: store.kind == "sqlite" && f.stores.${name} or { } != null) ofPreset;
        in
        lib.nameValuePair f.name (lib.mapAttrs (name: store: (f.stores.${name} or { }).path or store.path) there)
      ) (discovered given).kept
    );

  # What becomes of a container.
  outcome =
    given:
    let
      inherit (discovered given)
        seen
        guards
        folders
        kept
        ;
      lost =
        lib.count (f: f.outcome == "lost") folders + lib.count (f: f.ephemeral != null) kept;
      incomplete = lib.length (lib.concatMap (f: f.outside) kept);
      notGuarded = map (n: n.folders) (
        derive.notGuarded context seen (map (g: g.preset) guards) kept
      );
    in
    {
      guards = lib.listToAttrs (map (f: lib.nameValuePair f.name f.data) kept);
    }
    // lib.optionalAttrs (lost > 0) { inherit lost; }
    // lib.optionalAttrs (incomplete > 0) { inherit incomplete; }
    // lib.optionalAttrs (seen.odd != [ ]) { odd = lib.length seen.odd; }
    // lib.optionalAttrs (notGuarded != [ ]) { inherit notGuarded; };

  short =
    read:
    if read ? odd then
      "odd"
    else
      let
        inherit (read.mount) source access;
      in
      lib.concatStringsSep " " (
        [
          source.kind
        ]
        ++ lib.optional (source.kind != "memory") (source.path or source.name or source.unit or source.why or "")
        ++ lib.optional (source ? folder && source.folder != ".") source.folder
        ++ lib.optional (access != "writable") access
      );
in
table "wildcards" (row: text.matchesWildcard (lib.elemAt row 0) (lib.elemAt row 1))
++ table "containerPaths" (of1 text.containerPath)
++ table "specifiers" (of1 (x: (text.expand environment x).text or null))
++ table "words" (of1 text.words)
++ table "images" (
  of1 (
    x:
    let
      parsed = image.parse x;
    in
    if parsed == null then
      null
    else
      [
        (lib.concatStringsSep "/" parsed.path)
        parsed.tag
      ]
  )
)
++ table "presets" (of1 (x: catalog.forImage (image.parse x)))
++ table "dataPaths" (
  row:
  let
    path = catalog.dataPath catalog.presets.${lib.elemAt row 0} (lib.elemAt row 1) (lib.elemAt row 2);
  in
  if path ? variable then
    { inherit (path) variable; }
  else
    {
      path = lib.head path.candidates;
      inherit (path) moved;
    }
)
++ table "stores" (
  row: lib.elem (lib.elemAt row 1) (catalog.storeNames catalog.presets.${lib.elemAt row 0} (lib.elemAt row 2))
)
++ table "storeFiles" (
  row: catalog.databaseAt catalog.presets.${lib.elemAt row 0} (lib.elemAt row 1) (lib.elemAt row 2)
)
++ table "databases" (of1 databases)
++ table "volumes" (of1 (x: short (volume.parseVolume environment x)))
++ table "mounts" (of1 (x: short (volume.parseMount environment x)))
++ table "containers" (of1 outcome)
# The module's alone.
++ failing "changed stores" (
  row: catalog.storeChanges catalog.presets.${lib.elemAt row 0} (lib.elemAt row 1) (lib.elemAt row 2)
) [
  [ "open-webui" { } null { } ]
  [ "open-webui" { DATABASE_URL = "postgresql://db/x"; } null { chats = null; } ]
  [ "ollama" { } "models" { models.path = "."; } ]
]
