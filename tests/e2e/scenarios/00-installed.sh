# The switch that installs aidb keeps what the containers' layers hold
fresh
webui_image 0.12.4 LAYER=/app/backend/prompts/mine.txt
as_alice 'generation before one-container --without-hooks'
configuration one one-container
fixture openwebui-0.12.4-large
as_alice 'switch generations/before'
webui_up
expect 'what was written to the layer is in no volume' 'podman exec open-webui cat /app/backend/prompts/mine.txt && ! ls ai/open-webui/prompts'
# Somebody wrote it by hand, inside; a new container would not have it.
as_alice "podman exec open-webui sh -c 'echo by hand > /app/backend/prompts/hand.txt'"
shows 'the switch says what it keeps' 'open-webui' 'switch generations/one'
webui_up
never 'the new container does not have it' 'podman exec open-webui cat /app/backend/prompts/hand.txt'
expect 'the vault has it' "find .local/share/aidb-vault -name hand.txt | xargs grep 'by hand'"
expect 'and a snapshot of the data from before the switch' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .reason == \"switch\")'"
