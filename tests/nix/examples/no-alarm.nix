# Nothing here is wrong: a cache, a database elsewhere, a folder that two containers share, an unknown application, a
# container that is to be left alone.
{
  services.podman = {
    enable = true;
    containers = {
      cache.image = "docker.io/library/redis:7";
      other-cache = {
        image = "docker.io/library/redis:7";
        extraConfig.Container.Volume = "/srv/cache:/data";
      };
      webui = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        environment = {
          DATABASE_URL = "postgresql://webui@db/webui";
          VECTOR_DB = "pgvector";
        };
      };
      cloud = {
        image = "docker.io/library/nextcloud:31";
        volumes = [ "/srv/cloud:/var/www/html" ];
      };
      cloud-cron = {
        image = "docker.io/library/nextcloud:31";
        exec = "/cron.sh";
        volumes = [ "/srv/cloud:/var/www/html" ];
      };
      app = {
        image = "docker.io/me/app";
        volumes = [ "/srv/app:/data" "/etc/localtime:/etc/localtime:ro" ];
      };
      scratch.image = "docker.io/qdrant/qdrant:v1.13.0";
    };
  };

  services.aidb = {
    enable = true;
    guards.scratch.enable = false;
    # The guard of `cloud` has the folder. That this one has no hooks of its own is meant: it can be stopped at any time.
    guards.cloud-cron.enable = false;
  };
}
