# Off-site: restic takes the newest proven snapshot to a repository, and what comes back from there is the data
fresh
webui_image 0.12.4
configuration one one-container
fixture openwebui-0.12.4-large
switched one
webui_up
as_alice "systemctl --user stop $webui"
proven
chats=$(guest chats)
# What the module's unit does before restic runs.
expect 'the newest proven snapshot is handed over as a plain folder' 'aidb-snapshot restore open-webui --to offsite/open-webui'
as_alice 'export RESTIC_PASSWORD=x; restic -q init -r repository && restic -q backup -r repository offsite && rm -rf offsite && restic -q check -r repository'
# The disk is lost, with data and vault.
as_alice 'rm -rf ai .local/share/aidb-vault .local/state/aidb 2> /dev/null; chmod -R u+w ai .local/share/aidb-vault 2> /dev/null; rm -rf ai .local/share/aidb-vault'
as_alice 'RESTIC_PASSWORD=x restic -q restore latest -r repository --target / 2> /dev/null || RESTIC_PASSWORD=x restic -q restore latest -r repository --target back'
as_alice 'mkdir -p ai && cp -r $(find / -path "*offsite/open-webui" -not -path "/proc/*" 2> /dev/null | head -n 1) ai/open-webui'
same 'every chat came back' "$chats" "$(guest chats)"
expect 'the data is fit' 'aidb check --json open-webui | jq -e ".verdict != \"hold\""'
expect 'the application starts on it' "systemctl --user start $webui"
webui_up
expect 'and a first snapshot is proven again' 'aidb take open-webui'
