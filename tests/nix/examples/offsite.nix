# An off-site copy: restic gets the newest proven snapshots, every night.
{ config, ... }:
{
  services.podman = {
    enable = true;
    containers.open-webui = {
      image = "ghcr.io/open-webui/open-webui:v0.6.38";
      volumes = [ "%h/ai/open-webui:/app/backend/data" ];
    };
  };

  services.aidb = {
    enable = true;
    offsite.enable = true;
  };

  services.restic.backups.aidb = {
    repository = "s3:https://s3.example.org/alice";
    environmentFile = "${config.home.homeDirectory}/.config/restic/s3";
    passwordFile = "${config.home.homeDirectory}/.config/restic/password";
    pruneOpts = [ "--keep-daily 7" "--keep-weekly 4" ];
  };
}
