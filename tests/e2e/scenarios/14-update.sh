# An update with a migration, as auto-update restarts it; back to the image and the data before it; the gate knows the pair
fresh
webui_image 0.6.38 JOURNAL=delete
as_alice "image $(sed 's/:v0.6.38$/:v0.12.4/' <<< "$webui_name") 0.12.4 JOURNAL=delete"
configuration one one-container
configuration two one-container --edit 's/:v0\.6\.38$/:v0.12.4/'
fixture openwebui-0.6.38-small
revision() { guest "sqlite3 'file:$1?immutable=1' 'select version_num from alembic_version'"; }
# One attempt at a time: stopped in the middle of another, it would be an application that was up.
as_alice "mkdir -p .config/systemd/user/$webui.d && printf '[Service]\nRestart=no\n' > .config/systemd/user/$webui.d/once.conf"
switched one
webui_up
before=$(guest chats)

# By configuration: the gate knows which image ran on which schema.
switched two
webui_up
as_alice "systemctl --user restart $webui"
webui_up
proven
old=$(revision ".local/share/aidb-vault/$(snapshots open-webui '[.[] | select(.proven)][0].id')/data/webui.db")
shows 'a switch back to the old image names what is wrong' 'image.older-than-data' 'switch generations/one'
shows 'and the snapshot that belongs to it' "aidb restore open-webui --snapshot" 'switch generations/one'
expect 'nothing was changed' 'readlink .local/state/home-manager/gcroots/current-home | grep /two'
command=$(guest 'switch generations/one' 2>&1 | sed -n 's/^ *bring back its data: *//p' | head -n 1)
# Stopped, it has nothing to lose: the switch passes, and the old image does not come up on the new data.
as_alice "systemctl --user stop $webui"
switched one
eventually 60 'the old version does not come up' "journalctl --user -b -o cat -t open-webui | grep 'cannot locate revision'"
eventually 60 'and has ended' "systemctl --user is-failed $webui"
expect 'the command from the refusal works' "$command"
same 'with the revision that the old image knows' "$old" "$(revision ai/open-webui/webui.db)"
as_alice "systemctl --user reset-failed; systemctl --user start $webui"
webui_up

# By auto-update: the same name is another image from now on: that is all that auto-update does before it restarts.
webui_image 0.12.4 JOURNAL=delete
expect 'the update restarts the container' "systemctl --user restart $webui"
webui_up
expect 'and the new version migrates the data' "journalctl --user -b -o cat -t open-webui | grep 'application: migrated'"
proven
pair=$(snapshots open-webui '[.[] | select(.reason == "stop")][-1].id')
same 'the snapshot of the new image has its digest' "$(guest 'podman inspect --format {{.ImageDigest}} open-webui')" "$(guest 'aidb take --json open-webui' | jq -r '.snapshots[0].image_digest')"
same 'that is the pair of the old image' "$old" "$(revision ".local/share/aidb-vault/$pair/data/webui.db")"

# Back: the old image cannot read what the new one made, so its data comes back with it.
as_alice "systemctl --user stop $webui"
webui_image 0.6.38 JOURNAL=delete
guest "systemctl --user start $webui" > /dev/null
# By its name alone it would have run on this schema: it is the name of both.
eventually 60 'it is told from the new one by its digest' "journalctl --user -b -o cat -t podman-open-webui | grep 'image.older-than-data' -A 3 | grep 'last ran on .$old'"
eventually 60 'and does not come up either' "systemctl --user is-failed $webui"
shows 'a restore of what is newest warns: the image that is there is older' 'is of a newer schema than the image that is there.*image.older-than-data' 'aidb restore --dry-run open-webui'
shows 'and names the pair' "aidb restore open-webui --snapshot" 'aidb restore --dry-run open-webui'
never 'of the pair itself there is nothing to warn' "aidb restore --dry-run open-webui --snapshot $pair | grep image.older-than-data"
expect 'the snapshot from before the update comes back' "aidb restore open-webui --snapshot $pair"
same 'with the revision that the old image knows' "$old" "$(revision ai/open-webui/webui.db)"
as_alice "systemctl --user reset-failed; systemctl --user start $webui"
webui_up
same 'and every chat of then' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
