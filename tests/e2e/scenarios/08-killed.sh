# Container killed, conmon killed, a hook over its time limit: what was there is kept each time, and the application comes up
fresh
webui_image 0.12.4
configuration one one-container
fixture openwebui-0.12.4-large
switched one
webui_up
snapshots_of_stops() { guest 'aidb list --json open-webui' | jq -r '[.snapshots[] | select(.reason == "stop")] | length'; }
more() { same "$1" yes "$([ "$(snapshots_of_stops)" -gt "$2" ] && echo yes)"; }

before=$(snapshots_of_stops)
id=$(guest 'podman inspect --format {{.Id}} open-webui')
as_alice 'kill -9 $(podman inspect --format {{.State.Pid}} open-webui)'
eventually 60 'a new container comes up after the kill' "podman inspect --format {{.Id}} open-webui | grep -v $id"
webui_up
more 'what the killed one left is kept' "$before"

before=$(snapshots_of_stops)
as_alice 'kill -9 $(podman inspect --format {{.State.ConmonPid}} open-webui)'
id=$(guest 'podman inspect --format {{.Id}} open-webui')
eventually 60 'a new container comes up after conmon was killed' "podman inspect --format {{.Id}} open-webui | grep -v $id"
webui_up
more 'what it left is kept' "$before"

# A hook that hangs is cut off by systemd; the application still ends and starts.
as_alice 'mkdir -p .config/systemd/user/podman-open-webui.service.d && printf "[Service]\nTimeoutStopSec=3\n" > .config/systemd/user/podman-open-webui.service.d/e2e.conf && systemctl --user daemon-reload'
as_root "mv /e2e/tools/aidb-snapshot /e2e/tools/real && printf '%s\n' '#!/bin/sh' 'exec /usr/bin/sleep 60' > /e2e/tools/aidb-snapshot && chmod 755 /e2e/tools/aidb-snapshot"
before=$(now_ms)
guest "systemctl --user stop $webui" > /dev/null 2>&1
same 'the stop ends all the same' yes "$([ $(($(now_ms) - before)) -lt 30000 ] && echo yes)"
expect 'and the container is gone' '! podman container exists open-webui'
as_root 'mv /e2e/tools/real /e2e/tools/aidb-snapshot'
as_alice 'systemctl --user reset-failed'
expect 'it starts again' "systemctl --user start $webui"
webui_up
expect 'with its data whole' "aidb check --json open-webui | jq -e '.verdict == \"pass\"'"
