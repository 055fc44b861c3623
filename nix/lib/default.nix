# Pure functions: from what a configuration says of containers to guards. The same rules as `aidb-core::discover` and
# `aidb-core::catalog`; tests/nix/lib.nix holds their table.
{ lib }:
let
  text = import ./text.nix { inherit lib; };
  image = import ./image.nix { inherit lib; };
  volume = import ./volume.nix { inherit lib text; };
  catalog = import ./catalog.nix { inherit lib text image; };
  container = import ./container.nix { inherit lib text volume; };
  host = import ./host.nix { inherit lib text catalog; };
  derive = import ./derive.nix { inherit lib text image volume host catalog; };
  hooks = import ./hooks.nix { inherit lib; };
in
{
  inherit
    text
    image
    volume
    catalog
    container
    host
    derive
    hooks
    ;
}
