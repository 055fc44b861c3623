# What is written outside the volumes is found, named, and kept before the container is removed; a crash and a power cut included
fresh
webui_image 0.12.4 LAYER=/app/backend/prompts/mine.txt
configuration one one-container
fixture openwebui-0.12.4-large
switched one
webui_up
as_alice "podman exec open-webui python3 -c 'import sqlite3; d = sqlite3.connect(\"/app/other.db\"); d.execute(\"create table t(x)\"); d.execute(\"insert into t values (1)\"); d.commit()'"
shows 'it is found, and says what it would keep' 'prompts|2 files' 'aidb rescue --dry-run open-webui'
shows 'a database in it is named as such' 'other.db' 'aidb rescue --dry-run open-webui'
# One that is written to without a pause, and never stands still by itself.
as_alice "podman exec -d open-webui python3 -c 'import sqlite3
d = sqlite3.connect(\"/app/busy.db\", isolation_level=None)
d.executescript(\"pragma synchronous=off; create table t(x)\")
while True: d.execute(\"insert into t values (randomblob(3000))\")'"
eventually 60 'it is written to' 'podman exec open-webui ls /app/busy.db'
eventually 60 'it is kept while the container stands still' "aidb rescue --json open-webui > rescued; jq -e '.rescues[0] | .frozen_ms > 0 and .unsteady == [] and .gaps == []' rescued"
expect 'whole, as of one instant' "mkdir busy && cp .local/share/aidb-vault/\$(jq -r '.rescues[0].id' rescued)/data/app/busy.db* busy/ && chmod 600 busy/* && sqlite3 busy/busy.db 'pragma integrity_check' | grep -x ok"
as_alice "systemctl --user stop $webui"
never 'the container is gone' 'podman container exists open-webui'
expect 'the file is in the vault' "find .local/share/aidb-vault/open-webui/rescue -name mine.txt | xargs grep 'written outside'"
expect 'the database too, with its row' 'test "$(sqlite3 "$(find .local/share/aidb-vault/open-webui/rescue -name other.db | head -n 1)" "select x from t")" = 1'
shows 'list shows it' 'rescue' 'aidb list open-webui'

# After a power cut the layer is there until the first Podman call of the boot.
as_alice "systemctl --user start $webui"
webui_up
as_alice "podman exec open-webui sh -c 'echo late > /app/backend/prompts/late.txt; sync'; sync"
as_root 'sync'
machine_power_cut || failed 'the machine did not come back'
webui_up
expect 'what lay in the layer at a power cut is kept' "find .local/share/aidb-vault/open-webui/rescue -name late.txt | xargs grep late"
