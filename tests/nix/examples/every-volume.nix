# Volumes in all the ways in which they can be written, and variables that move the data, or its database alone.
{
  services.podman = {
    enable = true;
    volumes = {
      chats = { };
      vectors = {
        type = "none";
        device = "/srv/vectors";
      };
    };
    images.webui.image = "ghcr.io/open-webui/open-webui:v0.6.38";
    containers = {
      named = {
        image = "webui.image";
        volumes = [ "chats.volume:/app/backend/data" ];
      };
      device = {
        image = "docker.io/qdrant/qdrant:v1.13.0";
        volumes = [ "vectors.volume:/qdrant/storage" ];
      };
      above = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "/srv/above:/app/backend" ];
      };
      mount = {
        image = "docker.io/mindsdb/mindsdb";
        extraConfig.Container.Mount = "type=bind,source=/srv/mindsdb,target=/root/mdb_storage";
      };
      argument = {
        image = "docker.io/n8nio/n8n";
        extraPodmanArgs = [ "-v" "/srv/n8n:/home/node/.n8n" ];
      };
      moved = {
        image = "docker.io/ollama/ollama";
        volumes = [ "/srv/models:/models" ];
        environment.OLLAMA_MODELS = "/models";
      };
      database = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "/srv/database:/app/backend/data" "/fast/database:/database" ];
        environment.DATABASE_URL = "sqlite:////database/webui.db";
      };
      models = {
        image = "docker.io/ollama/ollama";
        volumes = [ "/big/models:/root/.ollama/models" ];
      };
      elsewhere = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "/srv/elsewhere:/app/backend/data" ];
        environment.DATABASE_URL = "postgresql://webui@db/webui";
      };
    };
  };

  services.aidb.enable = true;
}
