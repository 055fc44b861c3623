# `nix run .#demo`: the incident, and what the tools do about it, in a temporary folder.
{
  lib,
  callPackage,
  writeShellApplication,
  aidb,
}:
writeShellApplication {
  name = "aidb-demo";
  runtimeInputs = [ (callPackage ./package.nix { programs = [ "xtask" ]; }) ];
  # The program was built elsewhere: it is told where the tools are, and the files that a real Open WebUI wrote.
  text = ''
    export AIDB_DEMO_TOOLS=${aidb}/bin AIDB_FIXTURES=${../tests/fixtures}
    exec xtask demo
  '';
  meta = {
    description = "The incident, and what aidb does about it, in a folder of its own";
    inherit (aidb.meta) license platforms;
  };
}
