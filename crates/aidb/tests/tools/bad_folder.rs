//! Data folders that are none, are not there, or may not be read.

use std::os::unix::fs::PermissionsExt;

use aidb_testkit::{Stack, tree_state};

use crate::{AIDB, SMALL, kept, with};

#[test]
fn a_data_folder_that_is_a_file() {
    let stack = Stack::new(AIDB);
    std::fs::write(stack.data(), "not a folder").unwrap();
    insta::assert_snapshot!(stack.run("aidb check"), @"
    hold  open-webui  the data folder is a file  [store.special-file]
          or let it pass once:   BIN/aidb allow open-webui store.special-file --reason 'I have looked at it'
    --- status 1
    ");
    insta::assert_snapshot!(stack.run("aidb take"), @"
    --- stderr
    error: cannot take a snapshot of `open-webui`
      caused by: open the data folder `~/ai/open-webui`
      caused by: Not a directory (os error 20)
    --- status 3
    ");
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
    assert_eq!(
        std::fs::read_to_string(stack.data()).unwrap(),
        "not a folder"
    );
}

#[test]
fn a_data_folder_that_never_was() {
    let stack = Stack::new(AIDB);
    insta::assert_snapshot!(stack.run("aidb check"), @"
    warn  open-webui  the data folder does not exist, and nothing is known of earlier data  [store.missing]
          looked for `~/ai/open-webui`
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb take"), @"
    --- stderr
    error: cannot take a snapshot of `open-webui`
      caused by: open the data folder `~/ai/open-webui`
      caused by: No such file or directory (os error 2)
    --- status 3
    ");
    insta::assert_snapshot!(stack.run("aidb-precheck check --at switch"), @"
    ok    open-webui
    --- status 0
    ");
    assert!(!stack.data().exists());
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    ok    open-webui/chats  not there yet
    ok    open-webui/uploads  not there yet
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    let mode = std::fs::metadata(stack.data())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_data_folder_that_is_gone_is_held_and_not_made_anew() {
    let stack = kept();
    std::fs::remove_dir_all(stack.data()).unwrap();
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    hold  open-webui  the data folder is gone  [store.missing]
          the newest proven snapshot is `open-webui/000001-TIME-manual`
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui store.missing --reason 'I have looked at it'
    --- status 1
    ");
    assert!(!stack.data().exists());
    insta::assert_snapshot!(stack.run("aidb take"), @"
    --- stderr
    error: cannot take a snapshot of `open-webui`
      caused by: open the data folder `~/ai/open-webui`
      caused by: No such file or directory (os error 2)
    --- status 3
    ");
    let _ = stack.run("aidb verify").with(0);
}

/// Known from a healthy look alone: no snapshot was ever taken.
#[test]
fn a_data_folder_that_is_gone_and_was_only_looked_at_is_held() {
    let stack = with(SMALL);
    let _ = stack.run("aidb check").with(0);
    std::fs::remove_dir_all(stack.data()).unwrap();
    insta::assert_snapshot!(stack.run("aidb-precheck check --at start open-webui"), @"
    hold  open-webui  the data folder is gone  [store.missing]
          or let it pass once:   BIN/aidb allow open-webui store.missing --reason 'I have looked at it'
    --- status 1
    ");
}

#[test]
fn a_data_folder_that_may_not_be_read_is_no_missing_one() {
    let stack = kept().as_plain_user();
    let before = tree_state(&stack.data());
    std::fs::set_permissions(stack.data(), PermissionsExt::from_mode(0o000)).unwrap();
    let start = stack.run("aidb-precheck check --at start open-webui");
    let take = stack.run("aidb take");
    std::fs::set_permissions(stack.data(), PermissionsExt::from_mode(0o755)).unwrap();
    insta::assert_snapshot!(start, @"
    ??    open-webui  the data folder may not be looked at: open the data folder `~/ai/open-webui`: Permission denied (os error 13)  [store.unreadable]
    --- status 3
    ");
    insta::assert_snapshot!(take, @"
    --- stderr
    error: cannot take a snapshot of `open-webui`
      caused by: open the data folder `~/ai/open-webui`
      caused by: Permission denied (os error 13)
    --- status 3
    ");
    let names =
        |state: std::collections::BTreeMap<String, String>| state.into_keys().collect::<Vec<_>>();
    assert_eq!(names(tree_state(&stack.data())), names(before));
    let _ = stack.run("aidb verify").with(0);
    let _ = stack.run("aidb check").with(0);
}

/// A mistyped path is no application that came up with its data.
#[test]
fn verification_does_not_pass_a_folder_that_is_not_there_or_may_not_be_read() {
    let stack = Stack::new(AIDB);
    insta::assert_snapshot!(stack.run("aidb init-verify"), @"
    hold  open-webui  the data folder does not exist, and nothing is known of earlier data  [store.missing]
          looked for `~/ai/open-webui`
    --- status 1
    ");
    let stack = with(SMALL).as_plain_user();
    std::fs::set_permissions(
        stack.data().join("webui.db"),
        PermissionsExt::from_mode(0o000),
    )
    .unwrap();
    let _ = stack.run("aidb init-verify").with(3);
    std::fs::set_permissions(stack.data(), PermissionsExt::from_mode(0o000)).unwrap();
    let _ = stack.run("aidb init-verify").with(3);
    std::fs::set_permissions(stack.data(), PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_database_that_may_not_be_read_is_said_and_never_counts_as_kept() {
    let stack = kept().as_plain_user();
    let database = stack.data().join("webui.db");
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o000)).unwrap();
    insta::assert_snapshot!(stack.run("aidb check"), @"
    ??    open-webui/chats  it may not be read: Permission denied (os error 13)  [store.unreadable]
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 3
    ");
    insta::assert_snapshot!(stack.run("aidb take"), @"
    kept open-webui/000002-TIME-manual  4 files, 20.4 KiB, SIZE written, NOT PROVEN, in TIME
    hold  open-webui/chats  `webui.db` is not in the snapshot  [store.missing]
    hold  open-webui  `webui.db` could not be kept: cannot be read: Permission denied (os error 13)  [store.unreadable]
    --- stderr
    warn  `webui.db` is not in it: cannot be read: Permission denied (os error 13)
    --- status 1
    ");
    let newest = stack.run("aidb list --json").json();
    let snapshots = newest["snapshots"].as_array().unwrap();
    assert!(
        snapshots.iter().skip(1).all(|s| s["proven"] == false),
        "{newest:#}"
    );
}

#[test]
fn a_vault_that_may_not_be_entered_keeps_no_healthy_container_down() {
    let stack = kept().as_plain_user();
    let mode = |mode| {
        std::fs::set_permissions(stack.vault(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o000);
    let start = stack.run("aidb-precheck check --at start open-webui");
    let status = stack.run("aidb status");
    mode(0o700);
    let start = start.with(3);
    assert!(!start.stdout.contains("restore.unfinished"), "{start}");
    assert!(start.stdout.contains("[check.could-not]"), "{start}");
    // It is not known that there is no proven snapshot.
    assert!(!status.stdout.contains("snapshot.none-proven"), "{status}");
    assert!(!status.stdout.contains("never"), "{status}");
}

/// Ten thousand lines would hide all else in the journal.
#[test]
fn of_many_files_that_may_not_be_read_five_are_named_and_the_rest_is_counted() {
    let stack = kept();
    for n in 0..8 {
        let path = stack.data().join(format!("uploads/secret-{n}"));
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    }
    let stack = stack.as_plain_user();
    insta::assert_snapshot!(stack.run("aidb take --reason stop --unproven open-webui"), @"
    kept open-webui/000002-TIME-stop  5 files, 632 KiB, SIZE written, not proven yet, in TIME
    --- stderr
    warn  `uploads/secret-0` is not in it: cannot be read: Permission denied (os error 13)
    warn  `uploads/secret-1` is not in it: cannot be read: Permission denied (os error 13)
    warn  `uploads/secret-2` is not in it: cannot be read: Permission denied (os error 13)
    warn  `uploads/secret-3` is not in it: cannot be read: Permission denied (os error 13)
    warn  `uploads/secret-4` is not in it: cannot be read: Permission denied (os error 13)
    warn  and 3 more: not in it
    --- status 3
    ");
    insta::assert_snapshot!(stack.run("aidb prove"), @"
    refused open-webui/000002-TIME-stop
    hold  open-webui  `uploads/secret-0` could not be kept: cannot be read: Permission denied (os error 13)  [store.unreadable]
    hold  open-webui  `uploads/secret-1` could not be kept: cannot be read: Permission denied (os error 13)  [store.unreadable]
    hold  open-webui  `uploads/secret-2` could not be kept: cannot be read: Permission denied (os error 13)  [store.unreadable]
    hold  open-webui  `uploads/secret-3` could not be kept: cannot be read: Permission denied (os error 13)  [store.unreadable]
    hold  open-webui  `uploads/secret-4` could not be kept: cannot be read: Permission denied (os error 13)  [store.unreadable]
    hold  open-webui  and 3 more could not be kept  [store.unreadable]
    --- status 1
    ");
    let show = stack.run("aidb show open-webui/2").with(0);
    assert_eq!(show.stdout.matches("not in it: ").count(), 8, "{show}");
    let show = stack.run("aidb show open-webui/2 --json").json();
    assert_eq!(show["snapshots"][0]["gaps"].as_array().unwrap().len(), 8);
}

#[test]
fn a_vault_that_may_not_be_entered_is_not_an_empty_one() {
    let stack = crate::kept().as_plain_user();
    let enter = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(stack.vault(), mode).unwrap();
    };
    enter(0o600);
    let told = stack.run("aidb list").with(3);
    assert!(told.stderr.contains("Permission denied"), "{told}");
    enter(0o700);
    let _ = stack.run("aidb list").with(0);
}
