# What `nix flake check` runs: the tools build and run, the core's unit tests, the module's laws. The rest of the tests
# (transcripts, the corpus, other processes, systemd and Podman) are `tests/run`'s and CI's. No generation of Home Manager is among the outputs: it would have to be built while they
# are listed.
{
  pkgs,
  lib,
  home-manager,
  tools,
  packages,
}:
{
  # The unit tests of aidb-core. The program beside them is the smallest one; the tools have checks of their own.
  tests = pkgs.callPackage ./package.nix {
    doCheck = true;
    programs = [ "xtask" ];
  };

  # The module: what is said of which configuration, what no option changes, the rules of discovery. Golden texts are
  # compared by tests/nix/run, with a package set that does not change.
  module =
    let
      inherit
        (import ../tests/nix/all.nix {
          inherit pkgs;
          homeManager = home-manager;
        })
        checks
        ;
      failing = lib.filterAttrs (_: what: what != [ ]) checks;
    in
    pkgs.runCommand "module" { } (
      if failing == { } then
        "echo ${toString (lib.length (lib.attrNames checks))} checks > $out"
      else
        "echo ${
          lib.escapeShellArg (lib.concatLines (lib.mapAttrsToList (name: what: "${name}: ${toString what}") failing))
        } >&2; exit 1"
    );
}
# Every tool runs and says its name.
// lib.genAttrs tools (
  name:
  pkgs.runCommand "${name}-runs" { } ''
    ${packages.${name}}/bin/${name} --version | tee $out
    grep -q '^${name} ' $out
  ''
)
