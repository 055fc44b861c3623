# An update with a migration, as auto-update restarts it; back to the image and the data before it
fresh
webui_image 0.6.38 JOURNAL=delete
configuration one one-container
fixture openwebui-0.6.38-small
switched one
webui_up
before=$(guest chats)
webui_image 0.12.4
expect 'the update restarts the container' "systemctl --user restart $webui"
webui_up
expect 'and the new version migrates the data' "journalctl --user -b -o cat -t open-webui | grep 'application: migrated'"
eventually 30 'what was before is kept and proven' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .proven and .reason == \"stop\")'"
pair=$(snapshots open-webui '[.[] | select(.proven)][0].id')
revision=$(guest "sqlite3 'file:.local/share/aidb-vault/$pair/data/webui.db?immutable=1' 'select version_num from alembic_version'")

# The old image cannot read what the new one made.
webui_image 0.6.38 JOURNAL=delete
as_alice "systemctl --user stop $webui"
guest "systemctl --user start $webui" > /dev/null 2>&1
eventually 20 'the old version does not come up on the new data' "! systemctl --user is-active $webui || journalctl --user -b -o cat -t open-webui | tail -n 3 | grep 'cannot locate revision'"
shows 'it is said that the image is older than its data' 'image.older-than-data|older' "journalctl --user -b -o cat -t podman-open-webui"
as_alice "systemctl --user stop $webui"
expect 'the snapshot from before the update comes back' "aidb restore open-webui --snapshot $pair"
same 'with the revision that the old image knows' "$revision" "$(guest "sqlite3 ai/open-webui/webui.db 'select version_num from alembic_version'")"
as_alice "systemctl --user reset-failed; systemctl --user start $webui"
webui_up
same 'and every chat of then' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
