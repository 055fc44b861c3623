# Table cases of nix/lib, the same as those of aidb-core's discover and catalog. Evaluates to the cases that fail.
{ lib }:
let
  aidb = import ../../nix/lib { inherit lib; };
  inherit (aidb)
    text
    image
    volume
    catalog
    container
    derive
    ;

  environment = {
    home = "/home/alice";
    stateHome = "/home/alice/.local/state";
    cacheHome = "/home/alice/.cache";
    configHome = "/home/alice/.config";
  };
  context = {
    inherit environment;
    storage = "/data/containers/storage/volumes";
    volumes = {
      data = { };
      dev = {
        device = "/srv/dev";
        type = "none";
      };
      disk.device = "/dev/sda1";
    };
    images.wi.image = "ghcr.io/open-webui/open-webui:v1";
  };

  table =
    about: f: cases:
    lib.concatMap (
      case:
      let
        got = f case.of;
      in
      lib.optional (got != case.is) "${about}: ${builtins.toJSON case.of}: expected ${builtins.toJSON case.is}, found ${builtins.toJSON got}"
    ) cases;
  c = of: is: { inherit of is; };

  # What becomes of a container, in one text, as in discover's own tests.
  outcome =
    args:
    let
      whole = {
        image = "ghcr.io/open-webui/open-webui:v0.6.38";
        volumes = [ ];
        environment = { };
        extraPodmanArgs = [ ];
      }
      // args;
      seen = container.normalize context "c" whole (args.extra or { });
      guards = derive.guardNames seen;
      folders = map (derive.folder context seen) guards;
      kept = lib.filter (f: f.outcome == "kept") folders;
      say =
        f:
        {
          kept = "${f.name} ${f.data}" + lib.optionalString (f.ephemeral != null) "; ! ${f.ephemeral}";
          lost = "! ${f.why}";
          absent = "";
        }
        .${f.outcome};
    in
    lib.concatStringsSep "; " (
      lib.filter (s: s != "") (map say folders)
      ++ map (n: "- ${builtins.toJSON n.folders} ${n.why}") (
        derive.notGuarded context seen (map (g: g.preset) guards) kept
      )
      ++ map (o: "? ${o}") seen.odd
    );

  data = "/app/backend/data";
  vol = v: { volumes = lib.toList v; };
  img =
    i: v:
    {
      image = i;
    }
    // vol v;

  short =
    read:
    if read ? odd then
      "odd"
    else
      let
        inherit (read.mount) source access;
      in
      lib.concatStringsSep " " (
        [
          source.kind
          (source.path or source.name or source.unit or source.why or "")
        ]
        ++ lib.optional (source ? folder && source.folder != ".") source.folder
        ++ lib.optional (access != "writable") access
      );
