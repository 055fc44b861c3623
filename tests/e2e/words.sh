# The words that scenarios are written in. Sourced after machine.sh; a scenario runs in a subshell of its own.

# Set for a control run: configurations without aidb's hooks.
hooks=${hooks:-}

tell() { [ -z "${verbose:-}" ] || printf '      %s\n' "$*" >&2; }

# failed WHAT OUTPUT: the scenario ends here, with what was seen.
failed() {
  printf 'not so: %s\n' "$1"
  [ -z "${2:-}" ] || printf '%s\n' "$2" | tail -n 30 | sed 's/^/    | /'
  exit 1
}

# expect WHAT LINE: what a user would see; the shell line succeeds for alice.
expect() { local said; if said=$(guest "$2" 2>&1); then tell "$1"; else failed "$1" "$said"; fi; }
# never WHAT LINE: the shell line fails.
never() { local said; if said=$(guest "$2" 2>&1); then failed "$1" "$said"; else tell "$1"; fi; }
# shows WHAT PATTERN LINE: what the line prints has the pattern, whatever its status.
shows() {
  local said
  said=$(guest "$3" 2>&1)
  if grep -qE -- "$2" <<< "$said"; then tell "$1"; else failed "$1 (expected: $2)" "$said"; fi
}
# same WHAT EXPECTED FOUND
same() { if [ "$2" = "$3" ]; then tell "$1"; else failed "$1: expected \`$2\`, found \`$3\`"; fi; }
# eventually SECONDS WHAT LINE: the shell line succeeds within that time.
# Without hooks there is little to wait for.
eventually() { expect "$2" "wait-until $([ -z "$hooks" ] && echo "$1" || echo 8) $(printf %q "$3")"; }
# as_alice LINE: a step that must work, whatever is tested.
as_alice() { local said; said=$(guest "$1" 2>&1) || failed "step: $1" "$said"; }
as_root() { local said; said=$(guest_root "$1" 2>&1) || failed "step, as root: $1" "$said"; }

# fixture NAME [FOLDER]: a data folder that the real application wrote (tests/fixtures), as alice's.
fixture() {
  local folder=${2:-ai/open-webui} work
  work=$(mktemp -d)
  tar -C "$work" -xJf "$here/../fixtures/$1.tar.xz"
  tar -C "$work/$1" --owner=0 --group=0 -cf - . | guest "mkdir -p $folder && tar -C $folder --no-same-owner -xf -" || failed "fixture $1"
  rm -rf "$work"
}

# configuration NAME GOLDEN [OPTION...]: a generation (guest/generation), with hooks or, in a control run, without.
configuration() {
  local options
  printf -v options '%q ' "$@"
  as_alice "generation $options $hooks"
}
# switched NAME: the switch to it works.
switched() { expect "the switch to \`$1\` goes through" "switch generations/$1"; }

webui=podman-open-webui.service
# webui_image VERSION [SETTING=VALUE...]: what stands behind the image that the configurations name for Open WebUI.
webui_image() {
  local options
  printf -v options '%q ' "$@"
  as_alice "image $webui_name $options"
}
webui_name=$(sed -n '/^--- podman-open-webui/,/^--- /s/^Image=//p' "$here/../nix/golden/one-container.txt")

# webui_up: Open WebUI runs and has its database open, in the container that is there now.
webui_up() {
  eventually 60 'Open WebUI is up' "systemctl --user is-active $webui &&
    journalctl --user -b -o cat CONTAINER_ID_FULL=\$(cat /run/user/1000/podman-open-webui.cid) | grep 'application: up'"
}
held() { eventually 60 'the start is held: the unit is down, and nothing tries again' "! systemctl --user is-active $webui && [ \$(systemctl --user show -P Job $webui)x = x ]"; }

