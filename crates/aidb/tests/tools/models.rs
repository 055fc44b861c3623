//! Models: content-addressed files, whose names tell what they hold.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use aidb_testkit::{Stack, ollama};
use serde_json::json;

use crate::AIDB;

fn with_models() -> Stack {
    let stack = Stack::new(AIDB);
    stack.write_settings(&json!({ "preset": "ollama", "mount": null }));
    ollama::build(&stack.data().join("models"));
    stack
}

fn weights(stack: &Stack) -> PathBuf {
    ollama::weights(&stack.data().join("models"), "llama3.2/3b")
}

/// Changes one byte where it lies: the name, the size and the inode stay.
fn flip(path: &Path) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"Z", 3).unwrap();
}

#[test]
fn a_model_that_changed_at_its_size_is_told_when_asked_and_its_snapshot_is_not_proven() {
    let stack = with_models();
    let first = stack.run("aidb take").with(0);
    assert!(first.stdout.contains("proven"), "{first}");
    let _ = stack.run("aidb check --depth full").with(0);
    flip(&weights(&stack));

    // Nobody reads models at a start or by the way.
    for line in ["aidb check", "aidb-precheck check --at start open-webui"] {
        let quiet = stack.run(line).with(0);
        assert!(!quiet.stdout.contains("blob-hash"), "{quiet}");
    }
    let asked = stack.run("aidb check --depth full").with(0);
    assert!(
        asked.stdout.contains("warn  open-webui/models")
            && asked.stdout.contains("[ollama.blob-hash]"),
        "{asked}"
    );
    let late = stack.run("aidb check --depth full --deadline 0s").with(3);
    assert!(late.stdout.contains("[check.deadline]"), "{late}");

    let second = stack.run("aidb take").with(1);
    assert!(
        second.stdout.contains("NOT PROVEN") && second.stdout.contains("[ollama.blob-hash]"),
        "{second}"
    );
    let list = stack.run("aidb list --json").with(0).json();
    let proven: Vec<_> = list["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["proven"].as_bool().unwrap())
        .collect();
    assert_eq!(proven.iter().filter(|p| **p).count(), 1, "{list}");
}

#[test]
fn a_model_that_is_on_its_way_is_no_damage() {
    let stack = with_models();
    // A newer client writes under the final name, and the manifest last.
    let digest = "0".repeat(64);
    let coming = stack.data().join(format!("models/blobs/sha256-{digest}"));
    std::fs::write(&coming, "the first bytes of it").unwrap();
    let asked = stack.run("aidb check --depth full").with(0);
    assert!(!asked.stdout.contains("blob-hash"), "{asked}");
    let taken = stack.run("aidb take").with(0);
    assert!(taken.stdout.contains("proven"), "{taken}");
    let _ = stack.run("aidb verify").with(0);
}

/// As a version that did not compare blobs with their names has proven it.
#[test]
fn a_snapshot_that_was_proven_with_a_damaged_model_is_found_by_verify() {
    let stack = with_models();
    flip(&weights(&stack));
    let _ = stack.run("aidb take").with(1);
    let folder = std::fs::read_dir(stack.vault().join("open-webui"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| p.join("refused.json").exists())
        .unwrap();
    std::fs::rename(folder.join("refused.json"), folder.join("proof.json")).unwrap();
    let found = stack.run("aidb verify").with(1);
    assert!(
        found
            .stdout
            .contains("the content of 1 blob does not match its name")
            && found.stdout.contains("[ollama.blob-hash]")
            && !found.stdout.contains("[snapshot.hash]"),
        "{found}"
    );
    let none = stack.run("aidb restore open-webui --dry-run");
    assert_ne!(none.status, 0, "{none}");
}
