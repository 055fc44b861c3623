# What the hooks cost: the same unit with them and without, in one run on one machine. Sourced by run.

# beside NAME KEY WITH WITHOUT: one line, added time and ratio.
beside() {
  jq -rn --arg name "$1" --arg key "$2" --argjson with "$3" --argjson without "$4" \
    '"\($name)  \($without[$key]) ms without, \($with[$key]) ms with: \(($with[$key] - $without[$key]) * 10 | round / 10) ms added, x\($with[$key] / $without[$key] * 100 | round / 100)"'
}
measure() { guest "measure $*"; }

# with_and_without STORE CHANGE COUNT: starts and stops of the container, its data being STORE.
with_and_without() {
  local without with quoted
  printf -v quoted '%q' "$2"
  as_alice "switch generations/before; systemctl --user stop $webui"
  without=$(measure unit "$3" "$quoted") || failed 'measure' "$without"
  as_alice "switch generations/one; systemctl --user stop $webui; wait-until 60 '! systemctl --user is-active aidb-prove.service'"
  # Once, so that what can stand stands.
  measure unit 2 "$quoted" > /dev/null
  with=$(measure unit "$3" "$quoted") || failed 'measure' "$with"
  beside "$1: start" start "$with" "$without"
  beside "$1: stop " stop "$with" "$without"
  jq -rn --argjson with "$with" --argjson without "$without" --arg name "$1" \
    '"\($name): both   \(($with.start + $with.stop - $without.start - $without.stop) * 10 | round / 10) ms added together"'
}

count=${AIDB_E2E_COUNT:-9}
# A row more, as an application leaves it: committed, in the log.
a_row='sqlite3 ~/ai/open-webui/webui.db "insert into chat (id, user_id, title, created_at, updated_at, archived, chat, meta) values (hex(randomblob(16)), 1, 1, 1, 1, 0, hex(randomblob(2000)), 1)"'
fresh btrfs
echo "$(grep -m 1 'model name' /proc/cpuinfo | cut -d: -f2 | xargs), $(nproc) cores, Linux $(uname -r), $(date -u +%F), load $(cut -d' ' -f1 /proc/loadavg); medians of $count"
webui_image idle
as_alice 'generation before one-container --without-hooks; generation before-two one-container --without-hooks --edit "s/^OnCalendar=hourly/OnCalendar=*:0\/30/"'
configuration one one-container
configuration two one-container --edit 's/^OnCalendar=hourly/OnCalendar=*:0\/30/'
fixture openwebui-0.6.38-small
with_and_without 'small store, unchanged' : "$count"
with_and_without 'small store, a row more' "$a_row" "$count"

as_alice "switch generations/before; systemctl --user start $webui"
without=$(measure switch "$count" generations/before generations/before-two)
as_alice 'switch generations/one'
with=$(measure switch "$count" generations/one generations/two)
beside 'switch, nothing guarded restarts' switch "$with" "$without"
shows 'and it says one line' '^1$' 'switch generations/one 2>&1 | wc -l'

as_alice "systemctl --user stop $webui; sqlite3 ai/open-webui/webui.db \"insert into chat (id, user_id, title, created_at, updated_at, archived, chat, meta) select hex(randomblob(16)), 1, 1, 1, 1, 0, hex(randomblob(500000)), 1 from generate_series(1, 1030)\"; sync; ls -s ai/open-webui/webui.db"
with_and_without '1 GiB store, unchanged' : "$count"
with_and_without '1 GiB store, a row more' "$a_row" "$count"
