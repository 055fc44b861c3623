# A switch: a changed image is kept, replaced, verified; the gate refuses what is not fit; the unrelated passes; the removed is kept
fresh
webui_image 0.6.38
configuration one one-container
configuration two one-container --edit 's/:v0\.6\.38$/:v0.12.4/'
configuration unrelated one-container --edit 's/^OnCalendar=hourly/OnCalendar=*:0\/30/'
configuration unrelated-two one-container --edit 's/:v0\.6\.38$/:v0.12.4/;s/^OnCalendar=hourly/OnCalendar=*:0\/30/'
configuration none one-container --drop open-webui
fixture openwebui-0.6.38-small
as_alice "image $(sed 's/:v0.6.38$/:v0.12.4/' <<< "$webui_name") 0.12.4"
container() { guest 'podman inspect --format {{.Id}} open-webui'; }
switched one
webui_up
first=$(container)

shows 'when all is well the gate says one line' '^aidb: .*fit; this switch restarts open-webui' 'switch generations/two'
webui_up
never 'the container is a new one' "podman inspect --format {{.Id}} open-webui | grep $first"
expect 'the application migrated the data' "journalctl --user -b -o cat -t open-webui | grep 'application: migrated'"
expect 'the data was kept at the stop before' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .reason == \"stop\")'"
eventually 60 'and verified after the start' "journalctl --user -b -o cat -t aidb-init-verify | grep 'open-webui/chats'"
proven

# Not fit while it runs: a switch that would restart it is refused, and nothing is touched.
second=$(container)
as_alice 'dd if=/dev/urandom of=ai/open-webui/webui.db bs=4096 seek=2 count=60 conv=notrunc status=none'
never 'the switch that would restart it is refused' 'switch generations/one'
same 'the same container runs on' "$second" "$(container)"
expect 'the old configuration is in force' 'readlink .local/state/home-manager/gcroots/current-home | grep /two'
shows 'the refusal says how to go on' 'aidb restore open-webui|AIDB_GATE=warn' 'switch generations/one'
expect 'an unrelated switch passes' 'switch generations/unrelated-two'
same 'and leaves the container alone' "$second" "$(container)"
expect 'the restore stops it, and starts it again' 'aidb restore --stop open-webui'
webui_up

before=$(guest chats)
expect 'a configuration without it goes through' 'switch generations/none'
never 'the container is gone' 'podman container exists open-webui'
last=$(snapshots open-webui '[.[] | select(.reason == "stop" or .reason == "switch")][-1].id')
same 'what it had is kept at its last stop' yes "$([ -n "$last" ] && [ "$last" != null ] && guest "aidb show $last" > /dev/null && echo yes)"
same 'with every chat' yes "$([ "$(guest "chats .local/share/aidb-vault/$last/data/webui.db")" -ge "$before" ] && echo yes)"
shows 'status says that it is guarded no longer' 'open-webui' 'aidb status'
