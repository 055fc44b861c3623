# A quadlet that somebody wrote by hand, guarded by companions: its text stays as it is, and it is looked at and kept
fresh
# The unit that the golden text guards is paperless.service; what runs in it here is Open WebUI.
configuration own own-application --drop notes --edit 's/"paperless-ngx"/"open-webui"/'
as_alice "image localhost/by-hand 0.12.4"
fixture openwebui-0.12.4-large paperless/data
as_alice "mkdir -p .config/containers/systemd && printf '%s\n' '[Container]' ContainerName=paperless Image=localhost/by-hand \
  Volume=%h/paperless/data:/app/backend/data Network=none '[Service]' Restart=always '[Install]' WantedBy=default.target > .config/containers/systemd/paperless.container"
text=$(guest 'sha256sum .config/containers/systemd/paperless.container')
switched own
expect 'it starts' 'systemctl --user start paperless.service'
eventually 60 'the application is up' "podman logs paperless | grep 'application: up'"
eventually 60 'its companion is up too' 'systemctl --user is-active aidb-keep-paperless.service'
before=$(guest 'chats paperless/data/webui.db')
expect 'it stops' 'systemctl --user stop paperless.service'
expect 'what it had is kept' "aidb list --json paperless | jq -e '.snapshots | length > 0'"
eventually 60 'and proven' "aidb list --json paperless | jq -e 'any(.snapshots[]; .proven)'"
as_alice 'dd if=/dev/urandom of=paperless/data/webui.db bs=4096 seek=2 count=40 conv=notrunc status=none; rm -f paperless/data/webui.db-wal paperless/data/webui.db-shm'
never 'damage holds its start' 'systemctl --user start paperless.service'
alert='journalctl --user -b -o cat -u aidb-alert@paperless.service.service'
eventually 60 'the companion that held it alerts: what is wrong, and what brings it back' "$alert | grep '^paperless/' && $alert | grep 'restore paperless'"
same 'once' 1 "$(guest "$alert | grep -c '^Starting '")"
never 'no container runs' 'podman container exists paperless'
expect 'the restore is the same command' 'aidb restore paperless'
expect 'it starts at once' 'systemctl --user start paperless.service'
eventually 60 'the application is up' "systemctl --user is-active paperless.service && podman logs paperless | grep 'application: up'"
same 'with every chat' yes "$([ "$(guest 'chats paperless/data/webui.db')" -ge "$before" ] && echo yes)"
same 'its text is as it was written' "$text" "$(guest 'sha256sum .config/containers/systemd/paperless.container')"
