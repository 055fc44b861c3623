//! `migrate`: what it says and does, and what is left when a file fails.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up must fail"
)]

use aidb_testkit::{Ran, Stack, content, tree_state};
use rusqlite::Connection;

const SMALL: &str = "openwebui-0.6.38-small";

const ONE: (&str, &str) = (
    "0001_note.sql",
    "create table aidb_note(id integer primary key, text text);",
);
const TWO: (&str, &str) = (
    "0002_rows.sql",
    "insert into aidb_note(text) values ('a;b'); -- commit\ncreate trigger t after insert on aidb_note begin
     update aidb_note set text = 'begin'; end;",
);

fn with_files(files: &[(&str, &str)]) -> Stack {
    let stack = Stack::with(env!("CARGO_BIN_EXE_aidb-init-verify"), SMALL);
    write(&stack, files);
    stack
}

fn write(stack: &Stack, files: &[(&str, &str)]) {
    let folder = stack.home().join("sql");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, sql) in files {
        std::fs::write(folder.join(name), sql).unwrap();
    }
}

fn migrate(stack: &Stack) -> Ran {
    stack.run("aidb-init-verify migrate open-webui chats --from sql")
}

/// The number of rows of the table that the first file makes; none without it.
fn notes(stack: &Stack) -> Option<usize> {
    content(&stack.data().join("webui.db"))
        .get("aidb_note")
        .map(Vec::len)
}

