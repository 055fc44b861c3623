# What is said of a configuration: exactly these errors, exactly these warnings.
let
  containers = containers: {
    services.podman = {
      enable = true;
      inherit containers;
    };
    services.aidb.enable = true;
  };
  webui = more: containers { webui = { image = "ghcr.io/open-webui/open-webui:v0.6.38"; } // more; };
  data = "/app/backend/data";
  keep = "write services.podman.containers.webui.volumes = [ \"/home/alice/webui:/app/backend/data\" ]";
  leave = "if losing it is fine, say `services.aidb.guards.webui.enable = false;`";
  lost = why: way: [
    "services.podman.containers.webui: nothing keeps `/app/backend/data`, where its image has its data: ${why}. To keep it, ${way}; ${leave}"
  ];
  postgres = containers {
    db = {
      image = "docker.io/library/postgres:16";
      volumes = [ "/srv/db:/var/lib/postgresql/data" "/fast/wal:/var/lib/postgresql/data/pg_wal" ];
    };
  };
  guard = name: guard: {
    services.podman = {
      enable = true;
      containers.open-webui = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "%h/ai/open-webui:/app/backend/data" ];
      };
    };
    services.aidb = {
      enable = true;
      guards.${name} = guard;
    };
  };
in
{
  "an image that is known, and no volume" = {
    config = webui { };
    errors = lost "no volume holds it, so it is written to the container's own layer" keep;
  };
  "a volume elsewhere, and what was not understood" = {
    config = webui { volumes = [ "%h/a:/somewhere" "a:b:c:d" ]; };
    errors = [
      "services.podman.containers.webui: nothing keeps `/app/backend/data`, where its image has its data: no volume holds it, so it is written to the container's own layer. (Not understood: expected `SOURCE:TARGET:OPTIONS`, found `a:b:c:d`.) To keep it, ${keep}; ${leave}"
    ];
  };
  "a tilde" = {
    config = webui { volumes = [ "~/ai:${data}" ]; };
    errors = lost "`~/ai` begins with `~`, which nothing expands" "write \${config.home.homeDirectory} in place of `~`";
  };
  "a relative path" = {
    config = webui { volumes = [ "./ai:${data}" ]; };
    errors = lost "`./ai` is relative to the unit file" keep;
  };
  "a path with dots" = {
    config = webui { volumes = [ "%h/x/../ai:${data}" ]; };
    errors = lost "`/home/alice/x/../ai` has `..` in it, so it cannot be told which folder that is" "write the path without `..`";
  };
  "an anonymous volume" = {
    config = webui { volumes = [ data ]; };
    errors = lost "its volume is anonymous, and Podman deletes that with the container" keep;
  };
  "an overlay" = {
    config = webui { volumes = [ "/srv/ai:${data}:O" ]; };
    errors = lost "its volume has the option `O`, whose writes vanish with the container" "take the option away";
  };
  "read-only" = {
    config = webui { volumes = [ "/srv/ai:${data}:ro" ]; };
    errors = lost "its volume has the option `ro`, so the container cannot write it" "take the option away";
  };
  "memory" = {
    config = webui { extraConfig.Container.Tmpfs = data; };
    errors = lost "it is mounted in memory" keep;
  };
  "a volume unit that is not there" = {
    config = webui { volumes = [ "chats.volume:${data}" ]; };
    errors = lost "`chats.volume` is no volume of services.podman.volumes" "declare it there, or ${keep}";
  };
  "a variable that is no path" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      environment.DATA_DIR = "./data";
    };
    errors = [
      "services.podman.containers.webui: nothing keeps its data: `DATA_DIR` is `./data`, which is no absolute path, so it cannot be told where the data is. To keep it, write an absolute path on a volume; ${leave}"
    ];
  };
  "a folder that does not outlive a boot" = {
    config = webui { volumes = [ "/tmp/ai:${data}" ]; };
    errors = [
      "services.podman.containers.webui: its data is in `/tmp/ai`, and `/tmp` does not outlive a boot. Mount a folder below /home/alice; ${leave}"
    ];
  };
  "the way out: leave it alone" = {
    config = {
      imports = [ (webui { }) ];
      services.aidb.guards.webui.enable = false;
    };
  };
  "the way out: say where it is" = {
    config = {
      imports = [ (webui { }) ];
      services.aidb.guards.webui.data = "/srv/webui";
    };
  };
  "two containers of one folder" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      services.podman.containers.worker = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "/srv/ai:${data}" ];
      };
    };
    warnings = [
      "services.podman.containers.worker: it shares `/srv/ai` with container \"webui\", whose guard has the hooks; \"worker\" itself is not held at a start, and its stop keeps no snapshot. The timer keeps the folder all the same. If that is meant, say `services.aidb.guards.worker.enable = false;`"
    ];
  };
  "two containers of one folder, the way out" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      services.podman.containers.worker = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "/srv/ai:${data}" ];
      };
      services.aidb.guards.worker.enable = false;
    };
  };
  "two containers of one folder, and the other one has the guard" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      services.podman.containers.worker = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ "/srv/ai:${data}" ];
      };
      services.aidb.guards.webui.container = "worker";
    };
  };
  "another system" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      nixpkgs.overlays = [
        (_final: prev: {
          stdenv = prev.stdenv // {
            hostPlatform = prev.lib.systems.elaborate "aarch64-darwin";
          };
        })
      ];
    };
    errors = [ "The module services.aidb does not support your platform. It only supports" ];
  };
  "a held start that would go on" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      extraConfig.Service.SuccessExitStatus = "1 2";
    };
    errors = [
      "services.podman.containers.webui.extraConfig.Service.SuccessExitStatus: 1 counts as success there, so a start that is held would go on. Take 1 away; ${leave}"
    ];
  };
  "a stop that has too little time" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      extraConfig.Service.TimeoutStopSec = 20;
    };
    warnings = [
      "services.podman.containers.webui.extraConfig.Service.TimeoutStopSec: a snapshot at the stop may take 20 seconds, found 20. Write 60, which is the default of a guarded container"
    ];
  };
  "a guard of no container" = {
    config = guard "webui" { exclude = [ "audio/**" ]; };
    errors = [
      "services.aidb.guards.webui.container: no container \"webui\" in services.podman.containers; did you mean \"open-webui\"? For an application that runs otherwise, say `unit` and `data`"
    ];
  };
  "a guard of another container" = {
    config = guard "chats" {
      container = "openwebui";
      data = "/srv/chats";
    };
    errors = [
      "services.aidb.guards.chats.container: no container \"openwebui\" in services.podman.containers; did you mean \"open-webui\"? For an application that runs otherwise, say `unit` and `data`"
    ];
  };
  "a folder of its own that is named nearly like a container" = {
    config = guard "open-webu" {
      data = "/srv/chats";
      stores.chats = {
        kind = "files";
        path = ".";
      };
    };
    warnings = [
      "services.aidb.guards.open-webu: it belongs to no unit, so its data is kept by the timer alone; did you mean \"open-webui\"? If that is meant, choose a name that is further from the container's"
    ];
  };
  "a unit of Home Manager's own" = {
    config = guard "chats" {
      unit = "podman-open-webui.service";
      data = "/srv/chats";
    };
    errors = [
      "services.aidb.guards.chats.unit: podman-open-webui.service is container \"open-webui\" of services.podman.containers; write `container = \"open-webui\";` in place of `unit`"
    ];
  };
  "a unit that the container has not" = {
    config = guard "open-webui" { unit = "webui.service"; };
    errors = [
      "services.aidb.guards.open-webui.unit: container \"open-webui\" is in services.podman.containers, where its unit is podman-open-webui.service; found webui.service. Leave `unit` out"
    ];
  };
  "a unit without a folder" = {
    config = guard "paperless" { unit = "paperless.service"; };
    errors = [
      "services.aidb.guards.paperless.data: the image of container \"paperless\" has no preset of that name, so it cannot be told where the data is; write the folder on the host"
    ];
  };
  "a name that a unit's line could not hold" = {
    config = guard "my letters" {
      container = "open-webui";
      data = "/srv/letters";
    };
    errors = [
      "services.aidb.guards: \"my letters\" is no name for a guard; write a letter or digit, then letters, digits, `_`, `.`, `-`, as for a container"
    ];
  };
  "two guards of one folder" = {
    config = guard "chats" {
      container = "open-webui";
      data = "/home/alice/ai/open-webui";
    };
    errors = [
      "services.aidb.guards: \"chats\" and \"open-webui\" guard the same folder, `/home/alice/ai/open-webui`; say `services.aidb.guards.open-webui.enable = false;`"
    ];
  };
  "the vault inside of the data" = {
    config = {
      imports = [ (webui { volumes = [ "%h/ai:${data}" ]; }) ];
      services.aidb.vault = "~/ai/vault";
    };
    errors = [
      "services.aidb.vault: `/home/alice/ai/vault` and the data of guard \"webui\", `/home/alice/ai`, hold each other; choose another folder for services.aidb.vault"
    ];
  };
  "the data inside of the state" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/state/ai:${data}" ]; }) ];
      services.aidb.state = "/srv/state";
    };
    errors = [
      "services.aidb.state: `/srv/state` and the data of guard \"webui\", `/srv/state/ai`, hold each other; choose another folder for services.aidb.state"
    ];
  };
  "a migration that a line cannot hold" = {
    config = guard "open-webui" { migrations.chats = "/srv/my migrations"; };
    errors = [
      "services.aidb.guards.open-webui.migrations: store \"chats\" and its folder stand in a unit's line, without spaces, quotes, `$`, `\\` and `%`; rename what has them"
    ];
  };
  "containers, and Podman off" = {
    config = {
      services.podman.containers.webui.image = "ghcr.io/open-webui/open-webui:v0.6.38";
      services.aidb.enable = true;
    };
    warnings = [
      "services.aidb: containers are declared, but services.podman.enable is false, so they are not there and none of them is guarded. Enable it, or take them away"
    ];
  };
  "a volume in memory" = {
    config = {
      imports = [ (webui { volumes = [ "chats.volume:${data}" ]; }) ];
      services.podman.volumes.chats = {
        device = "tmpfs";
        type = "tmpfs";
      };
    };
    errors = lost "its volume is in memory (`tmpfs`)" keep;
  };
  "a guard of another folder than the container's" = {
    config = guard "open-webui" { data = "/srv/old"; };
    errors = [
      "services.aidb.guards.open-webui.data: it is `/srv/old`, but container \"open-webui\" sees `/home/alice/ai/open-webui` at `/app/backend/data`, so what it writes would not be guarded. Write that folder, or leave `data` out where it can be derived"
    ];
  };
  "a guard of the container's folder, written otherwise" = {
    config = guard "open-webui" { data = "~/ai//open-webui/"; };
  };
  "two guards of one folder, written otherwise" = {
    config = guard "chats" {
      container = "open-webui";
      data = "~/ai/open-webui/";
    };
    errors = [
      "services.aidb.guards: \"chats\" and \"open-webui\" guard the same folder, `/home/alice/ai/open-webui`; say `services.aidb.guards.open-webui.enable = false;`"
    ];
  };
  "a held start that would go on, by a name" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      extraConfig.Service.SuccessExitStatus = [ "2\tFAILURE" ];
    };
    errors = [
      "services.podman.containers.webui.extraConfig.Service.SuccessExitStatus: 1 counts as success there, so a start that is held would go on. Take 1 away; ${leave}"
    ];
  };
  "a status that is reset, and no limit to a stop" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      extraConfig.Service = {
        SuccessExitStatus = [ 1 "" "2" ];
        TimeoutStopSec = 0;
      };
    };
  };
  "snapshots in a folder that does not outlive a boot" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      services.aidb.vault = "/tmp/vault";
    };
    errors = [
      "services.aidb.vault: `/tmp/vault` does not outlive a boot, since `/tmp` does not; choose a folder below /home/alice"
    ];
  };
  "the folder that restic reads is somebody's" = {
    config = {
      imports = [ (webui { volumes = [ "/home/alice/ai:${data}" ]; }) ];
      services.aidb.offsite = {
        enable = true;
        folder = "/home/alice";
      };
      services.restic.backups.aidb = {
        repository = "/srv/restic";
        passwordFile = "/home/alice/password";
      };
    };
    errors =
      let
        holds = other: "services.aidb.offsite.folder: `/home/alice` and `${other}` hold each other, and what is handed over is made anew and removed; choose a folder that nothing else uses";
      in
      [
        "services.aidb.offsite.folder: `/home/alice` and the data of guard \"webui\", `/home/alice/ai`, hold each other; choose another folder for services.aidb.offsite.folder"
        (holds "/home/alice")
        (holds "/home/alice/.local/share/aidb-vault")
        (holds "/home/alice/.local/state/aidb")
      ];
  };
  "a container named as another's second folder" = {
    config = {
      imports = [ (webui { image = "ghcr.io/open-webui/open-webui:ollama"; volumes = [ "/srv/ai:${data}" "/srv/models:/root/.ollama" ]; }) ];
      services.podman.containers."webui.ollama" = {
        image = "docker.io/ollama/ollama";
        volumes = [ "/srv/other:/root/.ollama" ];
      };
    };
    errors = [
      "services.podman.containers: the guards of \"webui\" and \"webui.ollama\" would both be named \"webui.ollama\", so one of them would not be guarded; rename a container"
    ];
  };
  "migrations that nothing would run" = {
    config = guard "letters" {
      data = "/srv/letters";
      stores.letters = {
        kind = "sqlite";
        path = "letters.db";
      };
      migrations.letters = "/srv/migrations";
    };
    errors = [
      "services.aidb.guards.letters.migrations: the guard belongs to no unit, so nothing would run them; say `unit`, or `container`"
    ];
  };
  "a guard of a container that resembles none" = {
    config = guard "letters" {
      container = "zzzz";
      data = "/srv/letters";
    };
    errors = [
      "services.aidb.guards.letters.container: no container \"zzzz\" in services.podman.containers. For an application that runs otherwise, say `unit` and `data`"
    ];
  };
  "a store in memory" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      extraConfig.Container.Tmpfs = "${data}/vector_db";
    };
    errors = [
      "services.podman.containers.webui: its store \"vectors\" is at `/app/backend/data/vector_db`, where another mount is (which keeps nothing), so guard \"webui\" of `/srv/ai` would not see it. Take that mount away, or say `services.aidb.guards.webui.stores.vectors = null;`"
    ];
  };
  "the database on a mount of its own" = {
    config = webui { volumes = [ "/srv/ai:${data}" "/srv/db/webui.db:${data}/webui.db" ]; };
    errors = [
      "services.podman.containers.webui: its store \"chats\" is at `/app/backend/data/webui.db`, where another mount is (`/srv/db/webui.db`), so guard \"webui\" of `/srv/ai` would not see it. Take that mount away, or say `services.aidb.guards.webui.stores.chats = null;` and guard `/srv/db/webui.db` on its own"
    ];
  };
  "the database on a mount of its own, the way out" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" "/srv/db/webui.db:${data}/webui.db" ]; }) ];
      services.aidb.guards.webui.stores.chats = null;
    };
  };
  "uploads on a disk of their own, and a cache in memory" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" "/big/uploads:${data}/uploads" ];
      extraConfig.Container.Tmpfs = "${data}/cache";
    };
  };
  "a volume in memory, by an argument" = {
    config = {
      imports = [ (webui { volumes = [ "chats.volume:${data}" ]; }) ];
      services.podman.volumes.chats.extraPodmanArgs = [ "--opt type=tmpfs" "--opt=device=tmpfs" ];
    };
    errors = lost "its volume is in memory (`tmpfs`)" keep;
  };
  "a volume of a folder that does not outlive a boot, by extraConfig" = {
    config = {
      imports = [ (webui { volumes = [ "chats.volume:${data}" ]; }) ];
      services.podman.volumes.chats.extraConfig.Volume = {
        Device = "/tmp/chats";
        Type = "none";
        Options = "bind";
      };
    };
    errors = [
      "services.podman.containers.webui: its data is in `/tmp/chats`, and `/tmp` does not outlive a boot. Mount a folder below /home/alice; ${leave}"
    ];
  };
  "a database elsewhere, and a variable in extraConfig that says so" = {
    config = webui { extraConfig.Container.Environment.DATABASE_URL = "postgresql://webui@db/webui"; };
  };
  "a database out of the data folder, on no volume" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" ];
      environment.DATABASE_URL = "sqlite:////other/webui.db";
    };
    errors = [
      "services.podman.containers.webui: nothing keeps `/other`, where a variable has its database (`/other/webui.db`): no volume holds it, so it is written to the container's own layer. To keep it, write services.podman.containers.webui.volumes = [ \"/home/alice/webui.chats:/other\" ], or take that variable away; if losing it is fine, say `services.aidb.guards.\"webui.chats\".enable = false;`"
    ];
  };
  "a database out of the data folder, the file alone mounted, in extraConfig" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" "/srv/webui.db:/other/webui.db" ];
      extraConfig.Container.Environment = "DATABASE_URL=sqlite:////other/webui.db";
    };
    errors = [
      "services.podman.containers.webui: nothing keeps `/other`, where a variable has its database (`/other/webui.db`): `/other/webui.db` alone is mounted, so what SQLite writes beside it goes with the container. To keep it, write services.podman.containers.webui.volumes = [ \"/home/alice/webui.chats:/other\" ], or take that variable away; if losing it is fine, say `services.aidb.guards.\"webui.chats\".enable = false;`"
    ];
  };
  "a database out of the data folder, on a volume of its own" = {
    config = webui {
      volumes = [ "/srv/ai:${data}" "/srv/db:/other" ];
      environment.DATABASE_URL = "sqlite:////other/webui.db";
    };
  };
  "Ollama with its models alone mounted" = {
    config = containers {
      ollama = {
        image = "docker.io/ollama/ollama";
        volumes = [ "/srv/models:/root/.ollama/models" ];
      };
    };
  };
  "a write-ahead log of Postgres on a disk of its own" = {
    config = postgres;
    errors = [
      "services.podman.containers.db: part of its data is at `/var/lib/postgresql/data/pg_wal`, in `/fast/wal`, and the snapshots of guard \"db\" (`/srv/db`) lack it, so that none of them can be brought back alone. Guard it, too: `services.aidb.guards.\"db.pg_wal\" = { container = \"db\"; data = \"/fast/wal\"; mount = \"/var/lib/postgresql/data/pg_wal\"; stores.files = { kind = \"files\"; path = \".\"; }; };`, or keep it below `/var/lib/postgresql/data`; if losing it is fine, say `services.aidb.guards.db.enable = false;`"
    ];
  };
  "a write-ahead log of Postgres on a disk of its own, the way out" = {
    config = {
      imports = [ postgres ];
      services.aidb.guards."db.pg_wal" = {
        container = "db";
        data = "/fast/wal";
        mount = "/var/lib/postgresql/data/pg_wal";
        stores.files = {
          kind = "files";
          path = ".";
        };
      };
    };
  };
  "Nextcloud's files on a disk of their own" = {
    config = containers {
      cloud = {
        image = "docker.io/library/nextcloud:31";
        volumes = [ "/srv/cloud:/var/www/html" "/big/cloud:/ncdata" ];
        environment.NEXTCLOUD_DATA_DIR = "/ncdata";
      };
    };
    warnings = [
      "services.podman.containers.cloud: part of its data is at `/ncdata`, in `/big/cloud`, and the snapshots of guard \"cloud\" (`/srv/cloud`) lack it. Guard it, too: `services.aidb.guards.\"cloud.ncdata\" = { container = \"cloud\"; data = \"/big/cloud\"; mount = \"/ncdata\"; stores.files = { kind = \"files\"; path = \".\"; }; };`, or keep it below `/var/www/html`"
    ];
  };
  "a variable with the home folder in it" = {
    config = webui {
      volumes = [ "/srv/ai:/home/alice/x" ];
      environment.DATA_DIR = "%h/x";
    };
  };
  "a guard without a folder, and Podman off" = {
    config = {
      services.aidb = {
        enable = true;
        guards.webui.policy.damaged = "restore";
      };
    };
    errors = [
      "services.aidb.guards.webui.data: services.podman is off, so it cannot be told where the data is; write the folder on the host, or say `services.podman.enable = true;`"
    ];
  };
  "snapshots inside of what is remembered" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      services.aidb = {
        vault = "/srv/aidb/vault";
        state = "/srv/aidb";
      };
    };
    errors = [
      "services.aidb.vault: `/srv/aidb/vault` and services.aidb.state, `/srv/aidb`, hold each other; choose another folder for one of them"
    ];
  };
  "settings that go past the options" = {
    config = {
      imports = [ (webui { volumes = [ "/srv/ai:${data}" ]; }) ];
      services.aidb.settings = {
        vault = "/tmp/vault";
        notGuarded = [ ];
        programs.podman = "/usr/bin/podman";
      };
    };
    errors = [
      "services.aidb.settings.notGuarded: what is written there goes past the options and their checks; there are options for all that it could say but `programs`"
      "services.aidb.settings.vault: what is written there goes past the options and their checks; say services.aidb.vault"
    ];
  };
  "a folder of Podman with a variable that is known" = {
    config = {
      imports = [ (webui { volumes = [ "chats:${data}" ]; }) ];
      services.podman.settings.storage.storage.graphroot = "/data/$USER/storage";
    };
  };
  "a folder of Podman with a variable that is not" = {
    config = {
      imports = [ (webui { volumes = [ "chats:${data}" ]; }) ];
      services.podman.settings.storage.storage.graphroot = "$DISK/storage";
    };
    errors = [
      "services.podman.settings: the folder of volumes, `$DISK/storage/volumes`, has a variable in it whose value is not known here, so it cannot be told where their data is; write the path"
    ];
  };
  "a folder with a dollar in its name" = {
    config = webui { volumes = [ "/srv/a$b:${data}" ]; };
  };
  "the whole machine as a volume" = {
    config = webui { volumes = [ "/:${data}" ]; };
    errors = [
      "services.aidb.guards.webui.data: `/` holds your whole home, and not this application's data alone. Give it a folder of its own, such as `/home/alice/webui`; ${leave}"
    ];
  };
  "a tilde alone" = {
    config = webui { volumes = [ "~:${data}" ]; };
    errors = lost "`~` begins with `~`, which nothing expands" keep;
  };
}
