# Part of tests/nix/run: what needs a build. Sourced there.

build() { nix build --impure --no-link --print-out-paths "$@"; }

if evaluate --json --expr "$tests.built.laws" > "$work/laws" 2> "$work/error"; then tell "$work/laws"
else fail 'generations evaluate' "$(tail -n 40 "$work/error")"; fi

whole() {
  local package tool; package=$(build --expr "$tests.built.quick") || return 1
  for tool in aidb aidb-precheck aidb-snapshot aidb-init-verify aidb-monitor; do
    for file in bin/$tool share/bash-completion/completions/$tool.bash share/fish/vendor_completions.d/$tool.fish share/zsh/site-functions/_$tool share/man/man1/$tool.1; do
      [ -s "$package/$file" ] || { echo "no $file"; return 1; }
    done
  done
}
# The tools themselves, in a hurry, and what they say of every example's settings.
check 'the tools build, with completions and man pages' whole
while IFS= read -r name; do
  check "stack.json of $name: the tool takes it" build --expr "$tests.built.stacks.\"$name\""
done < <(evaluate --json --expr "builtins.attrNames $tests.examples" | jq -r '.[]')

refuses() { # refuses NAME TEXT
  local said
  if said=$(build --expr "$tests.built.timers.$1" 2>&1); then echo 'it was built'; return 1; fi
  grep -qF "$2" <<< "$said" || { echo "$said"; return 1; }
}
check 'timers that systemd understands, or that are off, are built' build --expr "[ $tests.built.timers.good $tests.built.timers.off ]"
check 'a calendar that is none is told at the build' refuses calendar 'services.aidb.backup.onCalendar: expected a calendar of systemd (systemd.time(7)), found `every night`'
check 'a time span that is none is told at the build' refuses span 'services.aidb.backup.randomizedDelay: expected a timespan of systemd (systemd.time(7)), found `a while`'

# One rule: what the module derives from options, the tools discover in the units that are made of them.
same() { # same EXAMPLE
  local generation folder; generation=$(build --expr "$tests.built.derived.\"$1\"") || return 1
  folder=$(mktemp -d -p "$work"); mkdir "$folder/config"
  ln -s "$generation/home-files/.config/systemd" "$folder/config/systemd"
  local tool=$generation/home-files/.config/aidb/bin/aidb-precheck
  guards() { jq '[.guards[] | {name, data, preset, unit, stores}]'; }
  env -i HOME=/home/alice XDG_CONFIG_HOME="$folder/config" "$tool" --json settings | guards > "$folder/discovered"
  env -i HOME=/home/alice "$tool" --json --config "$generation/home-files/.config/aidb/stack.json" settings | guards > "$folder/derived"
  [ "$(jq length "$folder/derived")" -gt 0 ] && diff -u "$folder/discovered" "$folder/derived"
}
for name in every-volume four-containers own-hooks two-folders; do check "the tools discover the guards of $name" same "$name"; done

# Units as systemd reads them: those of quadlets, made by Podman's own generator, and ours.
reads() { # reads GENERATION UNIT...: the units that are not Home Manager's are made up
  local folder unit; folder=$(mktemp -d -p "$work"); units=$folder/systemd/user
  local generation=$1; shift
  mkdir -p "$folder/aidb" "$folder/run"; chmod 700 "$folder/run"
  cp -rP "$generation/home-files/.config/systemd" "$folder/systemd"; chmod -R u+w "$folder/systemd"
  # %E/aidb/bin, as at home.
  ln -s "$(readlink -f "$generation/home-files/.config/aidb/bin")" "$folder/aidb/bin"
  for unit in "$@"; do printf '[Service]\nExecStart=/bin/true\n' > "$units/$unit"; done
  # Templates are read as an instance.
  cp "$units/aidb-verify@.service" "$units/aidb-verify@podman-ollama.service"
  cp "$units/aidb-alert@.service" "$units/aidb-alert@podman-ollama.service.service"
  [ -e "$units/podman-ollama.service" ] || printf '[Service]\nExecStart=/bin/true\n' > "$units/podman-ollama.service"
  XDG_CONFIG_HOME=$folder XDG_RUNTIME_DIR=$folder/run systemd-analyze --user --man=no verify \
    "$units"/aidb-*[!@].service "$units"/aidb-*.timer "$units"/podman-*.service > "$folder/verify" 2>&1 || { cat "$folder/verify"; return 1; }
  # It complains about some things and is content all the same.
  ! grep -E 'aidb|Unknown|Failed' "$folder/verify"
}
if four=$(build --expr "$tests.built.four" 2> "$work/error") && own=$(build --expr "$tests.built.own" 2> "$work/error"); then
  pass 'generations with the real tools build'
  if command -v systemd-analyze > /dev/null; then
    check 'systemd reads the units' reads "$four"
    check 'systemd reads the companions of units that are not in services.podman' reads "$own" paperless.service aidb-app.service
  else echo 'left out: systemd reads the units (there is no systemd-analyze)'; fi
