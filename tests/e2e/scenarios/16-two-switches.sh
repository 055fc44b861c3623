# Two switches at once: both end, the application runs with its data, nothing is half
fresh
webui_image 0.12.4
configuration one one-container
configuration two one-container --edit 's/^Description=Service for container/Description=The service of/'
configuration three one-container --edit 's/^Label=\(.*\)/Label=\1\nLabel=three=3/'
configuration four one-container --edit 's/^Label=\(.*\)/Label=\1\nLabel=four=4/'
fixture openwebui-0.12.4-large
switched one
webui_up
before=$(guest chats)
guest 'switch generations/three; echo "three ended"' > "$said.three" 2>&1 &
guest 'switch generations/four; echo "four ended"' > "$said.four" 2>&1
wait
both=$(cat "$said.three" "$said.four")
rm -f "$said.three" "$said.four"
same 'both end' 2 "$(grep -c ' ended$' <<< "$both")"
same 'no tool of ours fails' '' "$(grep -iE 'panic|error:' <<< "$both")"
expect 'one of them is in force' 'readlink .local/state/home-manager/gcroots/current-home | grep -E "/(three|four)$"'
expect 'a last switch puts it in order' 'switch generations/three'
as_alice "systemctl --user start $webui"
webui_up
same 'with every chat' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
expect 'the data was kept at the stop' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .reason == \"stop\")'"
as_alice 'systemctl --user start aidb-prove.service'
proven
expect 'every snapshot is whole' 'aidb verify'
expect 'nothing half-made is left' '! find .local/share/aidb-vault/.staging -mindepth 1 -not -name .lock | grep .'
