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

  # The tools without what makes a release small: minutes less, and the same program.
  quick = (pkgs.callPackage ../../nix/package.nix { }).overrideAttrs {
    CARGO_PROFILE_RELEASE_LTO = "off";
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS = "16";
    CARGO_PROFILE_RELEASE_OPT_LEVEL = "1";
  };
  withTools = modules: generation (modules ++ [ { services.aidb.package = lib.mkDefault quick; } ]);

  # Tools that answer as they are told by a file, and write down how they were called.
  standIn = pkgs.runCommand "aidb-stand-in" { } ''
    mkdir -p $out/bin
    for tool in ${lib.escapeShellArgs (import ../../nix/tools.nix)} systemctl; do
      cp ${./stand-in} $out/bin/$tool
      chmod +x $out/bin/$tool
    done
  '';
in
{
  inherit quick;

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
  stacks = lib.mapAttrs (name: file: (withTools [ aidb file ]).config.services.aidb.internal.checked) examples;

  # With tools that take everything: what is left is whether systemd understands the timers.
  timers = lib.mapAttrs (
    _: options:
    (generation [
      aidb
      examples.four-containers
      { services.aidb = options // { package = standIn; }; }
    ]).config.services.aidb.internal.checked
  ) {
    good.backup = { onCalendar = "*-*-* 03:30"; onBoot = "1h 5min"; };
    calendar.backup.onCalendar = "every night";
    span.backup.randomizedDelay = "a while";
    off.monitor = { enable = false; onCalendar = "never"; };
  };

  # Examples that are nothing but containers: the tools derive the same guards from the units alone.
  derived = lib.genAttrs [ "every-volume" "four-containers" "own-hooks" "two-folders" ] (
    name: (withTools [ aidb examples.${name} ]).activationPackage
  );

  # With the real tools, and with the stand-in.
  four = (withTools [ aidb examples.four-containers ]).activationPackage;
  own = (withTools [ aidb examples.own-application ]).activationPackage;
  gated =
    (generation [
      aidb
      examples.four-containers
      {
        services.aidb.package = standIn;
        systemd.user.systemctlPath = "${standIn}/bin/systemctl";
      }
    ]).activationPackage;

  # What tests/e2e activates: the same container without us, with us, and with another image. The tools are those under test.
  machine =
    tools:
    let
      without.services.aidb.enable = lib.mkForce false;
      newer.services.podman.containers.open-webui.image = lib.mkForce "ghcr.io/open-webui/open-webui:v0.12.4";
    in
    lib.mapAttrs
      (
        _: modules:
        (generation (
          [
            aidb
            examples.one-container
            {
              services.aidb.package = pkgs.runCommand "aidb-under-test" { } ''
                mkdir -p $out
                cp -r ${builtins.path { name = "tools"; path = tools; }} $out/bin
              '';
            }
          ]
          ++ modules
        )).activationPackage
      )
      {
        without-one = [ without ];
        without-two = [
          without
          newer
        ];
        one = [ ];
        two = [ newer ];
      };
}
