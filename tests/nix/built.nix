# Whole generations. Home Manager builds every quadlet while it evaluates one.
{
  lib,
  pkgs,
  homeManager,
  aidb,
  examples,
}:
let
  generation =
    modules:
    import (homeManager + "/modules") {
      inherit pkgs;
      configuration = {
        imports = modules;
        manual.manpages.enable = false;
        home = {
          username = "alice";
          homeDirectory = "/home/alice";
          stateVersion = "25.11";
        };
      };
    };
  path = modules: builtins.unsafeDiscardStringContext (generation modules).activationPackage.drvPath;
  ignored.options.services.aidb = lib.mkOption { type = lib.types.anything; };

  # Tools that answer as they are told by a file, and write down how they were called.
  standIn = pkgs.runCommand "aidb-stand-in" { } ''
    mkdir -p $out/bin
    for tool in ${lib.escapeShellArgs (import ../../nix/tools.nix)}; do
      cp ${./stand-in} $out/bin/$tool
      chmod +x $out/bin/$tool
    done
  '';
in
{
  laws = {
    "disabled: the same generation as without the module" = lib.concatMap (
      name:
      lib.optional (
        path [
          aidb
          examples.${name}
          { services.aidb.enable = lib.mkForce false; }
        ] != path [
          ignored
          examples.${name}
        ]
      ) name
    ) (lib.filter (name: name != "offsite") (lib.attrNames examples));

    "another configuration folder gets the links twice" =
      let
        there = lib.filter (lib.hasInfix "aidb/") (
          lib.attrNames
            (generation [
              aidb
              examples.four-containers
              { xdg.configHome = "/home/alice/conf"; }
            ]).config.home.file
        );
      in
      lib.optional (
        there != [
          ".config/aidb/bin"
          ".config/aidb/stack.json"
          "/home/alice/conf/aidb/bin"
          "/home/alice/conf/aidb/stack.json"
        ]
      ) (toString there);
  };

  # stack.json of every example, checked by the real tool.
  stacks = lib.mapAttrs (name: file: (generation [ aidb file ]).config.services.aidb.internal.checked) examples;

  # Examples that are nothing but containers: the tools derive the same guards from the units alone.
  derived = lib.genAttrs [ "every-volume" "four-containers" "own-hooks" "two-folders" ] (
    name: (generation [ aidb examples.${name} ]).activationPackage
  );

  # With the real tools, and with the stand-in.
  four = (generation [ aidb examples.four-containers ]).activationPackage;
  own = (generation [ aidb examples.own-application ]).activationPackage;
  gated = lib.genAttrs [ "hold" "warn" ] (
    gate:
    (generation [
      aidb
      examples.four-containers
      {
        services.aidb = {
          inherit gate;
          package = standIn;
        };
      }
    ]).activationPackage
  );
}
