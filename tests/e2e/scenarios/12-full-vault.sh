# A full disk under the vault: the container still stops and starts, what is there stays whole, and it is said
fresh
webui_image 0.12.4
configuration one one-container --edit 's|/home/alice/.local/share/aidb-vault|/home/alice/small/vault|'
fixture openwebui-0.12.4-large
as_alice 'mkdir small'
as_root 'truncate -s 3G /small.img && mkfs.xfs -q /small.img && mount -o loop /small.img /home/alice/small && chown alice: /home/alice/small'
switched one
webui_up
as_alice "systemctl --user stop $webui"
proven
first=$(snapshots open-webui '.[-1].id')
# Filled by somebody else: less is left than one more copy needs.
as_alice 'free=$(df --output=avail -B 1 small | tail -n 1); fallocate -l $((free - 3000000)) small/filler'
expect 'it starts' "systemctl --user start $webui"
webui_up
chats=$(guest chats)
eventually 60 'it writes' "[ \$(chats) -gt $chats ]"
expect 'it stops' "systemctl --user stop $webui"
same 'in order' success "$(guest "systemctl --user show -P Result $webui")"
expect 'and starts' "systemctl --user start $webui"
webui_up
expect 'what was kept before is whole' "aidb verify $first"
never 'a snapshot by hand says why it cannot' 'aidb take open-webui'
shows 'and how much is missing' 'space|No space|MiB' 'aidb take open-webui'
expect 'nothing half-made is left' '! find small/vault/.staging -mindepth 1 -not -name .lock | grep .'
guest 'systemctl --user start aidb-backup.service' > /dev/null 2>&1
eventually 60 'the failed backup alerts' "systemctl --user show -P ExecMainStartTimestamp 'aidb-alert@aidb-backup.service.service' | grep ."
