# What `nix flake check` runs. No generation of Home Manager is among the outputs: it would have to be built while they
# are listed.
{
  pkgs,
  lib,
  home-manager,
  tools,
  packages,
}:
{
  # Every test of the workspace.
  tests = pkgs.callPackage ./package.nix { doCheck = true; };
}
# Every tool runs and says its name.
// lib.genAttrs tools (
  name:
  pkgs.runCommand "${name}-runs" { } ''
    ${packages.${name}}/bin/${name} --version | tee $out
    grep -q '^${name} ' $out
  ''
)
