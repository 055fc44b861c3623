//! What a container wrote outside its volumes, from Podman's storage as it lies on disk to the data folder.

use std::process::Command;

use aidb_testkit::Stack;
use serde_json::json;

use super::{LARGE, with};

/// Moves the data into the layer of a container, as where its volume was mounted elsewhere; an empty database is left.
fn with_data_in_the_layer() -> Stack {
    let stack = with(LARGE);
    let storage = stack.home().join("pods");
    let inside = storage.join("overlay/f53c/diff/app/backend");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::rename(stack.data(), inside.join("data")).unwrap();
    std::fs::create_dir_all(stack.data()).unwrap();
    std::fs::write(stack.data().join("webui.db"), "").unwrap();
    let lists = storage.join("overlay-containers");
    std::fs::create_dir_all(&lists).unwrap();
    let listed = json!([{ "id": "34e15a9285020000", "names": ["open-webui"], "image": "4873", "layer": "f53c",
        "created": "2026-11-25T14:53:53Z" }]);
    std::fs::write(lists.join("volatile-containers.json"), listed.to_string()).unwrap();
    let conf = stack.home().join(".config/containers");
    std::fs::create_dir_all(&conf).unwrap();
    let root = format!("[storage]\ngraphroot = \"{}\"\n", storage.display());
    std::fs::write(conf.join("storage.conf"), root).unwrap();
    stack
}

/// Returns a tool that runs after a boot in which Podman was not called yet.
fn after_boot(stack: &Stack, tool: &str) -> Command {
    let mut command = stack.command(tool);
    command.env("XDG_RUNTIME_DIR", stack.home().join("run"));
    command
}

#[test]
fn chats_in_the_layer_of_a_container_come_back_by_the_printed_command() {
    let stack = with_data_in_the_layer();
    let rescued = stack.ran(after_boot(&stack, "aidb").args(["rescue", "open-webui"]));
    insta::assert_snapshot!(rescued, @r#"
    rescued open-webui/rescue/000001-TIME-34e15a928502  12 files, 13.6 MiB, in TIME
    warn  open-webui  a database lies in the container's own layer and goes with it  [layer.database]
          `/app/backend/data/webui.db` (48 tables, 13872 KiB); kept as `open-webui/rescue/000001-TIME-34e15a928502`
          put it into the data folder: BIN/aidb restore open-webui --rescue 1
          see what it holds:     BIN/aidb show open-webui/rescue/000001-TIME-34e15a928502
    --- status 0
    "#);
    // The empty database that is left is no fresh start: the chats are known, and the start says where they are.
    let start = stack.run("aidb-precheck check --at start open-webui");
    insta::assert_snapshot!(start, @r#"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC one with 48 tables was rescued from the container's own layer
          bring the rescue back: BIN/aidb restore open-webui --rescue 1
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    ok    open-webui/uploads  not there yet
    ok    open-webui/vectors  not there yet
    --- status 1
    "#);
    assert_eq!(
        std::fs::read(stack.data().join("webui.db")).unwrap(),
        b"",
        "it was moved aside"
    );
    let back = &start.commands("bring the rescue back")[0];
    insta::assert_snapshot!(stack.shell(&stack.printed(back)), @r#"
    restored open-webui from DATE (unproven): 12 files, 13.6 MiB, in TIME
    what was there is kept: `~/ai/open-webui.aidb-before-TIME.part`
    undo: BIN/aidb undo open-webui
    --- status 0
    "#);
    insta::assert_snapshot!(stack.run("aidb check"), @r#"
    ok    open-webui/chats  13.5 MiB, 48 tables, 260 chat, 4 user, full check ok
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    "#);
    // Podman may be called now, and a second look finds nothing new.
    assert!(stack.home().join("run/aidb/layers-read").exists());
    let again = stack.ran(after_boot(&stack, "aidb").args(["rescue"]));
    insta::assert_snapshot!(again, @r#"
    nothing new since open-webui/rescue/000001-TIME-34e15a928502
    --- status 0
    "#);
    insta::assert_snapshot!(stack.run("aidb list"), @r#"
    no snapshots in `~/vault`
    rescued just now: open-webui/rescue/000001-TIME-34e15a928502 (12 files, 13.6 MiB, database /app/backend/data/webui.db)
    put aside just now: `~/ai/open-webui.aidb-before-TIME.part` (160 B)
    --- status 0
    "#);
}

#[test]
fn a_storage_that_cannot_be_understood_is_said_and_is_no_empty_one() {
    let stack = with_data_in_the_layer();
    let list = stack
        .home()
        .join("pods/overlay-containers/volatile-containers.json");
    std::fs::write(&list, "[{").unwrap();
    insta::assert_snapshot!(stack.ran_with_stderr(after_boot(&stack, "aidb-snapshot").arg("rescue")), @r#"
    --- stderr
    error: cannot rescue what the container of `open-webui` wrote
      caused by: `~/pods/overlay-containers/volatile-containers.json` cannot be understood: EOF while parsing an object at line 1 column 2
    --- status 3
    "#);
    std::fs::write(&list, "[]").unwrap();
    insta::assert_snapshot!(stack.run("aidb rescue"), @r#"
    nothing to rescue: `open-webui` does not exist
    --- status 0
    "#);
}

#[test]
fn a_drill_without_podman_or_without_the_image_is_could_not() {
    let stack = with(super::SMALL);
    let _ = stack.run("aidb take").with(0);
    let podman = stack.home().join("podman");
    let settings = std::fs::read_to_string(stack.settings()).unwrap();
    let mut settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
    settings["programs"] = json!({ "podman": podman });
    std::fs::write(stack.settings(), settings.to_string()).unwrap();
    let drill =
        || stack.ran_with_stderr(stack.command("aidb-snapshot").args(["verify", "--drill"]));
    insta::assert_snapshot!(drill(), @r#"
    --- stderr
    error: cannot drill `open-webui/000001-TIME-manual`
      caused by: `podman ps --all --filter …` cannot be run: No such file or directory (os error 2)
    --- status 3
    "#);
    std::fs::write(&podman, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&podman, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    insta::assert_snapshot!(drill(), @r#"
    --- stderr
    error: cannot drill `open-webui/000001-TIME-manual`
      caused by: it is not known which image `open-webui/000001-TIME-manual` belongs to
      hint: snapshots that are taken while the container runs know it
    --- status 3
    "#);
}
