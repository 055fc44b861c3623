# The hooks in the units of `services.podman.containers`.
#
# They enter by `apply` on the containers' own `extraConfig`: definitions of ours beside those of a user would clash with
# a text where ours is a list, and would have to be known before the guards are.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.services.aidb;
  inherit ((import ../../nix/lib { inherit lib; })) hooks text;

  # Looked at for the values of a section only: guards depend on the `[Container]` part of what is made here.
  guardsOf = container: lib.filterAttrs (_: guard: guard.enable && guard.container == container) cfg.guards;

  # Podman's quadlets wait for the folders that they mount by a path: not for those of volumes and arguments.
  mountsFor =
    container: guards:
    let
      awaited = cfg.internal.seen.${container}.awaited or [ ];
      isAwaited = path: lib.any (folder: text.isWithin folder path) awaited;
    in
    map text.unitPath (lib.filter (path: !isAwaited path) (cfg.internal.dataOf guards));

  withHooks =
    container: user:
    let
      guards = guardsOf container;
    in
    if !cfg.enable then
      user
    else
      hooks.withHooks {
        guards = lib.attrNames guards;
        unit = "podman-${container}.service";
        prepare = cfg.internal.prepareOf guards;
        mountsFor = mountsFor container guards;
        migrations = lib.concatLists (
          lib.mapAttrsToList (
            guard: g: lib.mapAttrsToList (store: folder: { inherit guard store; folder = "${folder}"; }) g.migrations
          ) guards
        );
      } user;
in
{
  # No default, example, description, and no type on the inner one: Home Manager's declaration has them.
  options.services.podman.containers = mkOption {
    type = types.attrsOf (
      types.submodule (
        { name, ... }:
        {
          options.extraConfig = mkOption { apply = withHooks name; };
        }
      )
    );
  };
}
