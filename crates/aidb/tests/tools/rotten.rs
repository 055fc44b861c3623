//! What `verify` finds is remembered: a rotten snapshot is nobody's way back.

use crate::{SMALL, with};

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
