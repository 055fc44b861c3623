# Seven days of timer backups, kept and pruned by rule; one database comes back as it was on day 3, and the way back works
fresh
webui_image 0.12.4
configuration one one-container
fixture openwebui-0.12.4-large
as_alice 'mkdir -p ai/open-webui/notes && echo "day 0" > ai/open-webui/notes/today'
switched one
webui_up
expect 'the timer is set' "systemctl --user list-timers --no-pager | grep aidb-backup.timer"
expect 'and stands for every day, also those that were slept through' "systemctl --user cat aidb-backup.timer | grep -x 'OnCalendar=daily' && systemctl --user cat aidb-backup.timer | grep -x 'Persistent=true'"

# The timer starts its unit on nine days, the last of them today; only the unit's clock is another, and the application lives on.
on_day() { # DAYS_AGO
  clock aidb-backup "-$1d"
  slept_through aidb-backup
  same "the backup of $1 days ago ends well" success "$(guest 'systemctl --user show -P Result aidb-backup.service')"
}
declare -A chats_on
for ago in 8 7 6 5 4 3 2 1 0; do
  as_alice "echo 'day $ago ago' > ai/open-webui/notes/today"
  chats_on[$ago]=$(guest chats)
  on_day "$ago"
  on_day "$ago"
done
after=$(guest chats)
days() { guest 'aidb list --json open-webui' | jq -r '[.snapshots[] | select(.reason == "timer" and .proven) | .taken_at[:10]] | unique | length'; }
same 'each day left a proven snapshot' yes "$([ "$(days)" -ge 8 ] && echo yes)"
shows 'prune says for each why it stays or goes' 'keep' 'aidb prune --dry-run'
expect 'prune goes by the rule' 'aidb prune'
same 'seven days and no fewer are there' yes "$([ "$(days)" -ge 7 ] && echo yes)"
expect 'and the day before is thinned out to one' "aidb list --json open-webui | jq -e '[.snapshots[] | select(.reason == \"timer\") | .taken_at[:10]] | group_by(.) | map(select(length > 1)) | length <= 1'"

day3=$(date -u -d '3 days ago' +%F)
id=$(snapshots open-webui "[.[] | select(.reason == \"timer\" and (.taken_at | startswith(\"$day3\")))][-1].id")
as_alice "systemctl --user stop $webui"
last=$(guest chats)
expect 'the database of day 3 is one command' "aidb restore open-webui --snapshot $id --only webui.db"
same 'it has the chats of day 3' yes "$([ "$(guest chats)" -ge "${chats_on[3]}" ] && [ "$(guest chats)" -lt "${chats_on[1]}" ] && echo yes)"
same 'and nothing else is older' 'day 0 ago' "$(guest 'cat ai/open-webui/notes/today')"
expect 'the application starts on it' "systemctl --user start $webui"
webui_up
as_alice "systemctl --user stop $webui"
expect 'undo is one command' 'aidb undo open-webui'
same 'and brings the last chat back' "$last" "$(guest chats)"
[ "$after" -gt 0 ]
