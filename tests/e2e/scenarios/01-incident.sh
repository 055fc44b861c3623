# The incident: the data lies in the container's own layer. Without us a switch takes it; with us it is kept and restored
fresh
# The application writes where no volume is; in the volume lies what a failed first start left.
webui_image 0.12.4 DATA=/app/data
as_alice 'mkdir -p ai/open-webui && : > ai/open-webui/webui.db'
as_alice 'generation before one-container --without-hooks; generation after one-container --without-hooks --edit "s/^Label=\(.*\)/Label=\1\nLabel=after=1/"'
configuration one one-container
configuration two one-container --edit 's/^Label=\(.*\)/Label=\1\nLabel=two=2/'
written="podman exec open-webui python3 -c 'import sqlite3; print(sqlite3.connect(\"/app/data/webui.db\").execute(\"select count(*) from chat\").fetchone()[0])'"
written() { guest "$written"; }
last_start() { guest "journalctl --user -b -o cat CONTAINER_ID_FULL=\$(cat /run/user/1000/podman-open-webui.cid) | sed -n 's/^application: up with \([0-9]*\) chats/\1/p'"; }

as_alice 'switch generations/before'
webui_up
eventually 60 'chats are written' "[ \"\$($written)\" -gt 5 ]"
same 'the file in the volume is healthy to SQLite' ok "$(guest 'sqlite3 ai/open-webui/webui.db "pragma integrity_check"')"
as_alice 'switch generations/after'
webui_up
same 'without us, a switch later, they are gone' 0 "$(last_start)"

# The same again, with us: the gate keeps what lies in the layer, and does not let go of it while an empty database would be
# all that the new container finds. The old one runs on.
eventually 60 'chats are written, to the wrong place again' "[ \"\$($written)\" -gt 5 ]"
chats=$(written)
if said=$(guest 'switch generations/one' 2>&1); then failed 'the switch that installs us is refused: it would take the chats' "$said"; fi
same 'it says that a database was found in the layer' yes "$(grep -q 'own layer' <<< "$said" && echo yes)"
same 'the container runs on' yes "$([ "$(written)" -ge "$chats" ] && echo yes)"
command=$(sed -n 's/^ *bring the rescue back: *//p' <<< "$said" | head -n 1)
same 'with the command that brings it back' yes "$([ -n "$command" ] && echo yes)"
expect 'it is in the vault' 'find .local/share/aidb-vault/open-webui/rescue -name webui.db | grep .'
# The configuration is mended; the command that was printed puts the chats where they belong.
webui_image 0.12.4
expect 'the command that was printed works' "$command"
expect 'now the switch goes through' 'switch generations/one'
webui_up
same 'and every chat is back' yes "$([ "$(last_start)" -ge "$chats" ] && echo yes)"
expect 'another switch takes nothing any more' 'switch generations/two'
webui_up
same 'and every chat is still there' yes "$([ "$(last_start)" -ge "$chats" ] && echo yes)"
