//! Several guards: what stands against one keeps nothing from the others, and the status is the gravest.

use std::path::PathBuf;

use aidb_testkit::{Stack, content, damage};
use rustix::fs::{FlockOperation, flock};

use crate::{SMALL, with};

/// A home with the guards `notes` and `open-webui`, with proven snapshots of both.
fn two() -> (Stack, PathBuf) {
    let stack = with(SMALL);
    let notes = stack.home().join("ai/notes");
    aidb_testkit::unpack(SMALL, &notes);
    let text = std::fs::read_to_string(stack.settings()).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut guard = document["guards"]["open-webui"].clone();
    guard["data"] = notes.display().to_string().into();
    document["guards"]["notes"] = guard;
    std::fs::write(stack.settings(), document.to_string()).unwrap();
    let _ = stack.run("aidb take").with(0);
    (stack, notes)
}

fn taken(stack: &Stack, guard: &str) -> usize {
    let list = stack
        .run(&format!("aidb list {guard} --json"))
        .with(0)
        .json();
    list["snapshots"].as_array().unwrap().len()
}

#[test]
fn a_hold_of_one_is_the_answer_and_the_others_are_told_too() {
    let (stack, notes) = two();
    damage::empty_database(&notes.join("webui.db"));
    let check = stack.run("aidb check").with(1);
    assert!(check.stdout.contains("hold  notes/chats"), "{check}");
    assert!(check.stdout.contains("ok    open-webui/chats"), "{check}");
    let _ = stack.run("aidb check open").with(0);
    let _ = stack.run("aidb status").with(1);
    let document = stack.run("aidb check --json").with(1).json();
    assert_eq!(document["guards"][0]["verdict"], "hold");
    assert_eq!(document["guards"][1]["verdict"], "pass");
}

#[test]
fn one_that_cannot_be_taken_keeps_no_other_from_being_taken() {
    let (stack, notes) = two();
    std::fs::remove_dir_all(notes).unwrap();
    let take = stack.run("aidb take").with(3);
    assert!(
        take.stderr.contains("cannot take a snapshot of `notes`"),
        "{take}"
    );
    assert_eq!(
        (taken(&stack, "notes"), taken(&stack, "open-webui")),
        (1, 2)
    );
}

/// Busy is not broken: the same call may succeed later (CLI.md: 1 over 3 over 4 over 0).
#[test]
fn one_that_is_busy_makes_the_status_busy_and_a_graver_one_graver() {
    let (stack, notes) = two();
    let lock = std::fs::File::open(stack.vault().join("open-webui/.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let take = stack.run("aidb take --deadline 50ms").with(4);
    assert!(
        take.stderr
            .contains("cannot take a snapshot of `open-webui`"),
        "{take}"
    );
    assert!(take.stderr.contains("is busy"), "{take}");
    assert_eq!(taken(&stack, "notes"), 2);
    let document = stack.run("aidb take --deadline 50ms --json").with(4).json();
    assert_eq!(document["snapshots"].as_array().unwrap().len(), 1);
    std::fs::remove_dir_all(notes).unwrap();
    let _ = stack.run("aidb take --deadline 50ms").with(3);
}

#[test]
fn all_are_brought_back_at_once() {
    let (stack, notes) = two();
    let truth = content(&notes.join("webui.db"));
    for folder in [&notes, &stack.data()] {
        damage::empty_database(&folder.join("webui.db"));
    }
    let _ = stack.run("aidb restore --all").with(0);
    for folder in [&notes, &stack.data()] {
        assert!(content(&folder.join("webui.db")) == truth);
    }
    let _ = stack.run("aidb check").with(0);
}

#[test]
fn all_are_brought_back_to_one_time_or_none_is() {
    let (stack, notes) = two();
    let newer = |folder: &std::path::Path| folder.join("uploads/newer");
    let both = [notes.clone(), stack.data()];
    for folder in &both {
        std::fs::write(newer(folder), "newer").unwrap();
    }
    let taken = |line: &str| {
        let json = stack.run(line).with(0).json();
        let times = json["snapshots"].as_array().unwrap().iter();
        let times = times.map(|s| s["taken_at"].as_str().unwrap().to_owned());
        times.min().unwrap()
    };
    let second = taken("aidb take --json");
    let _ = stack
        .run(&format!("aidb restore --all --before {second}"))
        .with(0);
    assert!(both.iter().all(|folder| !newer(folder).exists()));
    let _ = stack.run("aidb restore --all --before 2999-01-01").with(0);
    assert!(both.iter().all(|folder| newer(folder).exists()));

    // One of them has nothing from before the other's first: half a stack of an earlier time helps nobody.
    let first = std::fs::read_dir(stack.vault().join("open-webui")).unwrap();
    let first = first
        .map(|e| e.unwrap().path())
        .find(|p| p.to_string_lossy().contains("/000001-"));
    std::fs::remove_dir_all(first.unwrap()).unwrap();
    let told = stack
        .run(&format!("aidb restore --all --before {second}"))
        .with(3);
    assert!(
        told.stderr
            .contains("`open-webui` has no proven snapshot from before"),
        "{told}"
    );
    assert!(both.iter().all(|folder| newer(folder).exists()));
}

#[test]
fn a_part_of_a_name_is_enough_if_it_fits_only_one() {
    let (stack, _) = two();
    let _ = stack.run("aidb check open").with(0);
    insta::assert_snapshot!(stack.run("aidb check o"), @"
    --- stderr
    error: `o` is part of several guards: `notes`, `open-webui`
      hint: write the whole name
    --- status 2
    ");
    let _ = stack.run("aidb restore o").with(2);
}
