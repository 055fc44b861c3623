# Files of the container's uid 999, mode 0600: looked at, captured, restored with their owner
fresh
webui_image 0.12.4 USER=999
configuration one one-container
fixture openwebui-0.12.4-large
as_alice 'podman unshare chown -R 999:999 ai/open-webui && podman unshare find ai/open-webui -type f -exec chmod 600 {} +'
chats_inside() { guest 'podman unshare sh -c "cp /home/alice/ai/open-webui/webui.db* /tmp/ && sqlite3 /tmp/webui.db \"select count(*) from chat\"; rm -f /tmp/webui.db*"'; }
owner() { guest 'podman unshare stat -c "%u %a" ai/open-webui/webui.db'; }
switched one
webui_up
as_alice "systemctl --user stop $webui"
proven
before=$(chats_inside)
same 'the file is of uid 999, and nobody else may read it' '999 600' "$(owner)"
never 'alice cannot read it herself' 'cat ai/open-webui/webui.db'
expect 'the snapshot has no gap' "aidb list --json open-webui | jq -e '.snapshots[-1] | .proven and .files > 3'"
as_alice 'podman unshare dd if=/dev/urandom of=ai/open-webui/webui.db bs=4096 seek=2 count=40 conv=notrunc status=none; podman unshare rm -f ai/open-webui/webui.db-wal ai/open-webui/webui.db-shm'
never 'damage in it holds the start' "systemctl --user start $webui"
held
expect 'the restore is the same command' 'aidb restore open-webui'
same 'the owner and mode are as they were' '999 600' "$(owner)"
same 'and every chat' "$before" "$(chats_inside)"
expect 'it starts' "systemctl --user start $webui"
webui_up
