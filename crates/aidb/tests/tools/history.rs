//! What is known from before speaks against a log that is gone and an older copy, and never against what we ourselves
//! brought back.

use aidb_testkit::Stack;
use rusqlite::Connection;

use crate::{LARGE, SMALL, kept, with};

const START: &str = "aidb-precheck check --at start open-webui";

fn add_chat(stack: &Stack, id: &str) {
    let db = Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute(
        "insert into chat (id, user_id, title, chat, created_at, updated_at, share_id, archived)
         select ?, user_id, title, chat, created_at, updated_at, null, archived from chat limit 1",
        [id],
    )
    .unwrap();
    db.close().unwrap();
}

/// Open WebUI leaves its log beside a stopped container; with it goes everything that was never checkpointed.
#[test]
fn a_log_that_was_taken_away_holds_the_start_and_the_snapshot_brings_it_back() {
    let stack = with(LARGE);
    let _ = stack.run("aidb take").with(0);
    let _ = stack.run(START).with(0);
    std::fs::remove_file(stack.data().join("webui.db-wal")).unwrap();
    let _ = std::fs::remove_file(stack.data().join("webui.db-shm"));
    let held = stack.run(START).with(1);
    assert!(held.stdout.contains("[sqlite.wal-missing]"), "{held}");
    let _ = stack.run("aidb restore open-webui").with(0);
    let _ = stack.run(START).with(0);
    let _ = stack.run("aidb check").with(0);
}

/// Nobody looked while the log was there: a snapshot was taken at the stop, and proven later.
#[test]
fn a_proof_knows_that_there_was_a_log() {
    let stack = with(LARGE);
    let _ = stack
        .run("aidb take --unproven --reason stop open-webui")
        .with(0);
    std::fs::remove_file(stack.data().join("webui.db-wal")).unwrap();
    let _ = stack.run("aidb prove").with(0);
    let held = stack.run(START).with(1);
    assert!(held.stdout.contains("[sqlite.wal-missing]"), "{held}");
    // Accepted is accepted.
    let _ = stack.run("aidb accept open-webui --reason known").with(0);
    let start = stack.run(START).with(0);
    assert!(!start.stdout.contains("warn"), "{start}");
}

#[test]
fn an_older_copy_is_told_until_it_is_accepted() {
    let stack = with(SMALL);
    let database = stack.data().join("webui.db");
    std::fs::copy(&database, stack.home().join("older")).unwrap();
    add_chat(&stack, "later");
    let _ = stack.run("aidb check").with(0);
    std::fs::copy(stack.home().join("older"), &database).unwrap();
    for _ in 0..2 {
        let start = stack.run(START).with(0);
        assert!(start.stdout.contains("[contract.older-copy]"), "{start}");
        assert!(start.stdout.contains("`chat`: 14, was 15"), "{start}");
    }
    let _ = stack.run("aidb accept open-webui --reason known").with(0);
    let start = stack.run(START).with(0);
    assert!(!start.stdout.contains("contract."), "{start}");
}

/// The same rows with older texts: only the bytes tell, which were seen before.
#[test]
fn an_older_copy_of_which_the_bytes_were_seen_is_told() {
    let stack = with(SMALL);
    let database = stack.data().join("webui.db");
    std::fs::copy(&database, stack.home().join("older")).unwrap();
    let _ = stack.run("aidb check").with(0);
    let db = Connection::open(&database).unwrap();
    db.execute_batch("update chat set title = title || ' again'")
        .unwrap();
    db.close().unwrap();
    let _ = stack.run("aidb check").with(0);
    std::fs::copy(stack.home().join("older"), &database).unwrap();
    let start = stack.run(START).with(0);
    assert!(
        start.stdout.contains("these bytes were last seen on"),
        "{start}"
    );
}

