# The monitor's timer looks at the container as it runs; what is wrong is told once by the user's own command, and its end once
fresh
webui_image 0.12.4
configuration one one-container --edit 's|^  "gate": |  "alert": { "command": ["/home/alice/tell"] },\n&|'
fixture openwebui-0.12.4-large
# The command is given one document to read; each is kept, in the order in which they came.
as_alice "mkdir told && printf '%s\n' '#!/bin/sh' '/usr/bin/cat > /home/alice/told/\$(/usr/bin/date +%s%N)' > tell && chmod 755 tell"
# told: what was told since it was last asked, one line each: event, id, severity.
told() { guest 'cat told/* 2> /dev/null | jq -r ".alerts[] | [.event, .id, .severity] | join(\" \")" | sort; rm -f told/*'; }
# looks WHAT EXPECTED: the timer has the monitor look, and it tells this and nothing else, so nothing a second time either.
looks() {
  by_timer aidb-monitor
  same "$1" "$2" "$(told)"
}
# tells PRIORITY PATTERN: the journal has it of the monitor (by its name: of what has ended, journald may not know the unit).
tells() { shows "the journal has it, by its priority ($1)" "$2" "journalctl --user -b -o cat -t aidb-monitor -p $1..$1"; }
now() { guest "sqlite3 'file:.local/state/aidb/ledger.db?mode=ro' \"select $1 from incarnation order by id desc limit 1\""; }
inspected() { guest "podman inspect --format '{{$1}}' open-webui"; }
inside() { guest "stat -L -c '%d %i' /proc/\$(podman inspect --format {{.State.Pid}} open-webui)/root$1"; }

switched one
webui_up
as_alice "systemctl --user restart $webui"
webui_up
proven
looks 'when all is well nothing is told' ''
same 'the look ended well' success "$(guest 'systemctl --user show -P Result aidb-monitor.service')"
same 'it knows the container' "$(inspected .Id)" "$(now container_id)"
same 'its image' "$(inspected .ImageDigest)" "$(now image_digest)"
same 'since when it runs' "$(date -u -d "$(inspected .State.StartedAt | sed 's/ UTC$//')" +%s)" "$(date -u -d "$(now started_at)" +%s)"
same 'and the hook that announced it' 1 "$(now 'announced_at is not null')"
same 'what the container has at its data path is the guarded folder' "$(guest "stat -c '%d %i' ai/open-webui")" "$(inside /app/backend/data)"

# Written to the container's own layer: a database, a file that is open now, and a lot.
as_alice "podman exec open-webui python3 -c 'import sqlite3; d = sqlite3.connect(\"/app/other.db\"); d.execute(\"create table t(x)\"); d.commit(); open(\"/app/large\", \"wb\").write(bytes(20 << 20))'"
as_alice "podman exec -d open-webui python3 -c 'import time; f = open(\"/app/run.log\", \"w\"); f.write(\"x\"); f.flush(); time.sleep(600)'"
eventually 60 'the file is open' 'podman exec open-webui ls /app/run.log'
by_timer aidb-monitor
shows 'the database is named, and the file that is open' '/app/other.db' "cat told/*"
shows 'and the open file too' '/app/run.log' "cat told/*"
shows 'with a command that keeps it' 'aidb.* rescue open-webui' "jq -r '.alerts[].next[]' told/*"
same 'both are told' $'opened layer.database warn\nopened layer.writes warn' "$(told)"
tells warning '/app/other.db'
looks 'while they are there they are told once' ''
as_alice "systemctl --user restart $webui"
webui_up
looks 'with the container they have gone' $'ended layer.database warn\nended layer.writes warn'
tells notice 'over: .*database'

# Another folder takes the place of the one that the container still has.
as_alice 'mv ai/open-webui ai/aside && cp -a ai/aside ai/open-webui'
looks 'the container has the folder that was there when it started' 'opened mount.other hold'
tells err 'open-webui: '
as_alice "systemctl --user restart $webui"
webui_up
looks 'started anew, as the next step says, it has the folder that is there now' 'ended mount.other hold'
as_alice 'rm -rf ai/aside'

