//! Data folders that are Btrfs subvolumes.

use std::path::{Path, PathBuf};
use std::process::Command;

use aidb_testkit::disk::Disk;
use aidb_testkit::left_out;

use crate::vault::restore::step::faults;
use crate::vault::restore::subvolume::is_subvolume;
use crate::vault::restore::*;

use super::bench::*;

const WHAT: &str = "a data folder that is a Btrfs subvolume";

fn disk() -> Option<Disk> {
    let disk = Disk::new("btrfs", 256, WHAT)?;
    if btrfs().is_none() {
        left_out(WHAT, "`btrfs` is not installed");
        return None;
    }
    Some(disk)
}

fn btrfs() -> Option<PathBuf> {
    let places = [
        "/usr/bin/btrfs",
        "/bin/btrfs",
        "/run/current-system/sw/bin/btrfs",
    ];
    places.map(PathBuf::from).into_iter().find(|p| p.is_file())
}

/// A guard whose data folder is a subvolume, with a snapshot of `good` and `bad` in its place.
fn in_subvolume(disk: &Disk) -> (Bench, Snapshot) {
    let bench = bench_in(&disk.path());
    std::fs::remove_dir(bench.data()).unwrap();
    let made = Command::new(btrfs().unwrap())
        .args(["subvolume", "create"])
        .arg(bench.data())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    bench.put("webui.db", "good");
    bench.put("uploads/a", "a");
    std::fs::create_dir(bench.data().join("cache")).unwrap();
    let snapshot = bench.take(1);
    bench.put("webui.db", "bad");
    bench.put("cache/c", "cached");
    (bench, snapshot)
}

fn restore_by(btrfs: Option<PathBuf>, bench: &Bench, snapshot: &Snapshot) -> Result<Restored> {
    let options = Options {
        btrfs,
        ..Options::default()
    };
    restore(&bench.vault, &bench.guard, snapshot, &options)
}

fn read(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("webui.db")).unwrap()
}

/// snapper and btrbk work by subvolume: one that came back as a plain folder was covered by neither any more, and nobody
/// was told.
#[test]
fn a_subvolume_comes_back_as_one_and_undo_brings_the_old_one_back() {
    let Some(disk) = disk() else { return };
    let (bench, snapshot) = in_subvolume(&disk);
    let before = subvolume::id(bench.data()).unwrap();
    let restored = restore_by(btrfs(), &bench, &snapshot).unwrap();
    assert_eq!(restored.notes, [""; 0]);
    let aside = restored.put_aside.unwrap();
    assert!(is_subvolume(bench.data()) && is_subvolume(&aside));
    assert_eq!(subvolume::id(&aside).unwrap(), before);
    assert_eq!((&*read(bench.data()), &*read(&aside)), ("good", "bad"));
    assert!(bench.data().join("cache/c").exists());
    bench.undo().unwrap();
    assert_eq!(subvolume::id(bench.data()).unwrap(), before);
    assert_eq!(read(bench.data()), "bad");
}

#[test]
fn without_the_program_a_plain_folder_comes_back_and_that_is_said() {
    let Some(disk) = disk() else { return };
    for program in [None, Some("/bin/false".into())] {
        let (bench, snapshot) = in_subvolume(&disk);
        let restored = restore_by(program, &bench, &snapshot).unwrap();
        assert!(!is_subvolume(bench.data()));
        assert_eq!(read(bench.data()), "good");
        let [note] = &restored.notes[..] else {
            panic!("{restored:?}")
        };
        assert!(note.contains("was a Btrfs subvolume"), "{note}");
    }
}

/// All subvolumes have one inode, by which an exchange that was killed once was told from its put-aside: the former data
/// would have been cleared away as a half-made restore.
#[test]
fn an_exchange_of_subvolumes_that_is_killed_at_any_late_step_loses_nothing() {
    const LATE_STEPS: u64 = 8;
    let Some(disk) = disk() else { return };
    let steps = {
        let (bench, snapshot) = in_subvolume(&disk);
        faults::plan(faults::Plan::default());
        restore_by(btrfs(), &bench, &snapshot).unwrap();
        faults::clear()
    };
    let mut ends = std::collections::BTreeSet::new();
    for at in steps - LATE_STEPS..steps {
        let (bench, snapshot) = in_subvolume(&disk);
        faults::plan(faults::Plan {
            at: Some(at),
            killed: true,
            refuse: None,
        });
        let _ = restore_by(btrfs(), &bench, &snapshot);
        faults::clear();
        finish(&bench.vault, &bench.guard).unwrap();
        let asides = put_aside::list(&bench.guard).unwrap();
        let kept: Vec<String> = asides.iter().map(|a| read(&a.path)).collect();
        let now = read(bench.data());
        match &*now {
            "bad" => assert_eq!(kept, [""; 0], "step {at}"),
            _ => assert_eq!(kept, ["bad"], "step {at}"),
        }
        assert!(is_subvolume(bench.data()), "step {at}");
        ends.insert(now);
        restore_by(btrfs(), &bench, &snapshot).unwrap();
        let beside = std::fs::read_dir(bench.data().parent().unwrap()).unwrap();
        let mut names = beside.map(|e| e.unwrap().file_name().into_string().unwrap());
        assert!(!names.any(|name| name.starts_with('.')), "step {at}");
    }
    assert_eq!(
        ends.len(),
        2,
        "it was killed on one side of the exchange only"
    );
}