else fail 'generations with the real tools build' "$(tail -n 40 "$work/error")"; fi

# The gate in the real activation script, with tools that answer as they are told.
gated=$(build --expr "$tests.built.gated" 2> "$work/error") || { fail 'a generation with tools that answer as they are told' "$(tail -n 40 "$work/error")"; gated=; }
# activated FROM TO [VARIABLE...]: the part of the activation between two entries, with a home and tools of its own.
activated() {
  local from=$1 to=$2; shift 2
  rm -rf "$work/home"; mkdir -p "$work/home"
  # A user of that name, and Home Manager's own steps, are not needed.
  awk -v from="_iNote \"Activating %s\" \"$from\"" -v to="_iNote \"Activating %s\" \"$to\"" \
    'index($0, from) == 1 { on = 1 } index($0, to) == 1 { on = 0 } on' "$gated/activate" > "$work/part"
  { sed '/^_iNote "Activating %s"/,$d' "$gated/activate"; cat "$work/part"; echo 'echo AND ON'; } > "$work/activate"
  env -i HOME="$work/home" USER="$(id -un)" PATH="$PATH" NIX_CONFIG="$NIX_CONFIG" SKIP_SANITY_CHECKS=1 STAND_IN="$work/stand-in" "$@" bash "$work/activate" > "$work/said" 2>&1
}
# gate NAME STATUS EXPECTED [VARIABLE...]: runs the gate, whose tool ends with STATUS. EXPECTED is "goes on" or "refused".
gate() {
  local name=$1 status=$2 expected=$3 found; shift 3
  rm -rf "$work/stand-in"; mkdir -p "$work/stand-in"
  echo "$status" > "$work/stand-in/aidb-precheck"
  activated aidbGate writeBoundary "$@" || true
  if grep -q 'AND ON' "$work/said"; then found='goes on'; else found=refused; fi
  if [ "$found" = "$expected" ]; then pass "gate: $name: $expected"; else fail "gate: $name: expected $expected, found $found" "$(tail -n 20 "$work/said")"; fi
}
if [ -n "$gated" ]; then
  gate 'all is well' 0 'goes on'
  check 'gate: the tools are called as they promise' grep -qE '^aidb-precheck --config …-stack.json check --at switch --deadline 10s --to …-home-manager-generation$' "$work/stand-in/calls"
  check 'gate: it says nothing of its own when all is well' bash -c '[ "$(grep -cvE "^(Activating|AND ON|Starting)" "$0")" = 0 ]' "$work/said"
  gate 'held' 1 refused
  for status in 2 3 4 101; do gate "status $status" "$status" 'goes on'; done
  gate 'held, dry run' 1 'goes on' DRY_RUN=1
  check 'gate: a dry run says so to the tool' grep -q -- --dry-run "$work/stand-in/calls"
  order() {
    sed -n 's/^_iNote "Activating %s" "\(.*\)"/\1/p' "$gated/activate" > "$work/order"
    local before=0 at
    for entry in checkLinkTargets aidbGate writeBoundary linkGeneration reloadSystemd podmanQuadletCleanup aidbHeld; do
      at=$(grep -nxF "$entry" "$work/order" | cut -d: -f1)
      [ -n "$at" ] && [ "$at" -gt "$before" ] || { echo "$entry is not where it belongs:"; cat "$work/order"; return 1; }
      before=$at
    done
  }
  check 'the gate stands before writeBoundary, the last word after podmanQuadletCleanup' order
  held() { # held FAILED STATUS: what the last entry says where these units failed and the tool answers so
    rm -rf "$work/stand-in"; mkdir -p "$work/stand-in"
    printf '%s loaded failed failed text\n' $1 > "$work/stand-in/systemctl.says"
    echo "$2" > "$work/stand-in/aidb-precheck"
    echo 'hold  open-webui/chats' > "$work/stand-in/aidb-precheck.says"
    activated aidbHeld '' && grep -q 'AND ON' "$work/said"
  }
  nothing() { ! grep -q 'hold ' "$work/said"; }
  check 'last word: held guards are told, of units that failed alone' eval 'held "podman-open-webui.service other.service" 1 && grep -q "^hold  open-webui/chats" "$work/said" && grep -q "check --deadline 10s open-webui$" "$work/stand-in/calls"'
  check 'last word: a unit that failed for another reason is not told' eval 'held podman-open-webui.service 0 && nothing'
  check 'last word: nothing is looked at when nothing failed' eval 'held other.service 1 && nothing && ! grep -q aidb-precheck "$work/stand-in/calls"'
  dry() {
    rm -rf "$work/home"; mkdir "$work/home"
    env -i HOME="$work/home" USER="$(id -un)" PATH="$PATH" NIX_CONFIG="$NIX_CONFIG" SKIP_SANITY_CHECKS=1 DRY_RUN=1 "$gated/activate" && [ ! -e "$work/home/.config" ]
  }
  check 'the whole activation, as a dry run, writes nothing' dry
fi
