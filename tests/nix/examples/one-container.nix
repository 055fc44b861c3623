# The shortest: one application, one folder, one line.
{
  services.podman = {
    enable = true;
    containers.open-webui = {
      image = "ghcr.io/open-webui/open-webui:v0.6.38";
      volumes = [ "%h/ai/open-webui:/app/backend/data" ];
    };
  };

  services.aidb.enable = true;
}
