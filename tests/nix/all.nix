# Everything that is tested by evaluation alone: name of the check = what fails.
{
  nixpkgs ? throw "no nixpkgs", # assembled, see hostpkgs/; or nixpkgs itself
  pkgs ? import nixpkgs { system = "x86_64-linux"; },
  homeManager, # a checkout
}:
let
  inherit (pkgs) lib;
  evaluate = import ./evaluate.nix { inherit pkgs homeManager; };
  texts = import ./texts.nix { inherit lib; };
  aidb = ../../modules/home-manager;

  examples = lib.mapAttrs' (file: _: lib.nameValuePair (lib.removeSuffix ".nix" file) (./examples + "/${file}")) (
    lib.filterAttrs (file: _: lib.hasSuffix ".nix" file) (builtins.readDir ./examples)
  );
  example = name: evaluate [ aidb examples.${name} ];

  said = import ./said.nix;
  sayings =
    case:
    let
      found = evaluate [ aidb case.config ];
      # The list of platforms is nixpkgs' own.
      plain = message: lib.head (lib.splitString "\n\n" message);
      errors = map (a: plain a.message) (lib.filter (a: !a.assertion) found.assertions);
      compare = what: expected: found: lib.optional (expected != found) "${what}: expected ${builtins.toJSON expected}, found ${builtins.toJSON found}";
    in
    compare "errors" (case.errors or [ ]) errors ++ compare "warnings" (case.warnings or [ ]) found.warnings;
in
{
  inherit examples pkgs aidb evaluate;

  # What needs quadlets to be built while evaluating.
  built = import ./built.nix {
    inherit
      lib
      pkgs
      homeManager
      aidb
      examples
      ;
  };

  goldens = lib.mapAttrs (name: _: texts (example name)) examples;

  checks = {
    "lib: the table" = import ./lib.nix { inherit lib; };
  }
  // lib.mapAttrs' (name: _: lib.nameValuePair "example ${name}: nothing is said" (
    let
      found = example name;
    in
    map (a: a.message) (lib.filter (a: !a.assertion) found.assertions) ++ found.warnings
  )) examples
  // lib.mapAttrs' (name: case: lib.nameValuePair "said: ${name}" (sayings case)) said
  // lib.mapAttrs' (name: failing: lib.nameValuePair "law: ${name}" failing) (
    import ./properties.nix {
      inherit
        lib
        evaluate
        aidb
        examples
        ;
    }
  );
}