in
table "wildcard" (x: text.matchesWildcard (lib.head x) (lib.last x)) [
  (c [ "*" "" ] true)
  (c [ "*" "abc" ] true)
  (c [ "" "" ] true)
  (c [ "" "a" ] false)
  (c [ "abc" "abcd" ] false)
  (c [ "*-ollama" "v1-ollama" ] true)
  (c [ "*-ollama" "ollama" ] false)
  (c [ "a*b*c" "aXbYc" ] true)
  (c [ "a*b*c" "aXcYb" ] false)
  (c [ "ab*ba" "aba" ] false)
  (c [ "0.*" "0x6" ] false)
  (c [ "sqlite:*/webui.db?*" "sqlite:///x/webui.db?mode=rwc" ] true)
]
++ table "container path" text.containerPath [
  (c "/a//b/./c/" "/a/b/c")
  (c "/" "/")
  (c "a" null)
  (c "/a/../b" null)
]
++ table "specifiers" (x: (text.expand environment x).text or null) [
  (c "%h/ai" "/home/alice/ai")
  (c "%S/x" "/home/alice/.local/state/x")
  (c "%C/x" "/home/alice/.cache/x")
  (c "%E/x" "/home/alice/.config/x")
  (c "/50%%" "/50%")
  (c "/50%" "/50%")
  (c "%t/x" null)
]
++ table "words" text.words [
  (c "a b" [ "a" "b" ])
  (c "\"A=b c\" D='e \"f\"'" [ "A=b c" "D=e \"f\"" ])
  (c ''A="b c"'' [ "A=b c" ])
  (c "a\\x20b \\sq \\\\ \\q" [ "a b" " q" "\\" "\\q" ])
  (c ''"" x'' [ "" "x" ])
  (c "\"open" [ "open" ])
  (c "" [ ])
]
++ table "image" (
  x:
  let
    parsed = image.parse x;
  in
  if parsed == null then null else "${lib.concatStringsSep "/" parsed.path} ${toString parsed.tag}"
) [
  (c "qdrant/qdrant" "qdrant/qdrant ")
  (c "localhost:5000/ollama/ollama" "ollama/ollama ")
  (c "reg:5000/mirror/mindsdb/mindsdb:latest" "mirror/mindsdb/mindsdb latest")
  (c "x@sha256:00ff" "x ")
  (c "ghcr.io/a/b:v1@sha256:00ff" "a/b v1")
  (c "docker://docker.io/ollama/ollama" "ollama/ollama ")
  (c "containers-storage:localhost/mine:1" "mine 1")
  (c "redis:7" "redis 7")
  (c "docker-archive:/nix/store/x-image.tar.gz" null)
  (c "/nix/store/x-image" null)
  (c "./image" null)
  (c "oci:/srv/image" null)
  (c "" null)
  (c "ghcr.io//x" null)
  (c "a/" null)
]
++ table "presets of an image" (x: catalog.forImage (image.parse x)) [
  (c "ghcr.io/open-webui/open-webui:v0.6.38" [ "open-webui" ])
  (c "ghcr.io/open-webui/open-webui:ollama" [ "open-webui" "ollama" ])
  (c "ghcr.io/open-webui/open-webui:v0.6.38-ollama" [ "open-webui" "ollama" ])
  (c "docker.io/library/postgres:16" [ "postgres" ])
  (c "postgres" [ "postgres" ])
  (c "docker.io/bitnami/postgres:16" [ ])
  (c "docker.io/valkey/valkey:8-alpine" [ "redis" ])
  (c "ghcr.io/paperless-ngx/paperless-ngx" [ "paperless-ngx" "paperless-media" ])
  (c "docker.io/library/busybox" [ ])
  (c "wb.build" [ ])
]
++ table "data path" (
  x:
  let
    path = catalog.dataPath catalog.presets.${lib.elemAt x 0} (lib.elemAt x 1) (lib.elemAt x 2);
  in
  path.variable or "${lib.head path.candidates} ${toString path.moved}"
) [
  (c [ "open-webui" null { } ] "/app/backend/data ")
  (c [ "open-webui" null { DATA_DIR = "/d/"; } ] "/d ")
  (c [ "open-webui" null { DATA_DIR = ""; } ] "/app/backend/data ")
  (c [ "open-webui" null { DATA_DIR = "./data"; } ] "DATA_DIR")
  (c [ "ollama" null { OLLAMA_MODELS = "/m"; } ] "/m models")
  (c [ "ollama" null { OLLAMA_MODELS = "/root/.ollama/models"; } ] "/root/.ollama ")
  (c [ "chroma" "0.6.3" { } ] "/chroma/chroma ")
  (c [ "chroma" "1.5.9" { } ] "/data ")
  (c [ "postgres" "16-alpine" { PGDATA = "/pg/data"; } ] "/pg/data ")
  (c [ "postgres" "18.1" { } ] "/var/lib/postgresql ")
]
++ table "stores" (x: lib.elem (lib.elemAt x 1) (catalog.storeNames catalog.presets.${lib.elemAt x 0} (lib.elemAt x 2))) [
  (c [ "open-webui" "chats" { DATABASE_URL = "postgresql://u@db/webui"; } ] false)
  (c [ "open-webui" "chats" { DATABASE_URL = "sqlite:////app/backend/data/webui.db"; } ] true)
  (c [ "open-webui" "chats" { DATABASE_URL = "sqlite+sqlcipher:////app/backend/data/webui.db"; } ] false)
  (c [ "open-webui" "chats" { DATABASE_URL = "sqlite:////app/backend/data/other.db"; } ] false)
  (c [ "open-webui" "chats" { DATABASE_URL = ""; } ] true)
  (c [ "n8n" "workflows" { DB_TYPE = "postgresdb"; } ] false)
  (c [ "vaultwarden" "passwords" { DATABASE_URL = "/data/db.sqlite3"; } ] true)
  (c [ "paperless-ngx" "documents" { PAPERLESS_DBHOST = "db"; } ] false)
]
++ table "changed stores" (x: catalog.storeChanges catalog.presets.${lib.elemAt x 0} (lib.elemAt x 1) (lib.elemAt x 2)) [
  (c [ "open-webui" { } null ] { })
  (c [ "open-webui" { DATABASE_URL = "postgresql://db/x"; } null ] { chats = null; })
  (c [ "ollama" { } "models" ] { models.path = "."; })
]
++ table "volume" (x: short (volume.parseVolume environment x)) [
  (c "data:/x" "volume data")
  (c "data.volume:/x" "volumeUnit data.volume")
  (c "%h/a:/x" "folder /home/alice/a")
  (c "/50%%:/x" "folder /50%")
  (c "%t/a:/x" "unusable specifier")
  (c "/srv/be:/x:rw,Z" "folder /srv/be")
  (c "/srv//be/:/x/" "folder /srv/be")
  (c "~/a:/x" "unusable tilde")
  (c "./a:/x" "unusable relative")
  (c "a/b:/x" "unusable name")
  (c "/x" "unusable anonymous")
  (c ":/x" "unusable anonymous")
  (c "/a:/x:O" "folder /a O")
  (c "/a:/x:ro,z" "folder /a ro")
  (c "a:b" "odd")
  (c "" "odd")
  (c "a:/x:ro:z" "odd")
  (c "/a:../x" "odd")
  (c "x" "odd")
]
++ table "mount" (x: short (volume.parseMount environment x)) [
  (c "type=bind,source=%h/a,target=/x" "folder /home/alice/a")
  (c "type=bind,src=/a,dst=/x,ro" "folder /a ro")
  (c "type=bind,src=/a,dst=/x,ro=false" "folder /a")
  (c "type=bind,src=/a,dst=/x,rw=false" "folder /a ro")
  (c "type=bind,src=a,dst=/x" "unusable relative")
  (c "type=volume,source=data,destination=/x,subpath=/in/" "volume data in")
  (c "source=data,target=/x" "volume data")
  (c "type=volume,target=/x" "unusable anonymous")
  (c "type=tmpfs,target=/x" "memory ")
  (c "type=image,source=img,target=/x,rw=true" "unusable name O")
  (c "type=bind,source=/a" "odd")
  (c "type=weird,target=/x" "odd")
]
++ table "outcome" outcome [
  (c (vol "/srv/a:${data}") "c /srv/a")
  (c (vol "data:${data}") "c /data/containers/storage/volumes/data/_data")
  (c (vol "data.volume:${data}") "c /data/containers/storage/volumes/data/_data")
  (c (vol "dev.volume:${data}") "c /srv/dev")
  (c (vol "dev:${data}") "c /srv/dev")
  (c (vol "disk.volume:${data}") "c /data/containers/storage/volumes/disk/_data")
  (c (vol "/srv/be:/app/backend") "c /srv/be/data")
  (c { extra.Mount = "type=bind,source=/srv/a,target=${data}"; } "c /srv/a")
  (c { extra.Volume = [ "/srv/a:${data}" ]; } "c /srv/a")
  (c { extraPodmanArgs = [ "--gpus=all" "-v" "/srv/a:${data}" ]; } "c /srv/a")
  (c { extraPodmanArgs = [ "--volume=/srv/a:${data}" ]; } "c /srv/a")
  (c { extraPodmanArgs = [ "-v /srv/a:${data}" ]; } "c /srv/a")
  (c (vol "/srv/a:/d" // { environment.DATA_DIR = "/d"; }) "c /srv/a")
  (c (vol "/srv/a:/d" // { extra.Environment = "\"DATA_DIR=/d\" X=y"; }) "c /srv/a")
  (c (vol "/srv/a:/d" // { extraPodmanArgs = [ "-e" "DATA_DIR=/d" ]; }) "c /srv/a")
  (c { } "! no volume holds it, so it is written to the container's own layer")
  (c { extra.Tmpfs = data; } "! it is mounted in memory")
  (c (vol data) "! its volume is anonymous, and Podman deletes that with the container")
  (c (vol "~/x:${data}") "! `~/x` begins with `~`, which nothing expands")
  (c (vol "./x:${data}") "! `./x` is relative to the unit file")
  (c (vol "%t/x:${data}") "! what `%t` in `%t/x` stands for is not known here")
  (c (vol "/srv/a:${data}:O") "! its volume has the option `O`, whose writes vanish with the container")
  (c (vol "/srv/a:${data}:ro") "! its volume has the option `ro`, so the container cannot write it")
  (c (vol "no.volume:${data}") "! `no.volume` is no volume of services.podman.volumes")
  (c (vol "/tmp/x:${data}") "c /tmp/x; ! /tmp")
  (c (vol "/srv/a:${data}/uploads") "! no volume holds it, so it is written to the container's own layer; - [\"/srv/a\"] preset `open-webui` has no data there")
  (c (vol [ "/srv/a:${data}" "/etc/x:/x:ro" ]) "c /srv/a")
  (c (vol [ "/srv/a:${data}" "/srv/up:${data}/uploads" ]) "c /srv/a; - [\"/srv/up\"] it is mounted inside the data of guard `c`, at `uploads`, and is not part of its snapshots")
  (c (vol "a:b:c:d") "! no volume holds it, so it is written to the container's own layer; ? expected `SOURCE:TARGET:OPTIONS`, found `a:b:c:d`")
  (c (img "wi.image" "/srv/a:${data}") "c /srv/a")
  (c (img "docker.io/n8nio/n8n" "/srv/n8n:/home/node/.n8n") "c /srv/n8n")
  (c (img "docker.io/me/app" [ "/srv/app:/d" "named:/e" "/etc/localtime:/etc/localtime:ro" ]) "- [\"/srv/app\",\"/data/containers/storage/volumes/named/_data\"] no preset knows image `docker.io/me/app`")
  (c (img "docker.io/me/app" [ ]) "")
  (c (img "redis" [ ]) "")
  (c (img "redis" "/srv/r:/data") "c /srv/r")
  (c (img "wb.build" "/srv/a:/d") "- [\"/srv/a\"] no preset knows image `wb.build`")
  (c (img "ghcr.io/open-webui/open-webui:ollama" [ "/srv/w:${data}" "/srv/o:/root/.ollama" ]) "c /srv/w; c.ollama /srv/o")
  (c (img "ghcr.io/open-webui/open-webui:ollama" "/srv/w:${data}") "c /srv/w; ! no volume holds it, so it is written to the container's own layer")
  (c (img "postgres:18" "/srv/p:/var/lib/postgresql") "c /srv/p")
  (c (img "postgres:16" "/srv/p:/var/lib/postgresql") "c /srv/p/data")
]
