# The options of services.aidb as one page. By evaluation alone: the page is a text.
{
  lib,
  pkgs,
  writeTextFile,
  home-manager,
}:
let
  hmLib = import (home-manager + "/modules/lib/stdlib-extended.nix") lib;

  evaluated = hmLib.evalModules {
    class = "homeManager";
    specialArgs.modulesPath = home-manager + "/modules";
    modules =
      import (home-manager + "/modules/modules.nix") {
        lib = hmLib;
        inherit pkgs;
        check = true;
      }
      ++ [
        ../modules/home-manager
        {
          nixpkgs = { inherit (pkgs) config overlays; };
          home = {
            username = "alice";
            homeDirectory = "/home/alice";
            stateVersion = "25.11";
          };
        }
      ];
  };

  options = lib.filter (option: option.visible && !option.internal) (
    lib.optionAttrSetToDocList evaluated.options.services.aidb
  );

  # A value as it is written, or as its author says it is.
  shown =
    value:
    if value._type or "" == "literalMD" then
      " ${value.text}"
    else
      let
        text = if value ? _type then value.text else lib.generators.toPretty { } value;
      in
      if lib.hasInfix "\n" text then "\n\n```nix\n${lib.removeSuffix "\n" text}\n```" else " `${text}`";

  describe =
    option:
    lib.concatLines (
      [
        "## ${lib.replaceStrings [ "<" ">" ] [ "\\<" "\\>" ] option.name}"
        ""
        (lib.trim (option.description.text or option.description))
        ""
        "- Type: ${option.type}"
      ]
      ++ lib.optional (option ? default) "- Default:${shown option.default}"
      ++ lib.optional (option ? example) "- Example:${shown option.example}"
    );

  text = ''
    # Options of services.aidb

    For Home Manager. `services.aidb.enable = true;` is enough; the rest is for what is different in your house.

    ${lib.concatMapStringsSep "\n" describe options}
  '';
in
writeTextFile {
  name = "aidb-options";
  inherit text;
  destination = "/share/doc/aidb/options.md";
  passthru = { inherit options text; };
  meta = {
    description = "The options of the Home Manager module, as one page";
    license = lib.licenses.mit;
    platforms = lib.platforms.all;
  };
}
