//! A vault on a disk that gets full.

use std::process::Command;

use aidb_testkit::{Ran, Stack, left_out, tree_state};

use crate::{SMALL, with};

/// In a mount namespace of its own the vault is a disk of 4 MiB: the first snapshot fits, the second does not.
#[test]
fn a_take_on_a_full_disk_says_how_much_is_free_and_loses_nothing() {
    let stack = with(SMALL);
    std::fs::create_dir(stack.vault()).unwrap();
    let script = r#"
        mount -t tmpfs -o size=4m vault "$VAULT" || exit 100
        aidb take; echo "first: $?"
        head -c 8388608 /dev/urandom > "$DATA/uploads/large"
        touch -d 2026-01-01 "$DATA/uploads/large"
        (cd "$DATA"; find . -type f -exec stat -c '%n %i %Y %Z %a %u %s' {} + | sort) > before
        aidb take; echo "second: $?"
        (cd "$DATA"; find . -type f -exec stat -c '%n %i %Y %Z %a %u %s' {} + | sort) | cmp - before && echo untouched
        ls -A "$VAULT/.staging"
        aidb verify; echo "verify: $?"
        aidb list -q; echo "list: $?"
        rm "$DATA/uploads/large"
        aidb take; echo "third: $?"
    "#;
    let uploads = tree_state(&stack.data().join("uploads"));
    let Some(ran) = alone(&stack, script) else {
        return;
    };
    insta::assert_snapshot!(ran, @"
    kept open-webui/000001-TIME-manual  5 files, 632 KiB, SIZE written, proven, in TIME
    first: 0
    second: 3
    untouched
    .lock
    ok    open-webui/000001-TIME-manual
    verify: 0
    list: 0
    kept open-webui/000002-TIME-manual  5 files, 632 KiB, SIZE written, proven, in TIME
    third: 0
    --- stderr
    error: cannot take a snapshot of `open-webui`
      caused by: the disk of the vault `~/vault` is full, found N MiB free; nothing was kept, and the data is as it was
      hint: free some space, lower `keep`, or move `vault`
    --- status 0
    ");
    let uploads_now = tree_state(&stack.data().join("uploads"));
    assert_eq!(uploads.len(), uploads_now.len());
}

/// Snapshots give way when the disk gets full: the oldest first, and never the newest proven one, not even for a state
/// that does not fit at all.
#[test]
fn takes_on_a_disk_that_gets_full_drop_the_oldest_and_keep_the_newest_proven() {
    let stack = with(SMALL);
    std::fs::create_dir(stack.vault()).unwrap();
    let script = r#"
        mount -t tmpfs -o size=64m vault "$VAULT" || exit 100
        for round in 1 2 3 4 5 6 7 8; do
            head -c 10485760 /dev/urandom > "$DATA/uploads/large"
            aidb take > /dev/null || echo "take $round: $?"
        done
        head -c 73400320 /dev/urandom > "$DATA/uploads/large"
        aidb take; echo "too large: $?"
        ls "$VAULT/open-webui" | sed 's/-.*//'
        aidb verify | sed 's/-.*//'; aidb restore open-webui --dry-run -q; echo "restore: $?"
    "#;
    let Some(ran) = alone(&stack, script) else {
        return;
    };
    insta::assert_snapshot!(ran, @"
    too large: 3
    000004
    000005
    000006
    000007
    000008
    ok    open
    ok    open
    ok    open
    ok    open
    ok    open
    restore: 0
    --- stderr
    warn  too little space was free: dropped open-webui/000001-TIME-manual [space.low]
    warn  too little space was free: dropped open-webui/000002-TIME-manual [space.low]
    error: cannot take a snapshot of `open-webui`
      caused by: the disk of the vault `~/vault` is full, found N MiB free; nothing was kept, and the data is as it was; to make room 1 of the oldest snapshots went before, and the newest proven one stays
      hint: free some space, lower `keep`, or move `vault`
    --- status 0
    ");
}

/// Where snapshots take the last space, the oldest go; programs read of it what people do.
#[test]
fn snapshots_that_go_for_lack_of_space_are_a_finding() {
    let stack = with(SMALL);
    std::fs::create_dir(stack.vault()).unwrap();
    let script = r#"
        mount -t tmpfs -o size=6m vault "$VAULT" || exit 100
        for n in 1 2 3 4 5 6 7 8 9; do
            head -c 786432 /dev/urandom > "$DATA/uploads/large"
            aidb take --json > told || echo "take $n: $?"
            if grep -q space.low told; then
                grep -oE '"(id|severity|verdict)": "(space|warn).*"' told
                break
            fi
        done
        aidb verify -q; echo "verify: $?"
    "#;
    let Some(ran) = alone(&stack, script) else {
        return;
    };
    insta::assert_snapshot!(ran, @r#"
    "verdict": "warn"
    "id": "space.low"
    "severity": "warn"
    verify: 0
    --- stderr
    warn  too little space was free: dropped open-webui/000001-TIME-manual [space.low]
    --- status 0
    "#);
}

/// A private copy needs room. Where the vault's disk has none, the state folder's may; where neither has, the bytes are
/// read as they lie, and that is said.
#[test]
fn a_check_on_full_disks_looks_elsewhere_and_then_at_the_bytes_in_place() {
    let stack = with(SMALL);
    std::fs::create_dir(stack.vault()).unwrap();
    let script = r#"
        mount -t tmpfs -o size=1m vault "$VAULT" || exit 100
        aidb check; echo "state folder: $?"
        mkdir -p "$HOME/.local/state/aidb"
        mount -t tmpfs -o size=1m state "$HOME/.local/state/aidb" || exit 100
        aidb check; echo "in place: $?"
        aidb-precheck check --at start open-webui > /dev/null; echo "start: $?"
        truncate -s -8192 "$DATA/webui.db"
        aidb-precheck check --at start open-webui | grep -o 'cut off.*'; echo "damaged"
        ls -A "$VAULT/.staging"
    "#;
    let Some(ran) = alone(&stack, script) else {
        return;
    };
    insta::assert_snapshot!(ran, @"
    ok    open-webui/chats  612 KiB, 26 tables, 14 chat, 4 user, full check ok
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    state folder: 0
    warn  open-webui/chats  there is too little room for a private copy: only its bytes were checked  [space.low]
          a private copy needs 65 MiB, found N MiB free in `~/vault`
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    in place: 0
    start: 0
    cut off  [sqlite.truncated]
    damaged
    .lock
    --- stderr
    --- status 0
    ");
}

/// Runs a script in a mount namespace of its own; `None`, loudly, where that cannot be done.
pub fn alone(stack: &Stack, script: &str) -> Option<Ran> {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--user",
        "--map-root-user",
        "--mount",
        "/bin/sh",
        "-c",
        script,
    ]);
    if aidb_testkit::is_root() {
        unshare = Command::new("unshare");
        unshare.args(["--mount", "/bin/sh", "-c", script]);
    }
    let bare = stack.command("aidb");
    let path = format!(
        "{}:/usr/bin:/bin:/usr/sbin:/sbin",
        std::path::Path::new(crate::AIDB)
            .parent()
            .unwrap()
            .display()
    );
    unshare
        .env_clear()
        .envs(bare.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .env("PATH", path)
        .env("VAULT", stack.vault())
        .env("DATA", stack.data())
        .current_dir(stack.home());
    let Ok(output) = unshare.output() else {
        left_out("what needs mounts of its own", "`unshare` is not installed");
        return None;
    };
    if !matches!(output.status.code(), Some(0)) {
        left_out(
            "what needs mounts of its own",
            &String::from_utf8_lossy(&output.stderr),
        );
        return None;
    }
    Some(stack.ran(Command::new("printf").arg("%s").arg(format!(
        "{}--- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))))
}
