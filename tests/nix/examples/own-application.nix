# Applications that nobody knows: one in services.podman, one in a unit of its own, one that is only a folder. And the
# application AIDB, with migrations that run before it starts.
{
  services.podman = {
    enable = true;
    containers.notes = {
      image = "docker.io/me/notes:3";
      volumes = [ "%h/notes:/data" ];
    };
  };

  services.aidb = {
    enable = true;
    guards = {
      notes = {
        data = "/home/alice/notes";
        mount = "/data";
        exclude = [ "tmp/**" ];
        stores.notes = {
          kind = "sqlite";
          path = "notes.db";
          contract = {
            tables = [ "note" ];
            neverShrink = [ "note" ];
          };
        };
        policy.uninitialised = "hold";
      };
      paperless = {
        unit = "paperless.service";
        data = "/home/alice/paperless/data";
        preset = "paperless-ngx";
      };
      letters = {
        data = "/home/alice/letters";
        stores.letters = {
          kind = "files";
          path = ".";
        };
      };
      aidb = {
        unit = "aidb-app.service";
        data = "/home/alice/.local/share/aidb";
        preset = "aidb";
        migrations.aidb = ./migrations;
      };
    };
  };
}
