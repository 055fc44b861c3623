//! What is said of snapshots: take, prove, list, show, verify, prune.

use std::path::PathBuf;

use aidb_testkit::{Stack, damage, tree_state};

use crate::{LARGE, SMALL, kept, with};

/// Returns the folders of the snapshots, oldest first.
fn folders(stack: &Stack) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(stack.vault().join("open-webui")).unwrap();
    let mut folders: Vec<_> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    folders
}

#[test]
fn nothing_is_kept_of_an_application_that_has_made_no_data_yet() {
    let stack = Stack::new(crate::AIDB);
    std::fs::create_dir_all(stack.data()).unwrap();
    insta::assert_snapshot!(stack.run("aidb take"), @"
    none open-webui  it has no data yet
    --- status 0
    ");
    assert!(!stack.vault().join("open-webui").exists());

    // A first start that failed: its folders, and a database in which no table was ever made.
    std::fs::create_dir_all(stack.data().join("uploads")).unwrap();
    std::fs::write(stack.data().join("webui.db"), "").unwrap();
    for verb in ["take --reason stop --unproven", "prove"] {
        let _ = stack.run(&format!("aidb {verb}")).with(0);
    }
    assert!(!stack.vault().join("open-webui").exists());

    // What a person put there is kept; without its database it is refused, as it must be.
    std::fs::write(stack.data().join("uploads/a.txt"), "mine").unwrap();
    let ran = stack.run("aidb take").with(1);
    assert!(ran.stdout.contains("NOT PROVEN"), "{ran}");
}

#[test]
fn an_emptied_folder_of_known_data_is_not_taken_for_a_new_one() {
    let stack = with(SMALL);
    let _ = stack.run("aidb take").with(0);
    for entry in std::fs::read_dir(stack.data()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
    let ran = stack.run("aidb take").with(1);
    assert!(ran.stdout.contains("NOT PROVEN"), "{ran}");
}

#[test]
fn a_snapshot_is_taken_listed_and_shown() {
    let stack = with(LARGE);
    insta::assert_snapshot!(stack.run("aidb list"), @"
    no snapshots in `~/vault`
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb take --reason evening"), @"
    kept open-webui/000001-TIME-evening  11 files, 9.8 MiB, SIZE written, proven, in TIME
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb list"), @"
    SNAPSHOT                                    TAKEN                       STATE   SIZE     ROWS
    open-webui/000001-TIME-evening  DATE  just now  proven  9.8 MiB  260 chat, 4 user
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb show open-webui"), @"
    snapshot         open-webui/000001-TIME-evening
    taken            DATE (evening)
    state            proven
    schema revision  0bd252b206fb
    files            11 files, 9.8 MiB
    folder           ~/vault/open-webui/000001-TIME-evening
    chats (full check): 1 alembic_version, 4 auth, 260 chat, 1866 chat_message, 4 config, 10 file, 4 memory, 5 tag, 4 user
    uploads (bytes check)
    SIZE      MODE  PATH
    folder    0755  uploads
    9.7 MiB   0644  webui.db
    10.6 KiB  0644  uploads/023bca15-a1d6-4191-a23e-b9670b443347_notes-4.md
    10.7 KiB  0644  uploads/0a1e8fb2-2410-4583-953c-81bf603c28d2_notes-9.md
    10.5 KiB  0644  uploads/0e93c631-e051-474b-9a0f-bb185a55c7c7_notes-8.md
    10.5 KiB  0644  uploads/38b936dc-ac45-4369-b20b-ac16bc231656_notes-7.md
    10.5 KiB  0644  uploads/6b0404f2-b094-40b8-ab01-a1c12a3a2107_notes-0.md
    1.4 KiB   0644  uploads/881c6909-a176-4b14-b666-c4b76253f9c2_notes-3.md
    1.5 KiB   0644  uploads/9b13f07b-be32-4cad-824a-024d8d10a64a_notes-2.md
    4.3 KiB   0644  uploads/ac7016d7-8bca-4b8e-bcdc-442413f48823_notes-5.md
    1.4 KiB   0644  uploads/d96f7584-c84e-4d9a-935c-feac4272c05f_notes-1.md
    4.2 KiB   0644  uploads/dfe6beb7-c66a-4380-833d-ef29acd4d0e5_notes-6.md
    --- status 0
    ");
}

#[test]
fn an_unproven_snapshot_is_proven_later() {
    let stack = with(LARGE);
    insta::assert_snapshot!(stack.run("aidb take --unproven --reason stop open-webui"), @"
    kept open-webui/000001-TIME-stop  12 files, 13.6 MiB, SIZE written, not proven yet, in TIME
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb show open-webui"), @"
    --- stderr
    error: `open-webui` has no proven snapshot
      hint: `BIN/aidb list open-webui` shows what there is
    --- status 2
    ");
    insta::assert_snapshot!(stack.run("aidb verify"), @"
    there is no proven snapshot to verify
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb prove"), @"
    proven  open-webui/000001-TIME-stop
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb prove"), @"
    nothing waits to be proven
    --- status 0
    ");
    insta::assert_snapshot!(stack.run("aidb verify"), @"
    ok    open-webui/000001-TIME-stop
    --- status 0
    ");
}

#[test]
fn one_flipped_bit_in_the_vault_is_found() {
    let stack = kept();
    damage::flip_bit(&folders(&stack)[0].join("data/webui.db"));
    insta::assert_snapshot!(stack.run("aidb verify"), @"
    hold  open-webui/000001-TIME-manual  1 of 5 files differ from the manifest: `webui.db`  [snapshot.hash]
    --- status 1
    ");
    let damaged = tree_state(&stack.data());
    let by_default = stack.run("aidb restore open-webui").with(3);
    assert!(
        by_default.stderr.contains("has no proven snapshot"),
        "{by_default}"
    );
    let restore = stack.run("aidb restore open-webui --snapshot 1").with(3);
    assert!(restore.stderr.contains("webui.db"), "{restore}");
    assert_eq!(
        tree_state(&stack.data()),
        damaged,
        "nothing was replaced by it"
    );
}

#[test]
fn a_file_that_is_gone_from_the_vault_is_found() {
    let stack = kept();
    let uploads = folders(&stack)[0].join("data/uploads");
    let upload = std::fs::read_dir(uploads)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::remove_file(upload).unwrap();
    let verify = stack.run("aidb verify").with(1);
    assert!(verify.stdout.contains("1 of "), "{verify}");
}

#[test]
fn a_folder_without_a_whole_manifest_is_no_snapshot() {
    let stack = kept();
    let _ = stack.run("aidb take --reason second").with(0);
    let manifest = folders(&stack)[1].join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    let list = stack.run("aidb list").with(0);
    assert!(
        list.stdout.contains("-manual") && !list.stdout.contains("-second"),
        "{list}"
    );
    // Its number is not given twice.
    let _ = stack.run("aidb take --reason third").with(0);
    assert!(stack.run("aidb list").stdout.contains("/000003-"));
}

#[test]
fn a_damaged_source_is_kept_but_never_proven() {
    let stack = kept();
    damage::overwrite_middle(&stack.data().join("webui.db"));
    let take = stack.run("aidb take --reason damaged").with(1);
    assert!(take.stdout.contains("NOT PROVEN"), "{take}");
    insta::assert_snapshot!(stack.run("aidb list"), @"
    SNAPSHOT                                    TAKEN                       STATE    SIZE     ROWS
    open-webui/000001-TIME-manual   DATE  just now  proven   632 KiB  14 chat, 4 user
    open-webui/000002-TIME-damaged  DATE  just now  refused  632 KiB
    --- status 0
    ");
    let plan = stack.run("aidb restore open-webui --dry-run").with(0);
    assert!(plan.stdout.contains("/000001-"), "{plan}");
}

#[test]
fn prune_says_why_and_removes_only_without_dry_run() {
    let stack = with(SMALL);
    let text = std::fs::read_to_string(stack.settings()).unwrap();
    let keep = r#"{"keep":{"last":2,"daily":1,"weekly":1,"monthly":1},"#;
    std::fs::write(stack.settings(), text.replacen('{', keep, 1)).unwrap();
    for n in 1..=4 {
        std::fs::write(stack.data().join("uploads/note"), format!("{n}")).unwrap();
        let _ = stack.run(&format!("aidb take --reason n{n}")).with(0);
    }
    let before = tree_state(&stack.vault());
    let plan = stack.run("aidb prune --dry-run").with(0);
    let lines: Vec<_> = plan
        .stdout
        .lines()
        .map(|l| l.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(lines, ["drop", "drop", "keep", "keep"], "{plan}");
    assert!(plan.stdout.contains("newest proven"), "{plan}");
    assert!(
        tree_state(&stack.vault()) == before,
        "a dry run changes nothing"
    );
    assert_eq!(stack.run("aidb prune").with(0).stdout, plan.stdout);
    assert_eq!(folders(&stack).len(), 2);
    let _ = stack.run("aidb verify").with(0);
    let _ = stack.run("aidb restore open-webui").with(0);
}

#[test]
fn the_newest_proven_snapshot_outlives_any_number_of_bad_ones() {
    let stack = kept();
    damage::overwrite_middle(&stack.data().join("webui.db"));
    for _ in 0..6 {
        let _ = stack.run("aidb take --reason bad").with(1);
    }
    let _ = stack.run("aidb prune").with(0);
    let left = folders(&stack);
    assert!(left.len() < 7, "{left:?}");
    assert!(left[0].join("proof.json").exists(), "{left:?}");
    let _ = stack.run("aidb restore open-webui").with(0);
    let _ = stack.run("aidb check").with(0);
}

#[test]
fn a_snapshot_that_is_not_there_is_wrong_usage() {
    let stack = kept();
    insta::assert_snapshot!(stack.run("aidb show open-webui/9"), @"
    --- stderr
    error: `open-webui` has no snapshot `9`; nearest: `000001-TIME-manual`
      hint: `BIN/aidb list open-webui` shows what there is
    --- status 2
    ");
    insta::assert_snapshot!(stack.run("aidb restore open-webui --snapshot 9"), @"
    --- stderr
    error: `open-webui` has no snapshot `9`; nearest: `000001-TIME-manual`
      hint: `BIN/aidb list open-webui` shows what there is
    --- status 2
    ");
}

#[test]
fn snapshots_whose_files_are_gone_push_no_whole_one_out() {
    let stack = with(SMALL);
    for title in ["1", "2", "3", "4", "5"] {
        let db = rusqlite::Connection::open(stack.data().join("webui.db")).unwrap();
        db.execute("update chat set title = ?", [title]).unwrap();
        drop(db);
        let _ = stack.run("aidb take").with(0);
    }
    let guard = stack.vault().join("open-webui");
    for entry in std::fs::read_dir(&guard).unwrap() {
        let snapshot = entry.unwrap().path();
        let name = snapshot.file_name().unwrap().to_string_lossy().into_owned();
        if ["000003", "000004", "000005"]
            .iter()
            .any(|n| name.starts_with(n))
        {
            std::fs::remove_file(snapshot.join("data/webui.db")).unwrap();
        }
    }
    let pruned = stack.run("aidb prune").with(0);
    assert!(
        pruned.stdout.contains("keep  open-webui/000002-"),
        "{pruned}"
    );
    let _ = stack.run("aidb restore open-webui --snapshot 2").with(0);
}