# A new container while the hooks cannot run: the one before went without a word, and its layer with it.
as_root 'mv /e2e/tools/aidb-precheck /e2e/tools/aidb-snapshot /e2e/'
before=$(inspected .Id)
as_alice 'podman rm -f -t 1 open-webui'
eventually 60 'systemd makes a new one' "podman inspect --format {{.Id}} open-webui | grep -v $before"
webui_up
as_root 'mv /e2e/aidb-precheck /e2e/aidb-snapshot /e2e/tools/'
by_timer aidb-monitor
shows 'it says which took the place of which' "$(inspected .Id | cut -c1-12).*${before:0:12}" "cat told/*"
same 'a recreation that no hook saw' 'opened container.recreated warn' "$(told)"

# It crashes, and systemd starts it again each time, of which nobody is told by the unit.
# systemd's own limit, five starts within ten seconds, is not what this is about: a fast machine comes to it here.
for _ in 1 2 3; do
  as_alice "systemctl --user reset-failed $webui"
  crashed=$(inspected .Id)
  as_alice "kill -9 $(inspected .State.Pid)"
  eventually 60 'systemd starts another one' "podman inspect --format {{.Id}} open-webui | grep -v $crashed"
  webui_up
done
looks 'three crashes within an hour are a loop' 'opened container.crash-loop warn'

# Somebody runs it by hand, without its volume.
as_alice "systemctl --user stop $webui && podman run -d --name open-webui $webui_name"
eventually 60 'it is up' "podman logs open-webui 2>&1 | grep 'application: up'"
by_timer aidb-monitor
shows 'it names the path' '/app/backend/data' 'cat told/*'
# That a database lies in the layer was told within a day, and waits.
same 'its data is on no volume' 'opened mount.absent hold' "$(told)"
tells err '/app/backend/data'
as_alice "podman rm -f -t 1 open-webui && systemctl --user start $webui"
webui_up
looks 'by its unit it has its volume' 'ended mount.absent hold'

# The disk fills up.
as_alice 'fallocate -l $(($(df --output=avail -B 1 ai | tail -n 1) - (600 << 20))) filler'
looks 'little is free' 'opened space.low warn'
as_alice 'rm filler; sync'
looks 'there is room again' 'ended space.low warn'

# Two days in which no backup ran.
clock aidb-monitor +52h
looks 'the newest proven snapshot is old; crashes and recreation are long ago' \
  $'ended container.crash-loop warn\nended container.recreated warn\nopened snapshot.stale warn'
clock aidb-backup +52h
slept_through aidb-backup
looks 'with the next backup it is over' 'ended snapshot.stale warn'

# It grows by 80 MiB an hour, and the disk has room for less than a day of that.
as_alice 'fallocate -l $(($(df --output=avail -B 1 ai | tail -n 1) - (1700 << 20))) filler'
for hour in 53 54 55; do
  as_alice "podman exec open-webui python3 -c 'import sqlite3; d = sqlite3.connect(\"/app/backend/data/webui.db\", timeout=60); d.execute(\"create table if not exists ballast(x)\"); d.execute(\"insert into ballast values (zeroblob(80 << 20))\"); d.commit()'"
  clock aidb-monitor +${hour}h
  by_timer aidb-monitor
  [ $hour = 55 ] || same 'two hours are no pace' '' "$(told)"
done
shows 'it says how fast, and for how long there is room' 'it grew by .* MiB an hour or more, 3 hours in a row; .* enough for 1[0-9] hours' 'cat told/*'
same 'it is told before the disk is full' 'opened space.growth warn' "$(told)"
as_alice 'rm filler; sync'
looks 'there is room for it' 'ended space.growth warn'
clock aidb-monitor now
looks 'a clock that is set back is no news' ''
