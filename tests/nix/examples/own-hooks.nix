# A container that has hooks of its own: a text, a list, a forced value. All of them stay.
{ lib, ... }:
{
  services.podman = {
    enable = true;
    containers.open-webui = {
      image = "ghcr.io/open-webui/open-webui:v0.6.38";
      volumes = [ "%h/ai/open-webui:/app/backend/data" ];
      extraConfig = {
        Unit.OnFailure = "mail@%n.service";
        Service = {
          ExecStartPre = [ "/usr/bin/touch %t/one" "/usr/bin/touch %t/two" ];
          ExecStop = "/usr/bin/touch %t/stopping";
          ExecStopPost = lib.mkForce [ "/usr/bin/touch %t/stopped" ];
          TimeoutStopSec = "5min";
        };
      };
    };
  };

  services.aidb.enable = true;
}
