# A damaged database holds the start, once and with one alert; it is restored and starts at once; our own trouble holds nothing
fresh
webui_image 0.12.4
configuration one one-container
fixture openwebui-0.12.4-large
switched one
webui_up
as_alice "systemctl --user stop $webui"
proven
before=$(guest chats)
damage='dd if=/dev/urandom of=ai/open-webui/webui.db bs=4096 seek=2 count=40 conv=notrunc status=none; rm -f ai/open-webui/webui.db-wal ai/open-webui/webui.db-shm; sync'
starts() { guest "journalctl --user -b -o cat -u $webui | grep -c '^Starting '"; }
alerts() { guest "journalctl --user -b -o cat -u 'aidb-alert@*' 2> /dev/null | grep -c '^Starting '"; }

for check in fast slow; do
  # A check that takes three seconds would never reach systemd's limit of five starts in ten.
  if [ $check = slow ]; then
    as_root "mv /e2e/tools/aidb-precheck /e2e/tools/real && printf '%s\n' '#!/bin/sh' '/usr/bin/sleep 3' 'exec /e2e/tools/real \"\$@\"' > /e2e/tools/aidb-precheck && chmod 755 /e2e/tools/aidb-precheck"
  fi
  as_alice "systemctl --user stop $webui; $damage"
  s=$(starts) a=$(alerts) kept=$(snapshots open-webui length)
  never "the start is held ($check check)" "systemctl --user start $webui"
  held
  shows 'it says what is wrong, and what brings it back' 'aidb restore open-webui' "journalctl --user -b -o cat -t podman-open-webui"
  sleep 5
  same "one attempt ($check check)" $((s + 1)) "$(starts)"
  same "one alert ($check check)" $((a + 1)) "$(alerts)"
  same "no snapshot of what was held ($check check)" "$kept" "$(snapshots open-webui length)"
  never 'the container does not run' 'podman container exists open-webui'
  expect 'the command from the journal brings it back' 'aidb restore open-webui'
  expect 'and it starts at once' "systemctl --user start $webui"
  webui_up
  same 'with every chat' yes "$([ "$(guest chats)" -ge "$before" ] && echo yes)"
done

as_alice "systemctl --user stop $webui"
as_root 'mv /e2e/tools/aidb-precheck /e2e/tools/away'
expect 'without the tool the container starts all the same' "systemctl --user start $webui"
as_alice "systemctl --user stop $webui"
as_root 'mv /e2e/tools/real /e2e/tools/aidb-precheck'
as_alice 'rm .config/aidb/stack.json; echo nonsense > .config/aidb/stack.json'
expect 'with broken settings too' "systemctl --user start $webui"
