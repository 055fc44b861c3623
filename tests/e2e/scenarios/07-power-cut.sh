# The power goes in the middle of writes, then in the middle of a take: the application starts, no half of a snapshot is visible
fresh xfs
webui_image 0.12.4 EVERY=0.01
configuration one one-container
fixture openwebui-0.12.4-large
switched one
webui_up
as_alice "systemctl --user restart $webui"
webui_up
proven
# The configuration and the images are older than the cut; a store is synced when it is written.
as_alice sync
told() { guest 'aidb list --json open-webui' | jq -r '.snapshots | length'; }
before=$(guest chats)
sleep 1
machine_power_cut || failed 'the machine did not come back after the first cut'
webui_up
same 'with every chat that was committed before' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
expect 'what was looked at before the cut does not stand after it' "journalctl --user -b -o cat -t podman-open-webui | grep -E 'open-webui/chats.*(full|quick) check ok'"
expect 'every snapshot is whole' 'aidb verify'

# Large enough that a take lasts: the cut falls into it.
as_alice 'for i in $(seq 400); do head -c 300000 /dev/urandom > ai/open-webui/uploads/$i; done; sync'
kept=$(told)
guest 'aidb take open-webui' > "$said.take" 2>&1 &
taking=$!
eventually 20 'a take is under way' 'find .local/share/aidb-vault/.staging -mindepth 1 -not -name .lock | grep .'
machine_power_cut || failed 'the machine did not come back after the second cut'
wait "$taking"
rm -f "$said.take"
webui_up
same 'the half-made snapshot is not one' "$kept" "$(told)"
expect 'every snapshot is whole' 'aidb verify'
expect 'the next take works' 'aidb take open-webui'
expect 'and clears what the cut left' '! find .local/share/aidb-vault/.staging -mindepth 1 -not -name .lock | grep .'
