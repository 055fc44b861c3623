# `nix run .#demo`: the incident, and what the tools do about it, in a temporary folder.
{
  lib,
  callPackage,
  writeShellApplication,
  aidb,
}:
writeShellApplication {
  name = "aidb-demo";
  runtimeInputs = [
    (callPackage ./package.nix { programs = [ "xtask" ]; })
    aidb
  ];
  text = ''exec xtask demo "$@"'';
  meta = {
    description = "The incident, and what aidb does about it, in a folder of its own";
    inherit (aidb.meta) license platforms;
  };
}
