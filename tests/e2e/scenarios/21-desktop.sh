# An alert is shown on the desktop, by the session bus of the user; where nobody shows notifications it is not lost: another way, or later
fresh
webui_image 0.12.4
# The same comes back here within seconds, and is to be told each time.
configuration one one-container --edit 's|^  "gate": |  "alert": { "quietHours": 0 },\n&|'
configuration two one-container --edit 's|^  "gate": |  "alert": { "command": ["/home/alice/tell"], "quietHours": 0 },\n&|'
fixture openwebui-0.12.4-large
as_alice "printf '%s\n' '#!/bin/sh' '/usr/bin/cat >> /home/alice/told' > tell && chmod 755 tell"
# A desktop: its program for notifications, and whoever shows them on the bus of the session.
as_root 'mv /usr/local/lib/notify-send /usr/bin/'
desktop() {
  as_alice "systemd-run -q --user --unit=desktop /e2e/bin/notifications /home/alice/shown"
  eventually 60 'somebody shows notifications' 'busctl --user --no-pager list | grep "^org.freedesktop.Notifications "'
}
# shown JQ: what of the notifications was shown since it was last asked, one line each.
shown() { guest "[ ! -e shown ] || { jq -r '$1' shown; rm shown; }"; }
# The folder that the container has goes, and another one stands there: `mount.other`, a hold.
exchanged() { as_alice 'mv ai/open-webui ai/aside && cp -a ai/aside ai/open-webui'; }
back() { as_alice 'rm -rf ai/open-webui && mv ai/aside ai/open-webui'; }
written() { guest "journalctl --user -b -o cat -t aidb-monitor -p err..err | grep -c '^open-webui: '"; }

switched one
webui_up
as_alice "systemctl --user restart $webui"
webui_up
proven
desktop
by_timer aidb-monitor
same 'when all is well nothing is shown' '' "$(shown .title)"
exchanged
by_timer aidb-monitor
same 'a hold is shown as what is critical, by our name' '2 aidb' "$(guest 'jq -r "[.urgency, .app] | join(\" \")" shown')"
shows 'it says which container, and what' '^open-webui: .*another folder' 'jq -r .title shown'
shows 'and below it where that is' 'the guarded folder is `/home/alice/ai/open-webui`' 'jq -r .body shown'
as_alice 'rm shown'
by_timer aidb-monitor
same 'it is shown once' '' "$(shown .title)"
same 'and stands in the journal once' 1 "$(written)"
back
by_timer aidb-monitor
shows 'its end is shown' '^1 open-webui: over: ' 'jq -r "[(.urgency | tostring), .title] | join(\" \")" shown'
as_alice 'rm shown'

# Nobody is logged in: there is a bus, and nobody on it who shows anything.
as_alice 'systemctl --user stop desktop.service'
exchanged
by_timer aidb-monitor
shows 'the journal says what could not be told, and why' 'an alert could not be told: .*notify-send' 'journalctl --user -b -o cat -t aidb-monitor'
same 'and the alert itself' 2 "$(written)"
shows 'status knows that it waits' '1 alert could not be told yet' 'aidb status'
by_timer aidb-monitor
same 'the journal has it once' 2 "$(written)"
desktop
by_timer aidb-monitor
shows 'whoever comes is shown it' '^open-webui: ' 'jq -r .title shown'
never 'nothing waits any more' 'aidb status | grep "could not be told yet"'
as_alice 'rm shown'
back
by_timer aidb-monitor
shows 'its end too' '^open-webui: over: ' "jq -r .title shown"

# With another way, that is told at once, and once.
as_alice 'systemctl --user stop desktop.service; rm -f shown'
switched two
webui_up
exchanged
by_timer aidb-monitor
same 'the command of the user is told' 'opened mount.other' "$(guest 'jq -r ".alerts[] | [.event, .id] | join(\" \")" told; rm told')"
desktop
by_timer aidb-monitor
same 'who was told is not told again' '' "$(shown .title)$(guest 'cat told 2> /dev/null')"
