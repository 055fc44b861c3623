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
# Of those made by hand, as the one that is cut off would be.
told() { snapshots open-webui '[.[] | select(.reason == "manual")] | length'; }
before=$(guest chats)
eventually 60 'it writes on' "[ \$(chats) -gt $before ]"
machine_power_cut || failed 'the machine did not come back after the first cut'
webui_up
same 'with every chat that was committed before' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
expect 'what was looked at before the cut does not stand after it' "journalctl --user -b -o cat -t podman-open-webui | grep -E 'open-webui/chats.*(full|quick) check ok'"
expect 'every snapshot is whole' 'aidb verify'

# Many files, so that a take lasts; the cut comes as soon as the first lie in staging.
as_alice 'mkdir ai/open-webui/uploads/many && cd ai/open-webui/uploads/many && seq 6000 | split -l 1 -a 4 && sync'
kept=$(told)
staging=/proc/$(cat "$machine/init.pid")/root/home/alice/.local/share/aidb-vault/.staging
guest 'aidb take open-webui' > "$said.take" 2>&1 &
taking=$!
for _ in $(seq 2000); do
  found=$(find "$staging" -mindepth 3 -path '*/data/*' -print -quit 2> /dev/null)
  [ -z "$found" ] || break
  sleep 0.01
done
machine_power_cut || failed 'the machine did not come back after the second cut'
wait "$taking"
taken=$(cat "$said.take")
rm -f "$said.take"
same 'the cut fell into the take' '' "$(grep '^kept' <<< "$taken")"
webui_up
same 'the half-made snapshot is not one' "$kept" "$(told)"
expect 'every snapshot is whole' 'aidb verify'
expect 'the next take works' 'aidb take open-webui'
expect 'and clears what the cut left' '! find .local/share/aidb-vault/.staging -mindepth 1 -not -name .lock | grep .'
