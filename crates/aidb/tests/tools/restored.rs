//! What restore and undo say, and do.

use aidb_testkit::{Application, content, damage, tree_state};

use crate::application::ROLE;
use crate::{LARGE, SMALL, kept, with};

#[test]
fn a_restore_is_told_and_undone_and_done_again() {
    let stack = with(LARGE);
    let database = stack.data().join("webui.db");
    let truth = content(&database);
    let _ = stack.run("aidb take").with(0);
    damage::empty_database(&database);
    let damaged = tree_state(&stack.data());

    let plan = stack.run("aidb restore open-webui --dry-run");
    insta::assert_snapshot!(plan, @"
    would restore open-webui from open-webui/000001-TIME-manual (11 files, 9.8 MiB)
    would keep what is there now as `~/ai/open-webui.aidb-before-TIME`
    would carry over `cache`, which no snapshot holds
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb restore open-webui"), @"
    restored open-webui from DATE (proven): 11 files, 9.8 MiB, in TIME
    what was there is kept: `~/ai/open-webui.aidb-before-TIME`
    undo: BIN/aidb undo open-webui
    --- status 0
    ");
    assert!(content(&database) == truth);
    insta::assert_snapshot!(stack.run("aidb undo open-webui"), @"
    undone: open-webui is as it was before DATE
    what was there is kept: `~/ai/open-webui.aidb-before-TIME`
    swap again: BIN/aidb undo open-webui
    --- status 0
    ");
    assert_eq!(
        tree_state(&stack.data()),
        without_root_ctime(&damaged, &stack.data())
    );
    let _ = stack.run("aidb undo open-webui").with(0);
    assert!(content(&database) == truth);
}

/// A rename changes the folder's own ctime; nothing else may differ.
fn without_root_ctime(
    state: &std::collections::BTreeMap<String, String>,
    root: &std::path::Path,
) -> std::collections::BTreeMap<String, String> {
    let mut state = state.clone();
    let now = tree_state(root);
    state.insert(String::new(), now[""].clone());
    state
}

#[test]
fn one_database_is_restored_with_its_log_and_the_rest_stays() {
    let stack = with(LARGE);
    let database = stack.data().join("webui.db");
    let truth = content(&database);
    let _ = stack.run("aidb take").with(0);
    damage::empty_database(&database);
    std::fs::write(stack.data().join("uploads/newer"), "newer").unwrap();
    insta::assert_snapshot!(stack.run("aidb restore open-webui --only webui.db"), @"
    restored open-webui from DATE (proven): 1 file, 9.7 MiB, in TIME
    what was there is kept: `~/ai/open-webui.aidb-before-TIME.part`
    undo: BIN/aidb undo open-webui
    --- status 0
    ");
    assert!(content(&database) == truth);
    assert_eq!(
        std::fs::read_to_string(stack.data().join("uploads/newer")).unwrap(),
        "newer"
    );
    let _ = stack.run("aidb undo open-webui").with(0);
    assert_eq!(std::fs::metadata(&database).unwrap().len(), 0);
    assert!(stack.data().join("uploads/newer").exists());
}

#[test]
fn a_path_that_no_snapshot_holds_is_wrong_usage() {
    let stack = kept();
    for path in ["webui.dbx", "../..", "/etc/passwd"] {
        let before = tree_state(&stack.data());
        let restore = stack
            .run(&format!("aidb restore open-webui --only {path}"))
            .with(2);
        assert!(restore.stderr.contains(path), "{restore}");
        assert_eq!(tree_state(&stack.data()), before);
    }
}

#[test]
fn a_time_chooses_the_snapshot() {
    let stack = kept();
    insta::assert_snapshot!(stack.run("aidb restore open-webui --before 2020-01-01"), @"
    --- stderr
    error: `open-webui` has no proven snapshot from before DATE
      hint: `BIN/aidb list open-webui` shows what there is; `--snapshot ID` takes any of it
    --- status 3
    ");
    insta::assert_snapshot!(stack.run("aidb restore open-webui --before yesterday"), @"
    --- stderr
    error: invalid value 'yesterday' for '--before <TIME>': expected a time such as 2026-11-23 or 2026-11-23T18:00, found `yesterday`

    For more information, try '--help'.
    --- status 2
    ");
    std::fs::write(stack.data().join("uploads/newer"), "newer").unwrap();
    let second = stack.run("aidb take --reason second --json").with(0).json();
    let at = second["snapshots"][0]["taken_at"].as_str().unwrap();
    let restore = stack
        .run(&format!("aidb restore open-webui --before {at}"))
        .with(0);
    assert!(!stack.data().join("uploads/newer").exists(), "{restore}");
    let _ = stack
        .run("aidb restore open-webui --before 2999-01-01")
        .with(0);
    assert!(stack.data().join("uploads/newer").exists());
}

/// `0` is the beginning of every name, and stood for the only snapshot of a young vault.
#[test]
fn a_number_means_the_snapshot_of_that_number_and_no_other() {
    let stack = kept();
    let before = tree_state(&stack.data());
    insta::assert_snapshot!(stack.run("aidb restore open-webui --snapshot 0"), @"
    --- stderr
    error: `open-webui` has no snapshot `0`; nearest: `000001-TIME-manual`
      hint: `BIN/aidb list open-webui` shows what there is
    --- status 2
    ");
    for (id, status) in [("00", 2), ("2", 2), ("000001-2", 0), ("1", 0), ("001", 0)] {
        let _ = stack
            .run(&format!(
                "aidb restore open-webui --dry-run --snapshot {id}"
            ))
            .with(status);
    }
    let _ = stack.run("aidb show open-webui/0").with(2);
    let _ = stack.run("aidb verify open-webui/").with(2);
    let _ = stack
        .run("aidb restore open-webui --snapshot 0.tar.xz")
        .with(2);
    assert_eq!(tree_state(&stack.data()), before);
}

#[test]
fn a_folder_that_an_application_uses_is_not_replaced() {
    let stack = with(LARGE);
    let database = stack.data().join("webui.db");
    let _ = stack.run("aidb take").with(0);
    let application = Application::open(ROLE, &database);
    let before = tree_state(&stack.data());
    let restore = stack.run("aidb restore open-webui").with(3);
    assert!(restore.stderr.contains("is in use"), "{restore}");
    assert!(
        restore.stderr.contains("hint: stop the container first"),
        "{restore}"
    );
    assert_eq!(tree_state(&stack.data()), before);
    drop(application);
    let _ = stack.run("aidb restore open-webui").with(0);
}

#[test]
fn restoring_elsewhere_wants_an_empty_folder() {
    let stack = kept();
    let taken = stack.home().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("mine"), "mine").unwrap();
    insta::assert_snapshot!(stack.run("aidb restore open-webui --to taken"), @"
    --- stderr
    error: cannot restore `open-webui` from `open-webui/000001-TIME-manual`
      caused by: `~/taken` is not empty: it holds `mine`
      hint: name a folder that is new or empty
    --- status 2
    ");
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 1);
    let _ = stack.run("aidb restore open-webui --to new").with(0);
    assert!(content(&stack.home().join("new/webui.db")) == content(&stack.data().join("webui.db")));
}

#[test]
fn there_is_nothing_to_restore_or_to_undo_yet() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb restore open-webui"), @"
    --- stderr
    error: `open-webui` has no proven snapshot
      hint: `BIN/aidb list open-webui` shows what there is; `--snapshot ID` takes any of it
    --- status 3
    ");
    insta::assert_snapshot!(stack.run("aidb undo open-webui"), @"
    --- stderr
    error: cannot undo the last restore of `open-webui`
      caused by: nothing was put aside for `open-webui`
    --- status 2
    ");
    insta::assert_snapshot!(stack.run("aidb restore"), @"
    --- stderr
    error: the following required arguments were not provided:
      <GUARD>

    Usage: aidb-snapshot restore <GUARD>

    For more information, try '--help'.
    --- status 2
    ");
}

/// Every transaction counts the change counter up by one, so the new chats of a restored state reach the one that the
/// replaced state had.
#[test]
fn work_after_a_restore_that_reaches_the_replaced_change_counter_is_no_damage() {
    let stack = with(SMALL);
    stack.write_settings(&serde_json::json!({ "policy": { "damaged": "restore" } }));
    let write = |sql: &str| {
        rusqlite::Connection::open(stack.data().join("webui.db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    write("create table copy as select * from chat; delete from chat where rowid % 3 > 0");
    let _ = stack.run("aidb take").with(0);
    write("insert or ignore into chat select * from copy");
    write("update chat set title = 'before'");
    let _ = stack.run("aidb take").with(0);
    // Far fewer rows, which somebody chose.
    let _ = stack
        .run("aidb restore open-webui --snapshot open-webui/1")
        .with(0);
    let start = "aidb-precheck check --at start open-webui";
    let chosen = stack.run(start).with(0);
    assert!(!chosen.stdout.contains("[contract."), "{chosen}");
    write("update chat set title = 'new'");
    write("update chat set title = 'newer'");
    let again = stack.run(start).with(0);
    assert!(!again.stdout.contains("[sqlite.damaged]"), "{again}");
    let title: String = rusqlite::Connection::open(stack.data().join("webui.db"))
        .unwrap()
        .query_row("select title from chat limit 1", [], |r| r.get(0))
        .unwrap();
    assert_eq!(title, "newer");
}

#[test]
fn a_snapshot_of_another_guard_is_not_taken_for_one_of_this() {
    let stack = kept();
    let before = tree_state(&stack.data());
    let _ = stack
        .run("aidb restore open-webui --snapshot other/1")
        .with(2);
    assert_eq!(tree_state(&stack.data()), before);
}
