//! The ledger is a memory, not the only place of anything: lost, broken or from the future, it harms nobody.

use std::path::PathBuf;

use aidb_testkit::{Stack, damage};
use rusqlite::Connection;

use crate::{SMALL, kept, with};

fn ledger(stack: &Stack) -> PathBuf {
    stack.home().join(".local/state/aidb/ledger.db")
}

/// Folds the ledger's log into it: a log would mend what is damaged below.
fn fold(stack: &Stack) {
    let db = Connection::open(ledger(stack)).unwrap();
    let mode: String = db
        .pragma_query_value(None, "journal_mode", |r| r.get(0))
        .unwrap();
    assert_eq!(mode, "wal");
    drop(db);
    assert!(!ledger(stack).with_file_name("ledger.db-wal").exists());
}

/// Overwrites all of the ledger.
pub fn break_ledger(stack: &Stack, broken: &[u8]) {
    fold(stack);
    std::fs::write(ledger(stack), broken).unwrap();
}

fn from_the_future(stack: &Stack) -> Vec<u8> {
    let db = Connection::open(ledger(stack)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    std::fs::read(ledger(stack)).unwrap()
}

#[test]
fn a_ledger_that_was_deleted_is_rebuilt_from_the_vault() {
    let stack = kept();
    std::fs::remove_file(ledger(&stack)).unwrap();
    damage::empty_database(&stack.data().join("webui.db"));
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 1
    ");
    assert!(ledger(&stack).exists());
    assert!(stack.data().join("webui.db").exists());
}

#[test]
fn a_ledger_that_was_deleted_remembers_rows_again() {
    let stack = kept();
    std::fs::remove_file(ledger(&stack)).unwrap();
    let db = Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute_batch("delete from chat").unwrap();
    drop(db);
    let check = stack.run("aidb check").with(0);
    assert!(check.stdout.contains("`chat`: 0, was 14"), "{check}");
}

#[test]
fn a_ledger_from_the_future_is_could_not_and_is_left_as_it_is() {
    let stack = with(SMALL);
    let _ = stack.run("aidb check").with(0);
    let bytes = from_the_future(&stack);
    insta::assert_snapshot!(stack.run("aidb check"), @"
    ??    open-webui  nothing can be concluded about earlier data: the ledger `~/.local/state/aidb/ledger.db` has version 99, this program knows up to 1  [check.could-not]
    ok    open-webui/chats  612 KiB, 26 tables, 14 chat, 4 user, full check ok
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- stderr
    note: the ledger cannot be used: the ledger `~/.local/state/aidb/ledger.db` has version 99, this program knows up to 1
    --- status 3
    ");
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(3);
    let _ = stack.run("aidb init-verify").with(3);
    let _ = stack.run("aidb status").with(3);
    let _ = stack.run("aidb take").with(0);
    let _ = stack.run("aidb verify").with(0);
    let _ = stack.run("aidb list").with(0);
    let _ = stack.run("aidb restore open-webui").with(0);
    let _ = stack
        .run("aidb allow open-webui store.missing --reason x")
        .with(3);
    assert!(std::fs::read(ledger(&stack)).unwrap() == bytes);
}

/// Without a memory nobody knows whether an empty database ever held data: it is neither held nor moved.
#[test]
fn with_a_ledger_from_the_future_nothing_is_quarantined_and_nothing_held_by_it() {
    let stack = with(SMALL);
    let _ = stack.run("aidb check").with(0);
    let bytes = from_the_future(&stack);
    let database = stack.data().join("webui.db");
    damage::empty_database(&database);
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    warn  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          whether it ever held data cannot be found out: it is left as it is
    ??    open-webui  nothing can be concluded about earlier data: the ledger `~/.local/state/aidb/ledger.db` has version 99, this program knows up to 1  [check.could-not]
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- stderr
    note: the ledger cannot be used: the ledger `~/.local/state/aidb/ledger.db` has version 99, this program knows up to 1
    --- status 3
    ");
    assert!(database.exists());
    assert!(std::fs::read(ledger(&stack)).unwrap() == bytes);
}

/// The vault still knows: what it proves to have held data is held all the same.
#[test]
fn with_a_ledger_from_the_future_the_vault_still_holds_an_empty_database() {
    let stack = kept();
    let _ = from_the_future(&stack);
    damage::empty_database(&stack.data().join("webui.db"));
    let start = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
    assert_eq!(
        start.commands("bring it back"),
        ["BIN/aidb restore open-webui"]
    );
}

#[test]
fn a_broken_ledger_is_moved_aside_and_said() {
    let stack = kept();
    let broken = [0x5a; 4096].repeat(4);
    break_ledger(&stack, &broken);
    damage::empty_database(&stack.data().join("webui.db"));
    insta::assert_snapshot!(stack.run("aidb check"), @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- stderr
    note: the ledger was broken (file is not a database); it was moved to `~/.local/state/aidb/ledger.db.broken-TIME` and rebuilt from the vault
    --- status 1
    ");
    let folder = std::fs::read_dir(ledger(&stack).parent().unwrap()).unwrap();
    let asides: Vec<_> = folder
        .map(|e| e.unwrap().path())
        .filter(|p| p.to_string_lossy().contains("ledger.db.broken-"))
        .collect();
    assert_eq!(asides.len(), 1, "{asides:?}");
    assert!(std::fs::read(&asides[0]).unwrap() == broken);
    // Said once; the new one works.
    let again = stack.run("aidb check").with(1);
    assert!(again.stderr.is_empty(), "{again}");
}

/// The header is whole, and what comes after it, or one page at the end, is not: an opening alone does not find it.
#[test]
fn a_ledger_that_is_broken_further_in_is_moved_aside_too() {
    for from_the_end in [false, true] {
        let stack = kept();
        fold(&stack);
        let length = std::fs::metadata(ledger(&stack)).unwrap().len();
        let from = if from_the_end { length - 4096 } else { 100 };
        let file = std::fs::File::options()
            .write(true)
            .open(ledger(&stack))
            .unwrap();
        let junk = vec![0x5a; usize::try_from(length - from).unwrap()];
        std::os::unix::fs::FileExt::write_all_at(&file, &junk, from).unwrap();
        drop(file);
        damage::empty_database(&stack.data().join("webui.db"));
        let start = stack
            .run("aidb-precheck check --at start open-webui")
            .with(1);
        assert!(start.stderr.contains("the ledger was broken"), "{start}");
        assert!(stack.data().join("webui.db").exists());
        let again = stack.run("aidb check").with(1);
        assert!(again.stderr.is_empty(), "{again}");
    }
}

#[test]
fn a_ledger_that_cannot_be_written_is_said_and_holds_nothing() {
    let stack = with(SMALL);
    std::fs::create_dir_all(ledger(&stack)).unwrap();
    let check = stack.run("aidb check").with(3);
    assert!(
        check.stderr.contains("the ledger cannot be used"),
        "{check}"
    );
    let _ = stack.run("aidb take").with(0);
}