#[test]
fn files_are_applied_once_in_their_order_after_a_proven_snapshot() {
    let stack = with_files(&[ONE, TWO]);
    insta::assert_snapshot!(migrate(&stack), @"
    kept open-webui/000001-TIME-migrate  proven
    applied 0001_note.sql to open-webui/chats
    applied 0002_rows.sql to open-webui/chats
    --- status 0
    ");
    assert_eq!(notes(&stack), Some(1));
    let after = tree_state(&stack.data());
    insta::assert_snapshot!(migrate(&stack), @"
    open-webui/chats: nothing to apply, 2 files applied before
    --- status 0
    ");
    assert_eq!(after, tree_state(&stack.data()));
    write(
        &stack,
        &[("0003_more.sql", "insert into aidb_note(text) values ('c')")],
    );
    insta::assert_snapshot!(migrate(&stack), @"
    kept open-webui/000002-TIME-migrate  proven
    applied 0003_more.sql to open-webui/chats
    --- status 0
    ");
    assert_eq!(notes(&stack), Some(2));
    let _ = stack.run("aidb-init-verify").with(0);
}

#[test]
fn a_dry_run_changes_nothing() {
    let stack = with_files(&[ONE, TWO]);
    let before = tree_state(&stack.data());
    let dry = stack.run("aidb-init-verify migrate open-webui chats --from sql --dry-run");
    insta::assert_snapshot!(dry, @"
    would apply 0001_note.sql to open-webui/chats
    would apply 0002_rows.sql to open-webui/chats
    --- status 0
    ");
    assert_eq!(before, tree_state(&stack.data()));
    let snapshots = std::fs::read_dir(stack.vault().join("open-webui"));
    assert!(snapshots.is_err(), "no snapshot is taken");
}

#[test]
fn a_failure_in_the_second_file_returns_to_the_state_before_both() {
    let stack = with_files(&[
        ONE,
        (
            "0002_bad.sql",
            "insert into aidb_note values (1, 'x'); insert into nowhere values (1);",
        ),
    ]);
    let before = content(&stack.data().join("webui.db"));
    insta::assert_snapshot!(migrate(&stack), @"
    kept open-webui/000001-TIME-migrate  proven
    failed 0002_bad.sql: no such table: nowhere
    open-webui/chats is as it was: the snapshot was restored
    what the files made is kept: `~/ai/open-webui.aidb-before-TIME.part`
    --- status 1
    ");
    assert!(before == content(&stack.data().join("webui.db")));
    // Mended, both are applied.
    write(&stack, &[("0002_bad.sql", TWO.1)]);
    let _ = migrate(&stack).with(0);
    assert_eq!(notes(&stack), Some(1));
}

#[test]
fn a_failure_in_the_first_file_leaves_everything_as_it_is() {
    let stack = with_files(&[("0001_bad.sql", "drop table tag; select nonsense(1)")]);
    let before = content(&stack.data().join("webui.db"));
    insta::assert_snapshot!(migrate(&stack), @"
    kept open-webui/000001-TIME-migrate  proven
    failed 0001_bad.sql: no such function: nonsense, near `nonsense(1)`
    open-webui/chats is as it was: no file was applied
    --- status 1
    ");
    assert!(before == content(&stack.data().join("webui.db")));
}

#[test]
fn a_file_that_loses_the_accounts_is_taken_back() {
    let stack = with_files(&[("0001_lost.sql", "drop table user")]);
    let before = content(&stack.data().join("webui.db"));
    insta::assert_snapshot!(migrate(&stack), @"
    kept open-webui/000001-TIME-migrate  proven
    failed 0001_lost.sql: a table is missing: `user` [contract.table-missing]: on DATE UTC it had 14 chat, 4 user
    open-webui/chats is as it was: the snapshot was restored
    what the files made is kept: `~/ai/open-webui.aidb-before-TIME.part`
    --- status 1
    ");
    assert!(before == content(&stack.data().join("webui.db")));
}

#[test]
fn a_file_that_was_applied_may_not_change_or_go_even_when_the_ledger_is_lost() {
    let stack = with_files(&[ONE]);
    let _ = migrate(&stack).with(0);
    std::fs::remove_dir_all(stack.home().join(".local/state/aidb")).unwrap();
    assert!(migrate(&stack).with(0).stdout.contains("nothing to apply"));
    write(&stack, &[(ONE.0, "create table other(x)")]);
    insta::assert_snapshot!(migrate(&stack), @"
    --- stderr
    error: `sql/0001_note.sql`: it was applied on DATE UTC, and was changed since
      hint: put back what it was, and write the change into a new file
    --- status 2
    ");
    std::fs::remove_file(stack.home().join("sql").join(ONE.0)).unwrap();
    insta::assert_snapshot!(migrate(&stack), @"
    --- stderr
    error: `sql/0001_note.sql`: it was applied, and is gone
    --- status 2
    ");
}

#[test]
fn a_restore_takes_back_what_was_applied_after_its_snapshot() {
    let stack = with_files(&[ONE]);
    let _ = stack.run("aidb-snapshot take").with(0);
    let _ = migrate(&stack).with(0);
    let _ = stack
        .run("aidb-snapshot restore open-webui --snapshot 1")
        .with(0);
    assert_eq!(notes(&stack), None);
    let _ = migrate(&stack).with(0);
    assert_eq!(notes(&stack), Some(0));
}

#[test]
fn gaps_doubles_and_transactions_are_refused_by_name() {
    let stack = with_files(&[ONE, ("0003_c.sql", "select 1")]);
    let before = tree_state(&stack.data());
    insta::assert_snapshot!(migrate(&stack), @"
    --- stderr
    error: `sql/0003_c.sql`: expected the number 0002 before it
    --- status 2
    ");
    write(&stack, &[("0001_again.sql", "select 1")]);
    insta::assert_snapshot!(migrate(&stack), @"
    --- stderr
    error: `sql/0001_note.sql`: another file has the number 0001, too
    --- status 2
    ");
    std::fs::remove_file(stack.home().join("sql/0001_again.sql")).unwrap();
    std::fs::remove_file(stack.home().join("sql/0003_c.sql")).unwrap();
    write(&stack, &[("0002_own.sql", "begin; select 1; commit")]);
    insta::assert_snapshot!(migrate(&stack), @"
    --- stderr
    error: `sql/0002_own.sql`: `BEGIN` has no place in it: each file is one transaction, on one database
    --- status 2
    ");
    write(&stack, &[("0002_own.sql", "pragma journal_mode=off")]);
    assert_eq!(before, tree_state(&stack.data()));
    insta::assert_snapshot!(migrate(&stack), @"
    kept open-webui/000001-TIME-migrate  proven
    failed 0002_own.sql: not authorized: a file may not change how the database is written, or end its transaction
    open-webui/chats is as it was: the snapshot was restored
    what the files made is kept: `~/ai/open-webui.aidb-before-TIME.part`
    --- status 1
    ");
}

#[test]
fn data_in_use_is_refused() {
    let stack = with_files(&[ONE]);
    let file = std::fs::File::open(stack.data().join("webui.db")).unwrap();
    let before = tree_state(&stack.data());
    let refused = migrate(&stack).with(3);
    assert!(refused.stderr.contains("is in use"), "{refused}");
    drop(file);
    assert_eq!(before, tree_state(&stack.data()));
    let held = std::fs::read_dir(stack.vault().join("open-webui"))
        .is_ok_and(|mut d| d.any(|e| e.unwrap().file_name().to_string_lossy().starts_with("0000")));
    assert!(!held, "no snapshot is taken");
}

#[test]
fn what_cannot_be_proven_is_not_migrated() {
    let stack = with_files(&[ONE]);
    let database = stack.data().join("webui.db");
    Connection::open(&database)
        .unwrap()
        .execute_batch("drop table chat")
        .unwrap();
    let before = tree_state(&stack.data());
    let refused = migrate(&stack).with(3);
    assert!(refused.stderr.contains("cannot be proven"), "{refused}");
    assert_eq!(before, tree_state(&stack.data()));
}

#[test]
fn a_database_that_does_not_exist_yet_is_made_or_moved_aside_again() {
    let make = "create table user(id, created_at); create table auth(id);";
    let stack = with_files(&[
        ("0001_make.sql", make),
        ("0002_chat.sql", "create table chat(id) nonsense"),
    ]);
    std::fs::remove_file(stack.data().join("webui.db")).unwrap();
    insta::assert_snapshot!(migrate(&stack), @"
    failed 0002_chat.sql: unknown table option: nonsense
    there is no open-webui/chats, as there was none
    what the files made is kept: `~/ai/open-webui/webui.db.empty-TIME`
    --- status 1
    ");
    assert!(!stack.data().join("webui.db").exists());
    write(&stack, &[("0002_chat.sql", "create table chat(id)")]);
    let _ = migrate(&stack).with(0);
    assert_eq!(content(&stack.data().join("webui.db")).len(), 3);
}

#[test]
fn a_run_that_was_killed_is_told_with_the_way_back_and_the_way_back_settles_it() {
    let stack = with_files(&[ONE]);
    let _ = migrate(&stack).with(0);
    // As a kill during the second file leaves it.
    let record = stack
        .vault()
        .join("open-webui/migrations-open-webui-chats.json");
    let mut document: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&record).unwrap()).unwrap();
    let id = std::fs::read_dir(stack.vault().join("open-webui"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .find(|n| n.starts_with("000001"))
        .unwrap();
    document["pending"] = serde_json::json!({ "file": "0002_rows.sql", "snapshot": format!("open-webui/{id}"),
        "began_at": document["applied"][0]["applied_at"] });
    std::fs::write(&record, document.to_string()).unwrap();
    write(&stack, &[TWO]);
    let told = migrate(&stack).with(3);
    assert!(
        told.stderr.contains("was interrupted in `0002_rows.sql`"),
        "{told}"
    );
    let start = "aidb-precheck check --at start open-webui";
    let held = stack.run(start).with(1);
    assert!(
        held.stdout
            .contains("a migration stopped in `0002_rows.sql`"),
        "{held}"
    );
    let way_back = told
        .stderr
        .split('`')
        .find_map(|t| t.find("aidb restore").map(|at| &t[at..]))
        .unwrap();
    let _ = stack.run(way_back).with(0);
    let _ = stack.run(start).with(0);
    let _ = migrate(&stack).with(0);
    assert_eq!(notes(&stack), Some(1));
}

/// The clock is set back between the kill and the way back: their order tells that it settles it.
#[test]
fn the_way_back_settles_it_whatever_the_clock_says() {
    let stack = with_files(&[ONE]);
    let _ = migrate(&stack).with(0);
    let record = stack
        .vault()
        .join("open-webui/migrations-open-webui-chats.json");
    let mut document: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&record).unwrap()).unwrap();
    let later = "2099-01-01T00:00:00Z";
    let after = document["applied"][0]["after"].as_u64().unwrap();
    document["applied"][0]["applied_at"] = later.into();
    document["pending"] = serde_json::json!({ "file": "0002_rows.sql", "snapshot": "open-webui/1",
        "began_at": later, "after": after });
    std::fs::write(&record, document.to_string()).unwrap();
    let start = "aidb-precheck check --at start open-webui";
    let _ = stack.run(start).with(1);
    let _ = stack
        .run("aidb-snapshot restore open-webui --snapshot 1 --only webui.db")
        .with(0);
    let _ = stack.run(start).with(0);
    write(&stack, &[TWO]);
    let _ = migrate(&stack).with(0);
    assert_eq!(notes(&stack), Some(1));
}

/// Killed at any moment, a migration leaves the state before it or the one after it, or is held with the way back.
#[test]
fn a_migration_that_is_killed_at_any_moment_leads_back_or_is_done() {
    const MOMENTS: u32 = 6;
    let fill = "insert into aidb_note(text) with recursive n(i) as
                (select 1 union all select i + 1 from n where i < 20000) select hex(randomblob(200)) from n;";
    let files = [ONE, ("0002_fill.sql", fill), ("0003_fill.sql", fill)];
    let began = std::time::Instant::now();
    let _ = migrate(&with_files(&files)).with(0);
    let whole = began.elapsed();
    for moment in 0..MOMENTS {
        let stack = with_files(&files);
        let before = content(&stack.data().join("webui.db"));
        let mut command = stack.command("aidb-init-verify");
        command.args(["migrate", "open-webui", "chats", "--from", "sql"]);
        let silent = std::process::Stdio::null;
        let mut run = command.stdout(silent()).stderr(silent()).spawn().unwrap();
        std::thread::sleep(whole * moment / MOMENTS);
        run.kill().unwrap();
        run.wait().unwrap();
        let start = stack.run("aidb-precheck check --at start open-webui");
        if start.status == 1 {
            let back = "bring back the state before it:";
            let line = start.stdout.lines().find_map(|l| l.split_once(back));
            let command = stack.printed(line.unwrap_or_else(|| panic!("{start}")).1.trim());
            let _ = stack.shell(&command).with(0);
            assert!(
                before == content(&stack.data().join("webui.db")),
                "{moment}"
            );
            let _ = stack
                .run("aidb-precheck check --at start open-webui")
                .with(0);
        }
        let _ = migrate(&stack).with(0);
        assert_eq!(notes(&stack), Some(40_000), "{moment}");
    }
}

#[test]
fn what_lies_in_the_log_only_is_migrated_and_comes_back() {
    let stack = Stack::with(
        env!("CARGO_BIN_EXE_aidb-init-verify"),
        "openwebui-0.12.4-crash",
    );
    let database = stack.data().join("webui.db");
    let before = content(&database);
    write(&stack, &[ONE, ("0002_bad.sql", "delete from user")]);
    let failed = migrate(&stack).with(1);
    assert!(failed.stdout.contains("contract.rows-shrunk"), "{failed}");
    assert!(before == content(&database));
    write(&stack, &[("0002_bad.sql", TWO.1)]);
    let _ = migrate(&stack).with(0);
    let mut after = content(&database);
    assert_eq!(after.remove("aidb_note").map(|rows| rows.len()), Some(1));
    assert!(before == after);
}
