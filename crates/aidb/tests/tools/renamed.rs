//! A guard that is called otherwise in the settings keeps its history.

use aidb_testkit::{Stack, damage};

use crate::{SMALL, kept, with};

fn rename(stack: &Stack, name: &str) {
    let text = std::fs::read_to_string(stack.settings()).unwrap();
    let text = text.replace("\"open-webui\":{", &format!("\"{name}\":{{"));
    std::fs::write(stack.settings(), text).unwrap();
}

#[test]
fn a_renamed_guard_is_told_and_its_snapshots_bring_it_back() {
    let stack = kept();
    rename(&stack, "chat");
    damage::empty_database(&stack.data().join("webui.db"));
    let held = stack.run("aidb-precheck check --at start chat").with(1);
    assert!(
        held.stderr.contains("`open-webui` is called `chat` now"),
        "{held}"
    );
    assert!(held.stdout.contains("it had 14 chat, 4 user"), "{held}");
    let list = stack.run("aidb list").with(0);
    assert!(list.stdout.contains("chat/000001"), "{list}");
    let _ = stack.run("aidb restore chat").with(0);
    let check = stack.run("aidb check").with(0);
    assert!(!check.stderr.contains("is called"), "{check}");
    let take = stack.run("aidb take").with(0);
    assert!(take.stdout.contains("chat/000002"), "{take}");
    let _ = stack.run("aidb verify").with(0);
    // A unit that was made before the settings were changed calls it by its former name.
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(0);
    assert!(!stack.vault().join("open-webui").exists());
}

#[test]
fn a_renamed_guard_is_known_by_its_snapshots_alone() {
    let stack = kept();
    std::fs::remove_dir_all(stack.home().join(".local/state/aidb")).unwrap();
    rename(&stack, "chat");
    std::fs::remove_file(stack.data().join("webui.db")).unwrap();
    let held = stack.run("aidb-precheck check --at start chat").with(1);
    assert!(held.stdout.contains("[store.missing]"), "{held}");
    let _ = stack.run("aidb restore chat").with(0);
}

#[test]
fn an_unproven_snapshot_of_before_is_proven_under_the_new_name() {
    let stack = with(SMALL);
    let _ = stack
        .run("aidb take --unproven --reason stop open-webui")
        .with(0);
    rename(&stack, "chat");
    let prove = stack.run("aidb prove").with(0);
    assert!(prove.stdout.contains("chat/000001"), "{prove}");
    std::fs::remove_file(stack.data().join("webui.db")).unwrap();
    let _ = stack.run("aidb-precheck check --at start chat").with(1);
    assert!(!stack.vault().join("open-webui").exists());
}

/// Another folder under another name is another guard.
#[test]
fn a_guard_of_another_folder_begins_without_a_history() {
    let stack = kept();
    rename(&stack, "chat");
    let elsewhere = stack.home().join("ai/elsewhere");
    let text = std::fs::read_to_string(stack.settings()).unwrap();
    let data = stack.data().display().to_string();
    let text = text.replace(&data, &elsewhere.display().to_string());
    std::fs::write(stack.settings(), text).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let start = stack.run("aidb-precheck check --at start chat").with(0);
    assert!(!start.stderr.contains("is called"), "{start}");
    assert!(stack.vault().join("open-webui").exists());
}
