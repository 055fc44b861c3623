# services.aidb: the data of the containers of services.podman is looked at, kept, and held where it is not fit.
{
  imports = [
    ./options.nix
    ./guards.nix
    ./hooks.nix
    ./settings.nix
    ./units.nix
    ./activation.nix
    ./offsite.nix
    ./checks.nix
  ];
}
