# Guards from `services.podman.containers`, by the catalog.
#
# One law keeps this from being infinite: guards depend on no section of a container's `extraConfig` but `[Container]`,
# because our hooks, which name guards, are in the others.
{ config, lib, ... }:
let
  cfg = config.services.aidb;
  podman = config.services.podman;
  aidb = import ../../nix/lib { inherit lib; };
  inherit (aidb) container derive host;

  environment = {
    home = config.home.homeDirectory;
    inherit (config.xdg) stateHome cacheHome configHome;
  };
  context = {
    inherit environment;
    storage =
      let
        root = podman.settings.storage.storage.graphroot or "${config.xdg.dataHome}/containers/storage";
        # Podman expands variables in it.
        expanded = aidb.text.expandVariables {
          HOME = config.home.homeDirectory;
          USER = config.home.username;
        } root;
      in
      podman.settings.containers.engine.volume_path or "${expanded}/volumes";
    volumes = lib.mapAttrs (_: host.volumeUnit environment) podman.volumes;
    inherit (podman) images;
  };

  isDeriving = cfg.enable && podman.enable;
  containers = lib.optionalAttrs isDeriving podman.containers;

  seen = lib.mapAttrs (
    name: c: container.normalize context name c (c.extraConfig.Container or { })
  ) containers;

  # Every folder that can have a guard, in order of the containers: what `guardNames` says, { container; found; }.
  candidates = lib.concatMap (
    name:
    map (
      guard:
      guard
      // {
        container = name;
        found = derive.folder context seen.${name} guard;
      }
    ) (derive.guardNames context seen.${name})
  ) (lib.attrNames containers);

  # A folder that several containers share (a server and its worker) has one guard, the first one.
  distinct = lib.foldl' (
    state: candidate:
    let
      data = candidate.found.data or null;
    in
    if candidate.found.outcome == "absent" then
      state
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
    seen = { };
  } candidates;

  folders = lib.listToAttrs (
    map (
      guard:
      lib.nameValuePair guard.name (guard.found // { inherit (guard) container; })
    ) distinct.guards
  );

  guardOf =
    guard:
    let
      folder = folders.${guard.name};
      # Where Podman's folder begins with a variable that is not known, there is no path; an error says so.
      isKept = folder.outcome == "kept" && lib.hasPrefix "/" folder.data;
      ifKept = value: if isKept then value else null;
    in
    {
      container = lib.mkDefault guard.container;
      preset = lib.mkDefault guard.preset;
      data = lib.mkDefault (ifKept folder.data);
      mount = lib.mkDefault (ifKept folder.mount);
      # mkDefault on each key, so that what a user writes about a store leaves the rest of it alone.
      stores = lib.optionalAttrs (folder.outcome == "kept") (
        lib.mapAttrs (_: store: if store == null then lib.mkDefault null else lib.mapAttrs (_: lib.mkDefault) store) folder.stores
      );
    };

  presetsOf = name: map (guard: guard.preset) (lib.filter (g: g.container == name) candidates);
  isGuarded = folder: cfg.guards.${folder.name}.enable;
  notGuarded =
    lib.concatMap (
      name:
      let
        kept = lib.filter (f: f.outcome == "kept" && f.container == name) (lib.attrValues folders);
        # It shares a folder whose guard is off.
        off = lib.filter (c: c.container == name && !cfg.guards.${c.sharedWith}.enable) distinct.shared;
        # A folder of another guard is guarded, whoever mounts it.
        data = lib.filter (d: d != null) (
          lib.mapAttrsToList (_: guard: guard.data) (lib.filterAttrs (_: guard: guard.enable) cfg.guards)
        );
        others = lib.concatMap (
          n:
          let
            left = lib.filter (folder: !lib.elem folder (data ++ map (c: c.found.data) off)) n.folders;
          in
          lib.optional (left != [ ]) (n // { folders = left; })
        ) (derive.notGuarded context seen.${name} (presetsOf name) kept);
      in
      others
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
      # What the units of these guards need: their folders on the host, and what comes before the check.
      dataOf =
        guards:
        lib.unique (
          map (data: if lib.hasPrefix "~" data then config.home.homeDirectory + lib.removePrefix "~" data else data) (
            lib.filter (data: data != null) (lib.mapAttrsToList (_: guard: guard.data) guards)
          )
        );
      prepareOf = guards: lib.unique (lib.concatMap (guard: guard.prepare) (lib.attrValues guards));
      inherit folders notGuarded containers context seen;
      # Names that two folders would have: a container may be named as the second folder of another.
      clashes = lib.mapAttrs (_: map (guard: guard.container)) (
        lib.filterAttrs (_: guards: lib.length guards > 1) (lib.groupBy (guard: guard.name) distinct.guards)
      );
      inherit (distinct) shared;
      odd = lib.mapAttrs (_: c: c.odd) seen;
    };
  };
}
