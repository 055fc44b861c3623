//! Without a stack.json: guards come from the quadlets, and every verb works on them.

use std::path::PathBuf;

use aidb_testkit::{Stack, content, damage};

use crate::{AIDB, SMALL};

/// Returns a folder that outlives a boot: this checkout's, or where that lies in a folder that does not, the person's home.
fn lasting() -> PathBuf {
    let ours = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let ephemeral = ["/tmp", "/var/tmp", "/run", "/dev/shm"];
    let is_ephemeral = ephemeral.iter().any(|folder| ours.starts_with(folder));
    match std::env::home_dir() {
        Some(home) if is_ephemeral => home,
        _ => ours,
    }
}

/// A home where people keep data, with one quadlet.
fn home() -> Stack {
    let stack = Stack::below(AIDB, &lasting());
    std::fs::remove_file(stack.settings()).unwrap();
    aidb_testkit::unpack(SMALL, &stack.data());
    let quadlets = stack.home().join(".config/containers/systemd");
    std::fs::create_dir_all(&quadlets).unwrap();
    let unit = format!(
        "[Container]\nContainerName=open-webui\nImage=ghcr.io/open-webui/open-webui:v0.6.38\nVolume={}:/app/backend/data\n",
        stack.data().display()
    );
    std::fs::write(quadlets.join("open-webui.container"), unit).unwrap();
    stack
}

#[test]
fn a_container_of_a_known_image_is_guarded_without_settings() {
    let stack = home();
    insta::assert_snapshot!(stack.run("aidb settings"), @"
    open-webui  ~/ai/open-webui  (chats, uploads, vectors)
    vault: ~/.local/share/aidb-vault
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb check"), @"
    ok    open-webui/chats  612 KiB, 26 tables, 14 chat, 4 user, full check ok
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    ");
    let database = stack.data().join("webui.db");
    let truth = content(&database);
    let _ = stack.run("aidb take").with(0);
    damage::empty_database(&database);
    let held = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
    assert_eq!(
        held.commands("bring it back"),
        ["BIN/aidb restore open-webui"]
    );
    let _ = stack.run("aidb restore open-webui").with(0);
    assert!(content(&database) == truth);
    let _ = stack.run("aidb status").with(0);
    assert!(
        stack
            .home()
            .join(".local/share/aidb-vault/open-webui")
            .is_dir()
    );
}

/// The quadlet is gone, its unit still runs: its hooks name a guard that only the ledger and the vault know.
#[test]
fn a_guard_whose_quadlet_is_gone_can_still_be_stopped_and_brought_back() {
    let stack = home();
    let _ = stack.run("aidb take").with(0);
    let quadlets = stack.home().join(".config/containers/systemd");
    let other = "[Container]\nContainerName=ollama\nImage=docker.io/ollama/ollama\nVolume=/srv/ollama:/root/.ollama\n";
    std::fs::write(quadlets.join("ollama.container"), other).unwrap();
    std::fs::remove_file(quadlets.join("open-webui.container")).unwrap();
    let _ = stack
        .run("aidb-snapshot take --reason stop --unproven --deadline 20s open-webui")
        .with(0);
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(0);
    let _ = stack.run("aidb restore open-webui").with(0);
}
