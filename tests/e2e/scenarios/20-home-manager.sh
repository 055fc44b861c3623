# Generations that nix built, activated by Home Manager itself: protected by one line, updated, refused, and without us again
fresh
nix_generations
webui_image 0.6.38
as_alice "image $(sed 's/:v0.6.38$/:v0.12.4/' <<< "$webui_name") 0.12.4"
fixture openwebui-0.6.38-small
container() { guest 'podman inspect --format {{.Id}} open-webui'; }
activated() { expect "Home Manager activates \`$1\`" "home-manager-switch $(generation_of "$1")"; }
activated without-one
webui_up
before=$(guest chats)
first=$(container)

activated one
webui_up
never 'the hooks come with a new container' "podman inspect --format {{.Id}} open-webui | grep $first"
expect 'the switch that installed us kept what there was' "aidb list --json open-webui | jq -e '.snapshots | length > 0'"
same 'with every chat' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
proven
second=$(container)
activated one
same 'the same generation again restarts nothing' "$second" "$(container)"

shows 'an update: the gate says one line' '^aidb: .*fit; this switch restarts open-webui' "home-manager-switch $(generation_of two)"
webui_up
expect 'the application migrated the data' "journalctl --user -b -o cat -t open-webui | grep 'application: migrated'"
expect 'the data was kept at the stop before' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .reason == \"stop\")'"
eventually 30 'and verified after the start' "journalctl --user -b -o cat -t aidb-init-verify | grep 'open-webui/chats'"
proven

third=$(container)
as_alice 'dd if=/dev/urandom of=ai/open-webui/webui.db bs=4096 seek=2 count=60 conv=notrunc status=none'
never 'what is not fit is not restarted: the activation ends' "home-manager-switch $(generation_of one)"
same 'the container runs on' "$third" "$(container)"
same 'the generation in force is the old one' "$(generation_of two)" "$(guest 'readlink -f .local/state/home-manager/gcroots/current-home')"
expect 'the data comes back' 'aidb restore --stop open-webui'
webui_up

snapshots=$(snapshots open-webui length)
activated without-two
webui_up
never 'without us nothing of ours is left in the units' 'cat .config/systemd/user/podman-open-webui.service | grep aidb'
expect 'and the snapshots stay' "[ \$(ls .local/share/aidb-vault/open-webui | wc -l) -ge $snapshots ]"
