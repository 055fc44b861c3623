# A dry run changes nothing, and says what the switch would do
fresh
webui_image 0.12.4
configuration one one-container
configuration two one-container --edit 's/:v0\.6\.38$/:v0.12.4/'
fixture openwebui-0.12.4-large
switched one
webui_up
# What else would write while it is compared.
guest 'systemctl --user stop aidb-backup.timer aidb-monitor.timer aidb-archive.timer' > /dev/null 2>&1
container=$(guest 'podman inspect --format {{.Id}} open-webui')
everything() { guest 'find .config .local/share/aidb-vault .local/state/home-manager generations ai -not -name "webui.db*" -not -name .staging -not -name aidb-vault -printf "%p %s %T@ %l\n" | sort'; }
unchanged() { same "$1" '' "$(diff <(echo "$before") <(everything))"; }
before=$(everything)
shows 'it goes over what a switch would restart' 'open-webui' 'switch -n generations/two'
unchanged 'no link, no unit, no snapshot is another'
same 'the same container runs' "$container" "$(guest 'podman inspect --format {{.Id}} open-webui')"

# Not fit, in use, and about to be restarted: the switch would be refused, and the dry run says so with status 0.
as_alice 'dd if=/dev/urandom of=ai/open-webui/webui.db bs=4096 seek=2 count=40 conv=notrunc status=none'
expect 'a dry run is never refused' 'switch -n generations/two'
shows 'it tells that the data is not fit' 'hold' 'switch -n generations/two'
unchanged 'and leaves everything as it is'
expect 'no database is moved aside' '! ls ai/open-webui/webui.db.*empty*'
