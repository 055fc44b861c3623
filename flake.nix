{
  description = "Keeps the data of self-hosted containers: looked at before a start, kept before a stop, proven, restorable";

  inputs = {
    # The packages that the tools are built with.
    nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";
    # The module is tested against it; nothing of it gets into the packages.
    home-manager = {
      url = "github:nix-community/home-manager";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      home-manager,
    }:
    let
      inherit (nixpkgs) lib;

      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      eachSystem =
        f:
        lib.genAttrs (lib.filter (system: nixpkgs.legacyPackages ? ${system}) systems) (
          system: f nixpkgs.legacyPackages.${system}
        );

      # The one list of tools; packages and checks come from it.
      tools = import ./nix/tools.nix;

      toolsOf = pkgs: pkgs.callPackage ./nix/package.nix { };
      tool = pkgs: name: pkgs.callPackage ./nix/tool.nix { inherit name; aidb = toolsOf pkgs; };
    in
    {
      packages = eachSystem (
        pkgs:
        lib.genAttrs tools (tool pkgs)
        // {
          default = toolsOf pkgs;
          demo = pkgs.callPackage ./nix/demo.nix { aidb = toolsOf pkgs; };
          docs = pkgs.callPackage ./nix/docs.nix { inherit home-manager; };
        }
      );

      apps = eachSystem (pkgs: {
        default = {
          type = "app";
          program = "${toolsOf pkgs}/bin/aidb";
          meta.description = "Runs the tool that has the verb";
        };
        demo = {
          type = "app";
          program = lib.getExe self.packages.${pkgs.stdenv.hostPlatform.system}.demo;
          meta.description = "The incident, and what aidb does about it, in a folder of its own";
        };
      });

      overlays.default = final: _prev: { aidb = toolsOf final; };

      homeModules = {
        aidb = ./modules/home-manager;
        default = self.homeModules.aidb;
      };
      # The name that older configurations use.
      homeManagerModules = self.homeModules;

      checks = eachSystem (
        pkgs:
        import ./nix/checks.nix {
          inherit
            pkgs
            lib
            home-manager
            tools
            ;
          packages = self.packages.${pkgs.stdenv.hostPlatform.system};
        }
      );

      formatter = eachSystem (pkgs: pkgs.nixfmt-tree);

      devShells = eachSystem (pkgs: {
        default = pkgs.callPackage ./nix/shell.nix { };
      });
    };
}
