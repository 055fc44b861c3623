# Four applications with their data below one folder, and one line that guards them.
{
  services.podman = {
    enable = true;
    containers = {
      ollama = {
        image = "docker.io/ollama/ollama";
        volumes = [ "%h/ai/ollama:/root/.ollama" ];
      };
      open-webui = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "%h/ai/open-webui:/app/backend/data" ];
      };
      qdrant = {
        image = "docker.io/qdrant/qdrant:v1.13.0";
        volumes = [ "%h/ai/qdrant:/qdrant/storage" ];
      };
      mindsdb = {
        image = "docker.io/mindsdb/mindsdb";
        volumes = [ "%h/ai/mindsdb:/root/mdb_storage" ];
      };
    };
  };

  services.aidb.enable = true;
}
