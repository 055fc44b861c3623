# The drill: the very image of a snapshot comes up on a copy of it, without a network; an image that cannot fails it; nothing is left
fresh
webui_image 0.12.4
configuration one one-container
fixture openwebui-0.12.4-large
switched one
webui_up
as_alice "systemctl --user restart $webui"
webui_up
proven
real=$(guest 'podman inspect --format "{{.Id}} {{.State.StartedAt}}" open-webui')
snapshot=$(snapshots open-webui '[.[] | select(.proven)][-1].id')
digest=$(guest "aidb show --json $snapshot" | jq -r '.snapshots[0].image_digest')
# The image's name goes to another image meanwhile, as an update gives it.
webui_image 0.6.38
nothing_left() {
  expect 'no container of the drill is left' '[ -z "$(podman ps -aq --filter label=aidb.drill)" ]'
  expect 'nor a folder' '! find .local/state/aidb/drill -mindepth 2 -not -name .lock 2> /dev/null | grep .'
  same 'the real container was left alone' "$real" "$(guest 'podman inspect --format "{{.Id}} {{.State.StartedAt}}" open-webui')"
}
# drilled SNAPSHOT: begins a drill, and waits until its container is there.
begun() {
  as_alice "systemd-run --user --collect --unit=drill -E PATH=\"\$PATH\" -p StandardOutput=file:/home/alice/said sh -c 'aidb verify --drill --stay 4s $1; echo \"status \$?\"'"
  eventually 60 'its container runs' '[ -n "$(podman ps -q --filter label=aidb.drill)" ]'
}
ended() { eventually 60 'the drill ends' 'grep "^status" said'; }

expect 'the data is there to be drilled' "aidb list --json open-webui | jq -e 'any(.snapshots[]; .proven and .reason == \"stop\")'"
begun "$snapshot"
drill=$(guest 'podman inspect --format "{{.ImageDigest}} {{.HostConfig.NetworkMode}} {{.State.Status}}" $(podman ps -q --filter label=aidb.drill)')
same 'it runs the image of the snapshot, without a network' "$digest none running" "$drill"
never 'it is not on the real data' 'podman inspect $(podman ps -q --filter label=aidb.drill) | grep /home/alice/ai'
never 'nor is it of any unit' 'podman inspect --format "{{.Config.Labels}}" $(podman ps -q --filter label=aidb.drill) | grep PODMAN_SYSTEMD_UNIT'
ended
shows 'the application came up on it' '^ok .*came up on it' 'cat said'
shows 'and the status says so' '^status 0' 'cat said'
nothing_left
expect 'the ledger has it' "sqlite3 .local/state/aidb/ledger.db 'select detail from event where kind = \"drill\"' | grep '$snapshot on '"
expect 'the metrics tell when: less than an hour ago' "aidb-monitor metrics | awk -v now=\$(date +%s) '/^aidb_drill_timestamp_seconds\\{/ { found = now - \$2 < 3600 } END { exit !found }'"
shows 'and the report' 'Last drill' 'aidb report --to report.html > /dev/null; cat report.html'

# Images that are of no use without a network: one gives up, one takes its database away and makes no other.
for image in ends empties; do
  webui_image 0.12.4 OFFLINE=$image
  as_alice "systemctl --user restart $webui"
  webui_up
  as_alice "aidb take open-webui"
  newest=$(snapshots open-webui '[.[] | select(.proven)][-1].id')
  real=$(guest 'podman inspect --format "{{.Id}} {{.State.StartedAt}}" open-webui')
  never "the drill fails ($image)" "aidb verify --drill --stay 4s $newest > said 2>&1"
  shows 'its answer is no' '^hold .*drill failed' 'cat said'
  if [ $image = ends ]; then
    shows 'with what the application said last' 'no network, and nothing to do without one' 'cat said'
  else
    shows 'with what is missing' 'webui.db' 'cat said'
  fi
  nothing_left
  expect 'the ledger has that too' "sqlite3 .local/state/aidb/ledger.db 'select detail from event where kind = \"drill-failed\"' | grep '$newest on '"
  expect 'the snapshot is as it was' "aidb verify $newest"
done
expect 'the metrics tell that one failed' 'aidb-monitor metrics | grep "^aidb_drill_failed_timestamp_seconds{"'

# One that stays up and never opens its data is no proof of anything, and no failure.
webui_image 0.12.4 OFFLINE=sleeps
as_alice "systemctl --user restart $webui"
webui_up
as_alice "aidb take open-webui"
newest=$(snapshots open-webui '[.[] | select(.proven)][-1].id')
real=$(guest 'podman inspect --format "{{.Id}} {{.State.StartedAt}}" open-webui')
as_alice "aidb verify --drill --stay 4s $newest > said 2>&1; echo \"status \$?\" >> said"
shows 'the drill says that it tells nothing' 'never opened its data' 'cat said'
shows 'which is neither a pass nor a failure' '^status 3' 'cat said'
nothing_left
expect 'the ledger has it as such' "sqlite3 .local/state/aidb/ledger.db 'select detail from event where kind = \"drill-could-not\"' | grep '$newest on '"
