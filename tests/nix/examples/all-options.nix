# Every option, with another value than its own.
{ config, ... }:
{
  services.podman = {
    enable = true;
    networks.ai = { };
    containers = {
      open-webui = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "${config.home.homeDirectory}/ai/open-webui:/app/backend/data" ];
        network = [ "ai.network" ];
      };
      qdrant = {
        image = "docker.io/qdrant/qdrant:v1.13.0";
        volumes = [ "${config.home.homeDirectory}/ai/qdrant:/qdrant/storage" ];
        network = [ "ai.network" ];
      };
    };
  };

  services.aidb = {
    enable = true;
    vault = "/home/alice/ai/.vault";
    state = "/home/alice/.local/state/aidb-of-alice";
    keep = {
      last = 5;
      daily = 14;
      weekly = 8;
      monthly = 12;
      archives = 4;
    };
    gate = "warn";
    guards.open-webui = {
      policy = {
        uninitialised = "hold";
        missing = "warn";
        damaged = "restore";
        shrunken = "hold";
        mount = "warn";
      };
      exclude = [ "cache/**" "audio/**" ];
      prepare = [ "/usr/bin/systemctl --user start open-ai.service" ];
      stores.chats.contract.maxShrinkPercent.chat = 10;
      stores.vectors = null;
    };
    backup = {
      onCalendar = "*-*-* 03:30";
      onBoot = null;
      persistent = false;
      randomizedDelay = "15min";
    };
    monitor = {
      onCalendar = "*:0/15";
      metrics = "~/metrics/aidb.prom";
      report = "/home/alice/my aidb.html";
    };
    alert = {
      desktop = false;
      command = [ "/home/alice/bin/tell-me" ];
      quietHours = 6;
    };
    archive = {
      onCalendar = "monthly";
      readAll = false;
    };
    settings.programs.notifySend = "/usr/bin/notify-send";
  };
}