#[test]
fn what_we_brought_back_is_no_loss() {
    let stack = kept();
    for n in 0..30 {
        add_chat(&stack, &format!("later-{n}"));
    }
    let _ = stack.run("aidb check").with(0);
    let unproven = stack
        .run("aidb take --unproven --reason stop open-webui")
        .with(0);
    assert!(unproven.stdout.contains("000002"), "{unproven}");
    let _ = stack.run("aidb restore open-webui --snapshot 1").with(0);
    // The capture of the state before the restore is proven late: it says nothing of the present one.
    let _ = stack.run("aidb prove").with(0);
    for _ in 0..2 {
        let start = stack.run(START).with(0);
        assert!(!start.stdout.contains("warn"), "{start}");
    }
    let _ = stack.run("aidb undo open-webui").with(0);
    for _ in 0..2 {
        let start = stack.run(START).with(0);
        assert!(!start.stdout.contains("warn"), "{start}");
    }
    // And from then on a loss is one again.
    let db = Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute_batch("delete from chat where id like 'later%'")
        .unwrap();
    db.close().unwrap();
    let start = stack.run(START).with(0);
    assert!(start.stdout.contains("[contract.rows-shrunk]"), "{start}");
}

/// Uploaded files are compared with the database each time, though the look at the database itself stands.
#[test]
fn an_uploaded_file_that_goes_is_told_while_the_look_at_the_database_stands() {
    let stack = with(LARGE);
    stack.age();
    let _ = stack.run("aidb check").with(0);
    let stands = stack.run("aidb check --json").with(0).json();
    assert_eq!(stands["guards"][0]["stores"][0]["checked"], "standing");
    let uploads = stack.data().join("uploads");
    let first = std::fs::read_dir(&uploads)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    std::fs::remove_file(first.path()).unwrap();
    let gone = stack.run("aidb check").with(0);
    assert!(gone.stdout.contains("[uploads.file-missing]"), "{gone}");
}

/// A start that is tried again and again costs milliseconds; a person is told the present state.
#[test]
fn a_held_look_stands_for_the_hook_and_not_for_a_person() {
    let stack = kept();
    let database = stack.data().join("webui.db");
    let length = std::fs::metadata(&database).unwrap().len();
    let file = std::fs::File::options()
        .write(true)
        .open(&database)
        .unwrap();
    file.set_len(length - 8192).unwrap();
    drop(file);
    stack.age();
    let first = stack.run(START).with(1);
    let trace = stack.home().join("trace");
    let command = stack.command("aidb-precheck");
    let mut traced = stack.strace(&command, "execve,openat2", &trace);
    let again = stack.ran(traced.args(["check", "--at", "start", "open-webui"]));
    let trace = std::fs::read_to_string(&trace).unwrap_or_default();
    if trace.is_empty() {
        return aidb_testkit::left_out("a held look that stands", "`strace` is not installed");
    }
    assert_eq!(again.with(1).stdout, first.stdout);
    assert!(!trace.contains("__examine"), "{trace}");
    let person = stack.run("aidb check --json").with(1).json();
    assert_ne!(person["guards"][0]["stores"][0]["checked"], "standing");
}

/// A disk that goes on damaging would fill up with what was put aside, and nobody would look at it.
#[test]
fn the_policy_restores_once_and_then_holds() {
    let stack = kept();
    stack.write_settings(&serde_json::json!({ "policy": { "damaged": "restore" } }));
    let damage = || {
        let database = stack.data().join("webui.db");
        let mut bytes = std::fs::read(&database).unwrap();
        bytes[8192..16384].fill(0x5a);
        std::fs::write(&database, bytes).unwrap();
    };
    damage();
    let healed = stack.run(START).with(0);
    assert!(healed.stdout.contains("as the policy says"), "{healed}");
    damage();
    let held = stack.run(START).with(1);
    assert!(
        held.stdout.contains("not restored by policy once more"),
        "{held}"
    );
    let asides = || {
        let entries = std::fs::read_dir(stack.data().parent().unwrap()).unwrap();
        entries
            .filter(|e| {
                let name = e.as_ref().unwrap().file_name();
                name.to_string_lossy().contains(".aidb-before-")
            })
            .count()
    };
    assert_eq!(asides(), 1);
    // A person may.
    let _ = stack.run("aidb restore open-webui").with(0);
    let _ = stack.run(START).with(0);
}
