//! Restores and undoings of which each step fails, alone or as the last before a kill.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::vault::restore::put_aside::Extent;
use crate::vault::restore::step::faults;
use crate::vault::restore::*;

use super::bench::*;
/// A data folder with a database, a folder and an excluded one, before and after the damage.
fn old_and_new() -> (Bench, Snapshot) {
    let bench = bench();
    bench.put("webui.db", "SQLite format 3\0 good");
    bench.put("webui.db-wal", "good wal");
    bench.put("uploads/a", "good a");
    bench.put("uploads/same", "same");
    bench.put("manifests/m", "m");
    std::fs::create_dir(bench.data().join("cache")).unwrap();
    let snapshot = bench.take(1);
    bench.put("webui.db", "SQLite format 3\0 bad");
    bench.put("webui.db-wal", "bad wal");
    bench.put("webui.db-shm", "bad shm");
    bench.put("uploads/a", "bad a");
    bench.put("uploads/new", "new");
    bench.put("cache/c", "cached");
    (bench, snapshot)
}

/// Returns what data and put-asides hold together, as contents: nothing of it may ever be lost.
fn all_states(bench: &Bench) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
    let mut states = vec![contents(bench.data())];
    for aside in put_aside::list(&bench.guard).unwrap() {
        let folder = match aside.extent {
            Extent::Folder => aside.path,
            _ => aside.path.join("data"),
        };
        states.push(contents(&folder));
    }
    states
}

/// Checks that a database never lies beside a companion of the other state.
fn check_pair(data: &Path) {
    let read = |name: &str| std::fs::read_to_string(data.join(name)).ok();
    if let (Some(main), Some(wal)) = (read("webui.db"), read("webui.db-wal")) {
        assert_eq!(main.contains("good"), wal.contains("good"), "{main}, {wal}");
    }
}

/// Checks that nothing is listed as put aside of which nothing is left: it promised a way back that was gone.
fn no_emptied_one_is_listed(bench: &Bench, step: &str) {
    for aside in put_aside::list(&bench.guard).unwrap() {
        let data = match aside.extent {
            Extent::Folder => aside.path,
            _ => aside.path.join("data"),
        };
        assert_ne!(contents(&data).len(), 0, "{step}: `{}`", data.display());
    }
}

