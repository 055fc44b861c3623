//! Files that no application should have made, and some did.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use aidb_testkit::tree_state;

use crate::{SMALL, kept, with};

/// Opening a pipe waits for its other end: nothing here may wait.
#[test]
fn a_pipe_in_the_place_of_the_database_is_held_and_waits_for_nobody() {
    let stack = kept();
    let database = stack.data().join("webui.db");
    std::fs::remove_file(&database).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&database)
            .status()
            .unwrap()
            .success()
    );
    let before = tree_state_of_names(&stack);
    insta::assert_snapshot!(stack.run("aidb check"), @"
    hold  open-webui/chats  a pipe stands where a database belongs  [store.special-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui store.special-file --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 1
    ");
    let _ = stack.run("aidb take").with(1);
    assert_eq!(tree_state_of_names(&stack), before);
    let _ = stack.run("aidb restore open-webui").with(0);
    let _ = stack.run("aidb check").with(0);
}

/// The state cannot be read with a pipe in it; the names are enough.
fn tree_state_of_names(stack: &aidb_testkit::Stack) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(stack.data())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    names
}

/// A container may write links: what they lead to is not its data.
#[test]
fn a_link_in_the_place_of_the_database_is_not_followed() {
    let stack = kept();
    let database = stack.data().join("webui.db");
    let secret = stack.home().join("secret.db");
    std::fs::rename(&database, &secret).unwrap();
    symlink(&secret, &database).unwrap();
    let before = tree_state(stack.data().parent().unwrap());
    insta::assert_snapshot!(stack.run("aidb check"), @"
    hold  open-webui/chats  a symbolic link to `~/secret.db` stands where a database belongs; it is not followed  [store.symlink]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui store.symlink --reason 'I have looked at it'
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 1
    ");
    let take = stack.run("aidb take --reason link").with(1);
    assert!(take.stdout.contains("NOT PROVEN"), "{take}");
    assert_eq!(tree_state(stack.data().parent().unwrap()), before);
    let _ = stack.run("aidb restore open-webui").with(0);
    assert!(secret.exists() && !database.is_symlink());
}

#[test]
fn names_that_steer_a_terminal_or_are_no_text_come_back_and_are_shown_escaped() {
    let stack = with(SMALL);
    let uploads = stack.data().join("uploads");
    let names: [&[u8]; 4] = [
        b"\x1b[31mred",
        b"two\nlines",
        b"\xff\xfe no text",
        b" -rf \xe2\x80\xaeback",
    ];
    for name in names {
        std::fs::write(uploads.join(OsStr::from_bytes(name)), name).unwrap();
    }
    symlink("/etc/passwd", uploads.join("link")).unwrap();
    std::fs::hard_link(
        uploads.join("link").with_file_name("two\nlines"),
        uploads.join("again"),
    )
    .unwrap();
    let _ = stack.run("aidb take").with(0);
    let show = stack.run("aidb show open-webui").with(0);
    assert!(
        !show.stdout.contains('\x1b') && !show.stdout.contains('\u{202e}'),
        "{show}"
    );
    assert!(show.stdout.contains("-> /etc/passwd"), "{show}");
    let _ = stack.run("aidb show open-webui --json").json();
    std::fs::remove_dir_all(&uploads).unwrap();
    let _ = stack.run("aidb restore open-webui").with(0);
    for name in names {
        assert_eq!(
            std::fs::read(uploads.join(OsStr::from_bytes(name))).unwrap(),
            name
        );
    }
    assert_eq!(std::fs::read(uploads.join("again")).unwrap(), b"two\nlines");
    assert_eq!(
        std::fs::read_link(uploads.join("link")).unwrap(),
        std::path::Path::new("/etc/passwd")
    );
    let _ = stack.run("aidb verify").with(0);
}
