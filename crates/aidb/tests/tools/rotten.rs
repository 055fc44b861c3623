//! What `verify` finds is remembered: a rotten snapshot is nobody's way back.

use crate::{SMALL, kept, with};

#[test]
fn a_snapshot_that_verify_found_rotten_is_proven_no_longer_and_the_one_before_it_is_restored() {
    let stack = with(SMALL);
    let _ = stack.run("aidb take --reason first").with(0);
    std::fs::write(stack.data().join("uploads/new.txt"), "new").unwrap();
    let _ = stack.run("aidb take --reason second").with(0);
    let second = std::fs::read_dir(stack.vault().join("open-webui"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().ends_with("-second"))
        .unwrap();
    let file = second.join("data/uploads/new.txt");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(&file, "old").unwrap();
    let _ = stack.run("aidb verify").with(1);
    let list = stack.run("aidb list").with(0);
    assert!(
        list.stdout.contains("refused") && list.stdout.contains("proven"),
        "{list}"
    );
    let _ = stack.run("aidb verify").with(0);
    let _ = stack.run("aidb prove").with(0);
    std::fs::remove_dir_all(stack.data()).unwrap();
    let _ = stack.run("aidb restore open-webui").with(0);
    assert!(!stack.data().join("uploads/new.txt").exists());
}

/// A database's `-wal` that somebody's program left in a snapshot would be read with it, were it ever brought back.
#[test]
fn what_was_put_into_a_snapshot_since_is_named_and_never_restored() {
    let stack = kept();
    let snapshots = std::fs::read_dir(stack.vault().join("open-webui")).unwrap();
    let folder = snapshots
        .map(|e| e.unwrap().path())
        .find(|p| p.is_dir())
        .unwrap();
    let data = folder.join("data");
    std::fs::write(data.join("webui.db-wal"), "not ours").unwrap();
    std::fs::create_dir(data.join("more")).unwrap();
    std::fs::write(data.join("more/file"), "x").unwrap();
    insta::assert_snapshot!(stack.run("aidb verify"), @"
    warn  open-webui/000001-TIME-manual  its manifest does not name `more`, `webui.db-wal`: put there since, never proven, and never restored
    --- status 0
    ");
    let json = stack.run("aidb verify --json").with(0).json();
    assert_eq!(json["verdict"], "warn");
    assert_eq!(
        json["snapshots"][0]["unnamed"],
        serde_json::json!(["more", "webui.db-wal"])
    );
    let _ = stack.run("aidb archive").with(0);
    let _ = stack.run("aidb restore open-webui").with(0);
    let _ = stack.run("aidb restore open-webui --to new").with(0);
    let _ = stack
        .run("aidb restore open-webui --snapshot 1.tar.xz --to archived")
        .with(0);
    for folder in [
        stack.data(),
        stack.home().join("new"),
        stack.home().join("archived"),
    ] {
        assert!(folder.join("webui.db").exists());
        assert!(!folder.join("webui.db-wal").exists());
        assert!(!folder.join("more").exists());
    }
}

#[test]
fn an_unproven_snapshot_with_tables_is_data_that_the_vault_knows() {
    let stack = with(SMALL);
    let _ = stack.run("aidb take --unproven").with(0);
    let state = stack.home().join(".local/state/aidb");
    std::fs::remove_dir_all(state).unwrap();
    std::fs::write(stack.data().join("webui.db"), "").unwrap();
    let held = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);
    assert!(held.stdout.contains("[sqlite.empty-file]"), "{held}");
    assert_eq!(
        std::fs::metadata(stack.data().join("webui.db"))
            .unwrap()
            .len(),
        0
    );
}