/// Lets each step of `act` fail, alone or as the last before a kill, and checks what is left after `finish`.
fn at_every_step(
    refuse: Option<(&'static str, Errno)>,
    prepare: impl Fn() -> (Bench, Snapshot),
    act: impl Fn(&Bench, &Snapshot) -> Result<()>,
) {
    let planned = |at, killed| faults::Plan { at, killed, refuse };
    let (bench, snapshot) = prepare();
    let old = all_states(&bench);
    faults::plan(planned(None, false));
    act(&bench, &snapshot).unwrap();
    let steps = faults::clear();
    let new = all_states(&bench);
    assert_ne!(old, new);
    assert!(steps > 5, "{steps} steps");
    for killed in [false, true] {
        for at in 0..steps {
            let (bench, snapshot) = prepare();
            faults::plan(planned(Some(at), killed));
            let result = act(&bench, &snapshot);
            faults::clear();
            let step = format!("step {at} of {steps}, killed: {killed}, {result:?}");
            let intent = intent::Intent::file(&bench.vault, &bench.guard);
            if !intent.exists() {
                // Without an intent the data folder is whole at this very moment.
                let now = contents(bench.data());
                assert!(now == old[0] || now == new[0], "{step}: {now:?}");
            }
            check_pair(bench.data());
            no_emptied_one_is_listed(&bench, &step);
            finish(&bench.vault, &bench.guard).unwrap();
            let states = all_states(&bench);
            assert!(states == old || states == new, "{step}: {states:#?}");
            assert!(!intent.exists());
            assert_eq!(finish(&bench.vault, &bench.guard).unwrap(), None);
            // The next attempt works, and leaves nothing half-made.
            if states == old {
                act(&bench, &snapshot).unwrap();
            }
            assert_eq!(contents(bench.data()), new[0], "{step}");
            let beside = std::fs::read_dir(bench.data().parent().unwrap()).unwrap();
            let mut names = beside.map(|e| e.unwrap().file_name());
            assert!(!names.any(|n| n.as_bytes().starts_with(b".")), "{step}");
        }
    }
}

fn whole(bench: &Bench, snapshot: &Snapshot) -> Result<()> {
    bench.restore(snapshot, &[]).map(drop)
}

#[test]
fn an_exchange_that_fails_or_is_killed_at_any_step_leaves_the_old_or_the_new_state() {
    at_every_step(None, old_and_new, whole);
}

#[test]
fn a_restore_entry_by_entry_that_fails_or_is_killed_at_any_step_loses_nothing() {
    at_every_step(Some(("exchange", Errno::BUSY)), old_and_new, whole);
}

#[test]
fn a_restore_inside_the_folder_that_fails_or_is_killed_at_any_step_loses_nothing() {
    let refuse = Some(("make staging beside", Errno::ACCESS));
    at_every_step(refuse, old_and_new, whole);
}

#[test]
fn a_restore_of_chosen_paths_that_fails_or_is_killed_at_any_step_loses_nothing() {
    at_every_step(None, old_and_new, |bench, snapshot| {
        bench
            .restore(snapshot, &["webui.db", "uploads/a"])
            .map(drop)
    });
}

#[test]
fn an_undo_that_fails_or_is_killed_at_any_step_loses_nothing() {
    let entries: &[&str] = &["webui.db", "uploads/a"];
    for refuse in [None, Some(("make staging beside", Errno::ACCESS))] {
        for only in [&[], entries] {
            if refuse.is_none() && only.is_empty() {
                continue;
            }
            let prepare = || {
                let (bench, snapshot) = old_and_new();
                faults::plan(faults::Plan {
                    refuse,
                    ..faults::Plan::default()
                });
                bench.restore(&snapshot, only).unwrap();
                faults::clear();
                (bench, snapshot)
            };
            at_every_step(None, prepare, |bench, _| bench.undo().map(drop));
        }
    }
}

#[test]
fn an_undo_of_an_exchange_that_is_killed_leaves_both_states() {
    for at in 0..5 {
        let (bench, snapshot) = old_and_new();
        bench.restore(&snapshot, &[]).unwrap();
        let mut before = all_states(&bench);
        faults::plan(faults::Plan {
            at: Some(at),
            killed: true,
            refuse: None,
        });
        let _ = bench.undo();
        faults::clear();
        finish(&bench.vault, &bench.guard).unwrap();
        let mut after = all_states(&bench);
        before.sort();
        after.sort();
        assert_eq!(before, after, "step {at}");
    }
}

#[test]
fn what_an_application_made_in_the_middle_is_kept_and_spoils_no_database() {
    let killed_at = |at| {
        let (bench, snapshot) = old_and_new();
        faults::plan(faults::Plan {
            at: Some(at),
            killed: true,
            refuse: Some(("exchange", Errno::BUSY)),
        });
        let result = bench.restore(&snapshot, &[]);
        faults::clear();
        assert!(result.is_err(), "the moment between was never met");
        let intent = intent::Intent::file(&bench.vault, &bench.guard);
        let between = intent.exists() && !bench.data().join("webui.db").exists();
        between.then_some(bench)
    };
    let bench = (0..).find_map(killed_at).unwrap();
    bench.put("webui.db", "SQLite format 3\0 intruder");
    bench.put("webui.db-journal", "intruding journal");
    let finished = finish(&bench.vault, &bench.guard).unwrap().unwrap();
    let read = |name: &str| std::fs::read_to_string(bench.data().join(name)).ok();
    assert_eq!(read("webui.db").as_deref(), Some("SQLite format 3\0 good"));
    assert_eq!(read("webui.db-wal").as_deref(), Some("good wal"));
    assert_eq!(read("webui.db-journal"), None);
    let late = finished.put_aside.join("late-1/webui.db-journal");
    assert_eq!(std::fs::read(late).unwrap(), b"intruding journal");
    let old = finished.put_aside.join("data/webui.db");
    assert_eq!(std::fs::read(old).unwrap(), b"SQLite format 3\0 bad");
}

#[test]
fn an_intent_whose_disk_is_not_mounted_waits_for_it() {
    let killed_at = |at| {
        let (bench, snapshot) = old_and_new();
        faults::plan(faults::Plan {
            at: Some(at),
            killed: true,
            refuse: Some(("make staging beside", Errno::ACCESS)),
        });
        let _ = bench.restore(&snapshot, &[]);
        faults::clear();
        let between = !bench.data().join("webui.db").exists();
        between.then_some(bench)
    };
    let bench = (0..).find_map(killed_at).unwrap();
    let disk = bench.folder.path().join("disk");
    std::fs::rename(bench.data(), &disk).unwrap();
    std::fs::create_dir(bench.data()).unwrap();
    let error = finish(&bench.vault, &bench.guard).unwrap_err();
    assert!(matches!(error, Error::CouldNot { .. }), "{error:?}");
    assert_eq!(std::fs::read_dir(bench.data()).unwrap().count(), 0);
    std::fs::remove_dir(bench.data()).unwrap();
    std::fs::rename(&disk, bench.data()).unwrap();
    finish(&bench.vault, &bench.guard).unwrap().unwrap();
    let main = std::fs::read_to_string(bench.data().join("webui.db")).unwrap();
    assert!(main.contains("good"));
}

#[test]
fn an_intent_that_cannot_be_understood_is_said_and_kept() {
    let (bench, snapshot) = old_and_new();
    let file = intent::Intent::file(&bench.vault, &bench.guard);
    std::fs::write(&file, "{}").unwrap();
    let before = show(bench.data());
    let what = could_not(bench.restore(&snapshot, &[]));
    assert!(what.contains("an unfinished restore"), "{what}");
    assert!(file.exists());
    assert_eq!(show(bench.data()), before);
}

#[test]
fn a_folder_that_may_not_be_written_moves_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let bench = bench();
    let folder = bench.data().join("read-only");
    let lock = || std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o555)).unwrap();
    bench.put("read-only/file", "good");
    lock();
    let snapshot = bench.take(1);
    let before = show(bench.data());
    for refuse in [
        ("exchange", Errno::BUSY),
        ("make staging beside", Errno::ACCESS),
    ] {
        faults::plan(faults::Plan {
            refuse: Some(refuse),
            ..faults::Plan::default()
        });
        bench.restore(&snapshot, &[]).unwrap();
        faults::clear();
        assert_eq!(show(bench.data()), before);
        bench.undo().unwrap();
        assert_eq!(show(bench.data()), before);
    }
}
