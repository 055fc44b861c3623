# One configuration of Home Manager, evaluated without building anything.
#
# `homeManagerConfiguration` cannot do this: whatever is asked of it, it first checks assertions, one of them looks at
# home.file, and that needs every quadlet built while evaluating.
{
  pkgs,
  homeManager, # a checkout
}:
modules:
let
  lib = import (homeManager + "/modules/lib/stdlib-extended.nix") pkgs.lib;
  evaluated = lib.evalModules {
    class = "homeManager";
    specialArgs.modulesPath = homeManager + "/modules";
    modules =
      modules
      ++ import (homeManager + "/modules/modules.nix") {
        inherit lib pkgs;
        check = true;
      }
      ++ [
        {
          # The manual needs a part of nixpkgs that the stand-in has not.
          manual.manpages.enable = lib.mkDefault false;
          nixpkgs = { inherit (pkgs) config overlays; };
          home = {
            username = lib.mkDefault "alice";
            homeDirectory = lib.mkDefault "/home/alice";
            stateVersion = lib.mkDefault "25.11";
          };
        }
      ];
  };
  inherit (evaluated) config;
in
{
  inherit config;
  inherit (evaluated) options;
  # Ours alone: Home Manager's own look at files that are not built.
  assertions = config.services.aidb.internal.assertions or [ ];
  warnings = config.services.aidb.internal.warnings or [ ];
  quadlets = lib.listToAttrs (
    map (
      q: lib.nameValuePair "${q.serviceName}.${q.resourceType}" q.source
    ) config.services.podman.internal.quadletDefinitions
  );
}