# by_timer UNIT: the timer of the unit elapses a moment from now, and starts the unit itself; returns when that has ended.
by_timer() {
  local ran="systemctl --user show -P ExecMainStartTimestampMonotonic $1.service" soon=.config/systemd/user/$1.timer.d/soon.conf before
  # A timer that is up would elapse as it is read anew. Nobody looks five times in ten seconds but a test.
  expect "the timer of $1 may elapse soon" "systemctl --user stop $1.timer && { [ -e $soon ] || { mkdir -p $(dirname $soon) &&
    printf '%s\n' '[Timer]' OnActiveSec=10ms AccuracySec=1ms > $soon && systemctl --user daemon-reload; }; }"
  before=$(guest "$ran")
  expect "the timer of $1 is set" "systemctl --user reset-failed $1.timer $1.service; systemctl --user start $1.timer"
  eventually 60 "the timer starts $1" "[ \$($ran) != $before ] && ! systemctl --user show -P ActiveState $1.service | grep activating"
}
# slept_through UNIT: the same, by nothing but the unit's own timer, which finds that its time went by while it was not there.
slept_through() {
  local ran="systemctl --user show -P ExecMainStartTimestampMonotonic $1.service" before
  before=$(guest "$ran")
  expect "the timer of $1 missed a day" "systemctl --user reset-failed $1.timer $1.service; systemctl --user stop $1.timer && touch -d '2 days ago' .local/share/systemd/timers/stamp-$1.timer && systemctl --user start $1.timer"
  eventually 60 "it makes up for it" "[ \$($ran) != $before ] && ! systemctl --user show -P ActiveState $1.service | grep activating"
}
# clock UNIT OFFSET: for the unit it is another time, as `+52h`; `now` gives its own back. The machine's clock goes on. Its timer,
# which would elapse as the units are read anew, is stopped: `by_timer` and `slept_through` start it.
clock() {
  local folder=.config/systemd/user/$1.service.d
  as_alice "systemctl --user stop $1.timer"
  if [ "$2" = now ]; then
    as_alice "rm -f $folder/clock.conf; systemctl --user daemon-reload"
  else
    as_alice "mkdir -p $folder && printf '%s\n' '[Service]' Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 \
      Environment=FAKETIME=$2 Environment=NO_FAKE_STAT=1 Environment=FAKETIME_DONT_FAKE_MONOTONIC=1 > $folder/clock.conf && systemctl --user daemon-reload"
  fi
}

# journal [PATTERN]: what the user manager and alice's units said since boot.
journal() { guest "journalctl -b --no-pager -o short-monotonic _UID=1000 + _COMM=systemd"; }

# proven GUARD: waits until no snapshot of it lacks its proof.
proven() { eventually 60 'the newest snapshot is proven' "aidb list --json ${1:-open-webui} | jq -e '.snapshots | length > 0 and all(.proven)'"; }
# snapshots GUARD JQ: a question about the snapshots of a guard.
snapshots() { guest "aidb list --json $1" | jq -r ".snapshots | $2"; }

# nix_generations: puts the generations that nix builds of tests/nix/built.nix into the machine's store, which is alice's, and
# makes a word of each: `one`, `two`, and `without-one`, `without-two`, which have no hooks. Ends the scenario, with the reason, where
# there is no nix, or nothing to build them of.
nix_generations() {
  local exchange
  exchange=$(mktemp -d)
  mkdir "$exchange/tools"
  cp "$machine"/e2e/tools/* "$exchange/tools/"
  if AIDB_EXCHANGE=$exchange "$here/../nix/in-tree" tests/nix/run --generations > "$exchange/made" 2> "$exchange/said"; then
    cp "$exchange"/closure* "$exchange/made" "$machine/e2e/"
    as_root "install -D /e2e/closure.sd-switch $(sed -n 's/^sd-switch //p' "$exchange/made")"
    as_root 'export NIX_REMOTE=; nix-store --import < /e2e/closure > /dev/null; chown -R alice: /nix; rm /e2e/closure'
    rm -rf "$exchange"
  else
    status=$?
    [ "$status" = 77 ] || failed 'step: nix builds the generations' "$(tail -n 20 "$exchange/said")"
    sed -n 's/^nix: left out: //p' "$exchange/made"
    rm -rf "$exchange"
    exit 77
  fi
}
# generation_of NAME: the path of a generation of nix; in a control run, of the one without hooks.
generation_of() { sed -n "s/^${hooks:+without-}${1#"${hooks:+without-}"} //p" "$machine/e2e/made"; }
