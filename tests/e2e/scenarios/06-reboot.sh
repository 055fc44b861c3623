# An orderly reboot: each application is kept while the machine goes down, and comes up with its data
fresh
webui_image 0.12.4
for other in ollama qdrant mindsdb; do
  as_alice "image $(sed -n "/^--- podman-$other/,/^--- /s/^Image=//p" "$here/../nix/golden/four-containers.txt") idle"
  as_alice "mkdir -p ai/$other"
done
configuration four four-containers
fixture openwebui-0.12.4-large
switched four
webui_up
before=$(guest chats)
machine_reboot || failed 'the machine did not come back'
eventually 60 'all four run again' 'for c in open-webui ollama qdrant mindsdb; do systemctl --user is-active podman-$c.service; done'
webui_up
same 'with every chat' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
expect 'a snapshot was taken on the way down' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .reason == \"stop\")'"
same 'nothing failed on the way' '' "$(guest_root 'journalctl -b -1 --no-pager -o cat _UID=1000 | grep -E "aidb-(snapshot|precheck).*(error|panic)|timed out"')"
same 'the user manager does not wait for us' running "$(guest 'wait-until 30 "systemctl --user is-system-running | grep -x running"; systemctl --user is-system-running')"
as_alice 'systemctl --user start aidb-prove.service'
proven
