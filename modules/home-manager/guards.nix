# Guards from `services.podman.containers`, by the catalog.
#
# One law keeps this from being infinite: the *names* of guards depend on containers without their `extraConfig`, which
# our hooks change; their *values* may read everything.
{ config, lib, ... }:
let
  cfg = config.services.aidb;
  podman = config.services.podman;
  aidb = import ../../nix/lib { inherit lib; };
  inherit (aidb) catalog container derive;

  context = {
    environment = {
      home = config.home.homeDirectory;
      inherit (config.xdg) stateHome cacheHome configHome;
    };
    storage =
      let
        root = podman.settings.storage.storage.graphroot or "${config.xdg.dataHome}/containers/storage";
      in
      podman.settings.containers.engine.volume_path or "${root}/volumes";
    volumes = lib.mapAttrs (
      _: v:
      let
        more = v.extraConfig.Volume or { };
        words = lib.concatMap aidb.text.words (v.extraPodmanArgs ++ map toString (lib.toList (more.PodmanArgs or [ ])));
        # As `podman volume create` takes it: `--opt device=/srv/data`.
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
        device = first [ (given "device") (more.Device or null) v.device ];
        type = first [ (given "type") (more.Type or null) v.type ];
      }
    ) podman.volumes;
    inherit (podman) images;
  };

  isDeriving = cfg.enable && podman.enable;
  containers = lib.optionalAttrs isDeriving podman.containers;

  early = lib.mapAttrs (name: c: container.normalize context name c { }) containers;
  whole = lib.mapAttrs (
    name: c: container.normalize context name c (c.extraConfig.Container or { })
  ) containers;

  # Whether what is missing is all that the container would have had there: a cache, or an application whose database
  # is elsewhere.
  isBeside =
    name: guard: found:
    let
      preset = catalog.presets.${guard.preset};
      there = catalog.storeNames preset early.${name}.variables;
      needed = lib.filter (store: !(preset.stores.${store}.optional or false)) (lib.attrNames preset.stores);
    in
    found.outcome == "absent"
    || found.outcome == "lost" && needed != [ ] && !lib.any (store: lib.elem store there) needed;

  # Every folder that can have a guard, in order of the names: { container; name; preset; tag; found; }.
  candidates = lib.concatMap (
    name:
    map (
      guard:
      guard
      // {
        container = name;
        found = derive.folder context early.${name} guard;
      }
    ) (derive.guardNames early.${name})
  ) (lib.attrNames containers);

  # A folder that several containers share (a server and its worker) has one guard, the first one.
  distinct = lib.foldl' (
    state: candidate:
    let
      data = candidate.found.data or null;
    in
    if isBeside candidate.container candidate candidate.found then
      state // { beside = state.beside ++ [ candidate ]; }
    else if data != null && state.seen ? ${data} then
      state // { shared = state.shared ++ [ (candidate // { sharedWith = state.seen.${data}; }) ]; }
    else
      state
      // {
        guards = state.guards ++ [ candidate ];
        seen = state.seen // lib.optionalAttrs (data != null) { ${data} = candidate.name; };
      }
  ) {
    guards = [ ];
    shared = [ ];
    beside = [ ];
    seen = { };
  } candidates;

  folders = lib.listToAttrs (
    map (
      guard:
      lib.nameValuePair guard.name (derive.folder context whole.${guard.container} guard // {
        inherit (guard) container;
      })
    ) distinct.guards
  );

  guardOf =
    guard:
    let
      folder = folders.${guard.name};
      preset = catalog.presets.${guard.preset};
      ifKept = value: if folder.outcome == "kept" then value else null;
    in
    {
      container = lib.mkDefault guard.container;
      preset = lib.mkDefault guard.preset;
      data = lib.mkDefault (ifKept folder.data);
      mount = lib.mkDefault (ifKept folder.mount);
      # mkDefault on each key, so that what a user writes about a store leaves the rest of it alone.
      stores = lib.optionalAttrs (folder.outcome == "kept") (
        lib.mapAttrs (_: store: if store == null then lib.mkDefault null else lib.mapAttrs (_: lib.mkDefault) store) (
          catalog.storeChanges preset whole.${guard.container}.variables folder.moved
        )
      );
    };

  presetsOf = name: map (guard: guard.preset) (lib.filter (g: g.container == name) candidates);
  isGuarded = folder: cfg.guards.${folder.name}.enable;
  notGuarded =
    lib.concatMap (
      name:
      let
        kept = lib.filter (f: f.outcome == "kept" && f.container == name) (lib.attrValues folders);
        # A cache whose volume stands in extraConfig, which no guard's name may depend on.
        late = lib.concatMap (
          guard:
          let
            found = derive.folder context whole.${name} guard;
          in
          lib.optional (found.outcome == "kept") {
            container = name;
            folders = [ found.data ];
            why = "its volume is in extraConfig; to guard it, say services.aidb.guards.${guard.name}.data and .preset";
          }
        ) (lib.filter (guard: guard.container == name && !cfg.guards ? ${guard.name}) distinct.beside);
        # It shares a folder whose guard is off.
        off = lib.filter (c: c.container == name && !cfg.guards.${c.sharedWith}.enable) distinct.shared;
        # A folder of another guard is guarded, whoever mounts it.
        data = lib.filter (d: d != null) (
          lib.mapAttrsToList (_: guard: guard.data) (lib.filterAttrs (_: guard: guard.enable) cfg.guards)
        );
        others = lib.concatMap (
          n:
          let
            left = lib.filter (folder: !lib.elem folder (data ++ lib.concatMap (l: l.folders) late ++ map (c: c.found.data) off)) n.folders;
          in
          lib.optional (left != [ ]) (n // { folders = left; })
        ) (derive.notGuarded context whole.${name} (presetsOf name) kept);
      in
      others
      ++ late
      ++ map (c: {
        container = name;
        folders = [ c.found.data ];
        why = "services.aidb.guards.${c.sharedWith}.enable is false";
      }) off
      ++ map (f: {
        container = name;
        folders = [ f.data ];
        why = "services.aidb.guards.${f.name}.enable is false";
      }) (lib.filter (f: !isGuarded f) kept)
    ) (lib.attrNames containers);
in
{
  config.services.aidb = lib.mkIf cfg.enable {
    guards = lib.listToAttrs (map (guard: lib.nameValuePair guard.name (guardOf guard)) distinct.guards);
    internal = {
      inherit folders notGuarded containers context whole;
      # Names that two folders would have: a container may be named as the second folder of another.
      clashes = lib.mapAttrs (_: map (guard: guard.container)) (
        lib.filterAttrs (_: guards: lib.length guards > 1) (lib.groupBy (guard: guard.name) distinct.guards)
      );
      inherit (distinct) shared;
      odd = lib.mapAttrs (_: seen: seen.odd) whole;
    };
  };
}
