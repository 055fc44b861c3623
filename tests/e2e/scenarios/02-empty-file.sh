# An empty file from a failed first start moves aside, the application makes its database late, and it is verified
fresh
webui_image 0.12.4 LATE=/app/backend/data/now
configuration one one-container
as_alice 'mkdir -p ai/open-webui && : > ai/open-webui/webui.db'
switched one
eventually 60 'the verification waits for the database, and says so' "journalctl --user -b -o cat -u aidb-verify@podman-open-webui.service | grep 'open-webui/chats: .*waits for up to'"
same 'it goes on' active "$(guest 'systemctl --user show -P ActiveState aidb-verify@podman-open-webui.service')"
as_alice 'touch ai/open-webui/now'
webui_up
expect 'the empty file is kept beside it' 'ls ai/open-webui/webui.db.empty-*'
same 'and is still empty' 0 "$(guest 'cat ai/open-webui/webui.db.empty-* | wc -c')"
shows 'the journal tells what was done' 'never held a table|moved aside' "journalctl --user -b -o cat -t podman-open-webui"
eventually 60 'the application made its tables and somebody signed up' '[ "$(chats)" -gt 3 ]'
eventually 60 'it was verified' "systemctl --user show -P Result -P ActiveState aidb-verify@podman-open-webui.service | paste -sd' ' | grep -x 'success inactive' && journalctl --user -b -u aidb-verify@podman-open-webui.service | grep -q 'open-webui'"
expect 'and is remembered as healthy' "aidb check --json open-webui | jq -e '.verdict == \"pass\"'"
