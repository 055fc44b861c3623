//! The independent copy: made, killed, lost, brought back, and moved to another machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aidb_testkit::{Stack, content, damage};
use rustix::process::Signal;

use crate::killed::{after, interrupted};
use crate::{AIDB, LARGE, SMALL, kept, with};

fn folder(stack: &Stack) -> PathBuf {
    stack.vault().join("open-webui/archive")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What an archive or an export is written as until it is whole.
fn half_made(folder: &Path) -> Vec<String> {
    let mut names = names(folder);
    names.retain(|n| n.starts_with(".new-"));
    names
}

/// Removes every plain snapshot.
fn lose_snapshots(stack: &Stack) {
    for name in names(&stack.vault().join("open-webui")) {
        if name.starts_with('0') {
            std::fs::remove_dir_all(stack.vault().join("open-webui").join(name)).unwrap();
        }
    }
}

#[test]
fn the_newest_proven_snapshot_is_archived_once_and_listed() {
    let stack = with(LARGE);
    insta::assert_snapshot!(stack.run("aidb archive"), @"
    --- stderr
    warn  open-webui: there is no proven snapshot to archive
          take one: BIN/aidb take open-webui
    --- status 3
    ");
    let _ = stack.run("aidb take").with(0);
    let archived = stack.run("aidb archive").with(0);
    assert!(
        archived.stdout.starts_with("archived open-webui/000001-"),
        "{archived}"
    );
    assert!(archived.stdout.contains("9.8 MiB as "), "{archived}");
    insta::assert_snapshot!(stack.run("aidb archive web"), @"
    nothing to do: open-webui/000001-TIME-manual.tar.xz is the newest proven snapshot, and archived
    --- status 0
    ");
    let listed = stack.run("aidb list").with(0);
    assert!(listed.stdout.contains("-manual.tar.xz"), "{listed}");
    let shown = stack.run("aidb show open-webui/1.tar.xz").with(0);
    assert!(shown.stdout.contains("260 chat"), "{shown}");
    let json = stack.run("aidb list --json").json();
    assert_eq!(json["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(json["snapshots"][1]["proven"], true);
    insta::assert_snapshot!(stack.run("aidb verify --read-all"), @"
    ok    open-webui/000001-TIME-manual
    ok    open-webui/000001-TIME-manual.tar.xz
    --- status 0
    ");
}

#[test]
fn the_chats_come_back_from_the_archive_when_nothing_else_is_left() {
    let stack = with(LARGE);
    let database = stack.data().join("webui.db");
    let truth = content(&database);
    let _ = stack.run("aidb take").with(0);
    let _ = stack.run("aidb archive").with(0);
    lose_snapshots(&stack);
    std::fs::remove_dir_all(stack.data()).unwrap();
    let told = stack.run("aidb restore open-webui").with(3);
    let hint = told
        .stderr
        .split('`')
        .find(|w| w.contains("aidb restore open-webui --snapshot"))
        .unwrap();
    let plan = stack
        .run("aidb restore open-webui --snapshot 1.tar.xz --dry-run")
        .with(0);
    assert!(plan.stdout.contains("would restore"), "{plan}");
    assert!(!stack.data().exists());
    let _ = stack.shell(&stack.printed(hint)).with(0);
    assert!(content(&database) == truth, "the restored rows differ");
    assert_eq!(names(&stack.vault().join(".staging")), [".lock"]);
}

#[test]
fn a_snapshot_whose_hashes_fail_names_its_archive() {
    let stack = kept();
    let _ = stack.run("aidb archive").with(0);
    let snapshot = names(&stack.vault().join("open-webui")).remove(1);
    damage::flip_bit(
        &stack
            .vault()
            .join("open-webui")
            .join(snapshot)
            .join("data/webui.db"),
    );
    let told = stack.run("aidb restore open-webui").with(3);
    assert!(
        told.stderr
            .contains("-manual.tar.xz` restores from its archive"),
        "{told}"
    );
    let _ = stack.run("aidb verify").with(1);
    let told = stack.run("aidb restore open-webui").with(3);
    let hint = told
        .stderr
        .split('`')
        .find(|w| w.contains("aidb restore open-webui --snapshot"))
        .unwrap();
    let _ = stack.shell(&stack.printed(hint)).with(0);
}

#[test]
fn one_flipped_bit_in_the_archive_is_found_and_remembered_and_made_good() {
    let stack = kept();
    let _ = stack.run("aidb archive").with(0);
    let archive = folder(&stack).join(names(&folder(&stack)).remove(1));
    damage::flip_bit(&archive);
    let verify = stack.run("aidb verify --read-all").with(1);
    assert!(verify.stdout.contains("hold  open-webui/"), "{verify}");
    let listed = stack.run("aidb list").with(0);
    assert!(listed.stdout.contains("damaged"), "{listed}");
    let _ = stack.run("aidb archive").with(0);
    let _ = stack.run("aidb verify --read-all").with(0);
}

#[test]
fn an_archive_that_is_killed_leaves_whole_ones_only_and_the_next_run_clears_up() {
    let stack = with_noise();
    let mut left_behind = 0;
    for round in 0..8_u64 {
        let by_chance = after(Duration::from_millis(30 + round * 350));
        interrupted(&stack, "aidb-snapshot archive", Signal::KILL, |has_run| {
            if round == 0 {
                !half_made(&folder(&stack)).is_empty()
            } else {
                by_chance(has_run)
            }
        });
        left_behind += half_made(&folder(&stack)).len();
        for archive in names(&folder(&stack))
            .iter()
            .filter(|n| n.starts_with('0') && n.ends_with(".tar.xz"))
        {
            let _ = stack
                .run(&format!("aidb verify open-webui/{archive}"))
                .with(0);
        }
        let listed = stack.run("aidb list --json").with(0).json();
        let snapshots = listed["snapshots"].as_array().unwrap();
        assert!(snapshots.iter().all(|s| s["proven"] == true), "{listed:#}");
    }
    assert!(left_behind > 0, "no run was killed in the middle");
    let _ = stack.run("aidb take").with(0);
    let _ = stack.run("aidb archive").with(0);
    assert_eq!(half_made(&folder(&stack)), [""; 0]);
}

/// What cannot be compressed takes its time.
fn with_noise() -> Stack {
    let stack = with(LARGE);
    let mut noise = vec![0; 12 << 20];
    let mut state = 1_u64;
    for byte in &mut noise {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    std::fs::write(stack.data().join("uploads/noise"), noise).unwrap();
    let _ = stack.run("aidb take").with(0);
    stack
}

#[test]
fn an_export_that_is_killed_is_cleared_up_by_the_next_one_to_that_folder() {
    let stack = with_noise();
    let line = "aidb-snapshot export open-webui one.tar.xz";
    interrupted(&stack, line, Signal::KILL, |_| {
        !half_made(stack.home()).is_empty()
    });
    assert_eq!(half_made(stack.home()).len(), 1);
    let exported = stack.run("aidb export open-webui two.tar.xz").with(0);
    assert!(exported.stderr.contains("cleared `~/.new-"), "{exported}");
    assert_eq!(half_made(stack.home()), [""; 0]);

    let line = "aidb-snapshot archive";
    interrupted(&stack, line, Signal::KILL, |_| {
        !half_made(&folder(&stack)).is_empty()
    });
    std::fs::write(folder(&stack).join(".new-left.tar.xz"), "half").unwrap();
    let pruned = stack.run("aidb prune").with(0);
    assert!(pruned.stderr.contains("cleared `~/vault"), "{pruned}");
    assert_eq!(half_made(&folder(&stack)), [""; 0]);
}

#[test]
fn a_guard_moves_to_another_machine_and_is_proven_anew_there() {
    let (here, there) = (kept(), Stack::new(AIDB));
    let truth = content(&here.data().join("webui.db"));
    let file = here.home().join("moved.tar.xz");
    let exported = here.run("aidb export open-webui moved.tar.xz").with(0);
    assert!(exported.stdout.contains("read back"), "{exported}");
    let _ = here.run("aidb export open-webui moved.tar.xz").with(2);
    let _ = here.run("aidb export open-webui moved").with(2);
    let import = format!("aidb import {}", file.display());
    let imported = there.run(&import).with(0);
    insta::assert_snapshot!(imported, @"
    imported open-webui/000001-TIME-manual  632 KiB, proven
    restore: BIN/aidb restore open-webui
    --- status 0
    ");
    insta::assert_snapshot!(there.run(&import), @"
    nothing to do: open-webui/000001-TIME-manual is here already
    --- status 0
    ");
    let _ = there
        .shell(&there.printed(&imported.commands("restore")[0]))
        .with(0);
    assert!(content(&there.data().join("webui.db")) == truth);
    let _ = there.run("aidb take").with(0);
    assert!(there.run("aidb list").stdout.contains("/000002-"));
}

#[test]
fn a_guard_that_nobody_guards_here_is_restored_to_a_folder_only() {
    let (here, there) = (kept(), Stack::new(AIDB));
    let file = here.home().join("moved.tar.xz");
    let _ = here.run("aidb export open-webui moved.tar.xz").with(0);
    let settings = serde_json::json!({ "schema": 1, "vault": there.vault(),
        "guards": { "other": { "data": there.data(), "preset": "open-webui" } } });
    std::fs::write(there.settings(), settings.to_string()).unwrap();
    let imported = there
        .run(&format!("aidb import {}", file.display()))
        .with(0);
    // Where the other machine had its data is nothing to be written to here.
    let told = there.run("aidb restore open-webui").with(2);
    assert!(told.stderr.contains("--to"), "{told}");
    let _ = there
        .shell(&there.printed(&imported.commands("restore")[0]))
        .with(0);
    assert!(there.home().join("open-webui/webui.db").exists());
    std::fs::remove_file(there.home().join(".local/state/aidb/ledger.db")).unwrap();
    let _ = there.run("aidb restore open-webui").with(2);
}

#[test]
fn two_states_are_compared_by_files_and_rows() {
    let stack = with(SMALL);
    let _ = stack.run("aidb take").with(0);
    insta::assert_snapshot!(stack.run("aidb diff open-webui"), @"
    from open-webui/000001-TIME-manual to the present data
    6 the same
    --- status 0
    ");
    let db = rusqlite::Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute(
        "delete from chat where rowid in (select rowid from chat limit 2)",
        [],
    )
    .unwrap();
    drop(db);
    std::fs::write(stack.data().join("uploads/new.txt"), "new").unwrap();
    let now = stack.run("aidb diff open-webui").with(0);
    insta::assert_snapshot!(now, @"
    from open-webui/000001-TIME-manual to the present data
    rows     14 -> 12  chats chat
    added    3 B       uploads/new.txt
    changed  612 KiB   webui.db
    1 added, 1 changed, 5 the same, 1 table with other rows
    --- status 0
    ");
    let _ = stack.run("aidb take --reason second");
    let _ = stack.run("aidb archive").with(0);
    let json = stack
        .run("aidb diff open-webui/1 open-webui/2 --json")
        .with(0)
        .json();
    assert_eq!(json["files"].as_array().unwrap().len(), 2, "{json:#}");
    assert_eq!(json["tables"][0]["after"], 12, "{json:#}");
    let back = stack.run("aidb diff open-webui/2 open-webui/1").with(0);
    assert!(
        back.stdout.contains("removed") && back.stdout.contains("12 -> 14"),
        "{back}"
    );
}
