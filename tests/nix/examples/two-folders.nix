# One container with two data folders: one guard each, and hooks that name both.
{
  services.podman = {
    enable = true;
    containers.webui = {
      image = "ghcr.io/open-webui/open-webui:ollama";
      volumes = [
        "%h/ai/webui:/app/backend/data"
        "%h/ai/models:/root/.ollama"
      ];
    };
  };

  services.aidb.enable = true;
}
