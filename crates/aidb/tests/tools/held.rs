//! What `check` says of healthy, empty, damaged and shrunken data, and the ways past a hold.

use aidb_testkit::damage;
use rusqlite::Connection;

use crate::{LARGE, SMALL, kept, with};

#[test]
fn healthy_data() {
    let stack = with(LARGE);
    insta::assert_snapshot!(stack.run("aidb check"), @"
    ok    open-webui/chats  13.5 MiB, 48 tables, 260 chat, 4 user, full check ok
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    let bytes = stack.run("aidb check --depth bytes").with(0);
    assert!(
        bytes
            .stdout
            .starts_with("ok    open-webui/chats  13.5 MiB, "),
        "{bytes}"
    );
    assert!(!bytes.stdout.contains("check ok"), "{bytes}");
}

#[test]
fn an_empty_database_of_which_nothing_is_known_moves_aside() {
    let stack = with(SMALL);
    let database = stack.data().join("webui.db");
    damage::empty_database(&database);
    insta::assert_snapshot!(stack.run("aidb check"), @"
    warn  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          nothing is known of earlier data; the next start moves it aside
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    assert!(database.exists(), "looking moves nothing");
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    warn  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          nothing is known of earlier data; moved aside to `~/ai/open-webui/webui.db.empty-TIME`
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    assert!(!database.exists());
    let aside = std::fs::read_dir(stack.data())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        aside.filter(|n| n.starts_with("webui.db.empty-")).count(),
        1
    );
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    ok    open-webui/chats  not there yet
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
}

#[test]
fn an_empty_database_beside_known_data_is_held_and_left_as_it_is() {
    let stack = kept();
    let database = stack.data().join("webui.db");
    damage::empty_database(&database);
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 1
    ");
    assert_eq!(std::fs::metadata(&database).unwrap().len(), 0);
    insta::assert_snapshot!(stack.run("aidb-precheck check --at switch"), @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 1
    ");
}

/// No snapshot: a healthy look is enough to know that there was data.
#[test]
fn an_empty_database_that_was_once_seen_healthy_is_held() {
    let stack = with(SMALL);
    let _ = stack.run("aidb init-verify").with(0);
    damage::empty_database(&stack.data().join("webui.db"));
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 1
    ");
}

#[test]
fn a_damaged_database_is_held() {
    let stack = kept();
    damage::overwrite_middle(&stack.data().join("webui.db"));
    let check = stack.run("aidb check").with(1);
    assert!(
        check.stdout.starts_with("hold  open-webui/chats  "),
        "{check}"
    );
    assert!(check.stdout.contains("[sqlite.damaged]"), "{check}");
    assert_eq!(
        check.commands("bring it back"),
        ["BIN/aidb restore open-webui"]
    );
    let start = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
    assert_eq!(start.stdout, check.stdout);
}

#[test]
fn a_permission_works_once() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    insta::assert_snapshot!(stack.run("aidb allow open-webui sqlite.empty-file --reason tried"), @"
    allowed: the next hold of `open-webui` by sqlite.empty-file passes, once
    --- status 0
    ");
    // Looking does not use it up.
    let _ = stack.run("aidb check").with(1);
    let _ = stack.run("aidb-precheck check --at switch").with(1);
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    warn  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          allowed to pass this once; on DATE UTC it had 14 chat, 4 user
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
}

#[test]
fn a_permission_for_another_finding_does_not_help() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    let _ = stack
        .run("aidb allow open-webui store.missing --reason wrong")
        .with(0);
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
}

#[test]
fn what_was_accepted_passes_from_then_on() {
    let stack = with(LARGE);
    let _ = stack.run("aidb take").with(0);
    let db = Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute_batch("delete from chat where rowid % 4 > 0")
        .unwrap();
    drop(db);
    insta::assert_snapshot!(stack.run("aidb check"), @"
    warn  open-webui/chats  there are far fewer rows than there were  [contract.rows-shrunk]
          `chat`: 65, was 260
          bring it back:         BIN/aidb restore open-webui
          or it is right so:     BIN/aidb accept open-webui --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb accept open-webui --reason tidied"), @"
    accepted: the present state of `open-webui` is its new baseline
    --- status 0
    ");
    for _ in 0..2 {
        let start = stack
            .run("aidb-precheck check --at start open-webui")
            .with(0);
        assert!(start.stdout.starts_with("ok  "), "{start}");
    }
}

#[test]
fn damage_cannot_be_accepted() {
    let stack = kept();
    damage::overwrite_middle(&stack.data().join("webui.db"));
    let accept = stack
        .run("aidb accept open-webui --reason whatever")
        .with(3);
    assert!(
        accept
            .stderr
            .starts_with("error: `open-webui` cannot be accepted: "),
        "{accept}"
    );
    let _ = stack.run("aidb check").with(1);
}

#[test]
fn accounts_that_are_gone_are_held_at_start() {
    let stack = kept();
    let db = Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute_batch("delete from user").unwrap();
    drop(db);
    let start = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
    assert!(
        start
            .stdout
            .contains("the accounts are gone  [contract.rows-shrunk]"),
        "{start}"
    );
}

#[test]
fn verification_waits_for_an_application_that_sets_itself_up_and_says_what_is_missing() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb init-verify --wait 120s"), @"
    ok    open-webui/chats  612 KiB, 26 tables, 14 chat, 4 user, full check ok
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    let stack = with(SMALL);
    damage::empty_database(&stack.data().join("webui.db"));
    insta::assert_snapshot!(stack.run("aidb init-verify --wait 1s"), @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          nothing is known of earlier data; the next start moves it aside
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- stderr
    open-webui/chats: `webui.db` has 0 bytes; waits for up to 1.0 s
    --- status 1
    ");
    let stack = with(SMALL);
    let db = Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute_batch("drop table chat").unwrap();
    drop(db);
    insta::assert_snapshot!(stack.run("aidb init-verify open-webui --wait 1s"), @"
    hold  open-webui/chats  a table is missing: `chat`  [contract.table-missing]
          found 25 other tables
          or let it pass once:   BIN/aidb allow open-webui contract.table-missing --reason 'I have looked at it'
    hold  open-webui/chats  a schema migration stopped half-way; a start usually completes it  [contract.half-migrated]
          not there yet: `chat`
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- stderr
    open-webui/chats: a table is missing: `chat`; waits for up to 1.0 s
    --- status 1
    ");
}

#[test]
fn verification_of_an_unknown_unit_is_wrong_usage() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb init-verify --unit podman-nobody.service"), @"
    --- stderr
    error: no guard belongs to the unit `podman-nobody.service`
    --- status 2
    ");
}

#[test]
fn status_has_one_line_a_guard() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb status"), @"
    GUARD       STATE  SIZE     ROWS             LAST PROVEN
    open-webui  warn   612 KiB  14 chat, 4 user  never
    warn  open-webui  there is no proven snapshot  [snapshot.none-proven]
          take one:              BIN/aidb take open-webui
    --- status 0
    ");
    let _ = stack.run("aidb take").with(0);
    insta::assert_snapshot!(stack.run("aidb status"), @"
    GUARD       STATE  SIZE     ROWS             LAST PROVEN
    open-webui  ok     612 KiB  14 chat, 4 user  just now (manual)
    note: every copy lies on the same disk  [snapshot.no-second-copy]
    --- status 0
    ");
    damage::empty_database(&stack.data().join("webui.db"));
    let _ = stack.run("aidb status").with(1);
}

#[test]
fn settings_list_what_is_guarded_and_what_is_not() {
    let stack = with(SMALL);
    let quadlets = stack.home().join(".config/containers/systemd");
    std::fs::create_dir_all(&quadlets).unwrap();
    let unit =
        "[Container]\nContainerName=notes\nImage=docker.io/me/notes:1\nVolume=/srv/notes:/data\n";
    std::fs::write(quadlets.join("notes.container"), unit).unwrap();
    insta::assert_snapshot!(stack.run("aidb settings"), @"
    open-webui  ~/ai/open-webui  (chats, uploads, vectors)
    vault: ~/vault
    not guarded: notes (/srv/notes): no preset knows image `docker.io/me/notes:1`
    --- status 0
    ");
}
