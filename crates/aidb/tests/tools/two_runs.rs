//! Two runs on one guard: the second waits for the first, up to its deadline.

use std::fs::File;
use std::process::Stdio;

use rustix::fs::{FlockOperation, flock};

use crate::kept;

fn lock(stack: &aidb_testkit::Stack, operation: FlockOperation) -> File {
    let file = File::open(stack.vault().join("open-webui/.lock")).unwrap();
    flock(&file, operation).unwrap();
    file
}

#[test]
fn past_its_deadline_the_second_run_is_told_busy() {
    let stack = kept();
    let held = lock(&stack, FlockOperation::LockExclusive);
    insta::assert_snapshot!(stack.run("aidb take --deadline 50ms"), @"
    --- stderr
    error: cannot take a snapshot of `open-webui`
      caused by: guard `open-webui` is busy (waited TIME)
    --- status 4
    ");
    let _ = stack.run("aidb restore open-webui --deadline 50ms").with(4);
    let _ = stack.run("aidb undo open-webui --deadline 50ms").with(4);
    // Looking waits for nobody.
    let _ = stack.run("aidb check").with(0);
    let _ = stack.run("aidb list").with(0);
    drop(held);
    let _ = stack.run("aidb take --deadline 50ms").with(0);
}

#[test]
fn who_reads_the_vault_keeps_nobody_else_from_reading_it() {
    let stack = kept();
    let _held = lock(&stack, FlockOperation::LockShared);
    let _ = stack.run("aidb verify").with(0);
    let _ = stack.run("aidb take --deadline 50ms").with(4);
}

#[test]
fn before_its_deadline_the_second_run_waits_for_the_first_and_then_works() {
    let stack = kept();
    let held = lock(&stack, FlockOperation::LockExclusive);
    let mut command = stack.command("aidb-snapshot");
    let mut second = command
        .args(["take", "--deadline", "10min", "--reason", "second"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It has the lock's file open: from then on it can only wait for it.
    let wanted = std::fs::canonicalize(stack.vault().join("open-webui/.lock")).unwrap();
    let waits = |pid: u32| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten();
        open.filter_map(|e| std::fs::read_link(e.ok()?.path()).ok())
            .any(|file| file == wanted)
    };
    while !waits(second.id()) {
        assert!(second.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::yield_now();
    }
    assert!(second.try_wait().unwrap().is_none(), "it did not wait");
    assert_eq!(
        stack.run("aidb list --json").json()["snapshots"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    drop(held);
    assert_eq!(second.wait().unwrap().code(), Some(0));
    assert!(stack.run("aidb list").stdout.contains("-second"));
}
