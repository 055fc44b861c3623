//! Restores of mount points, in a mount namespace of our own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::OFlags;

use crate::capture::walk::Root;
use crate::vault::restore::*;

use super::bench::*;
/// Set in the process that runs a test again, in a mount namespace of its own.
const INNER: &str = "AIDB_TEST_IN_OWN_MOUNTS";

/// Runs the named test again inside `unshare`; returns whether this is that inner run.
fn in_own_mounts(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let unshare = ["--map-root-user", "--mount"];
    let possible = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", "mount -t tmpfs none /mnt"])
        .output()
        .is_ok_and(|o| o.status.success());
    if !possible {
        eprintln!("SKIPPED: no mounts in a namespace of our own here; only simulated");
        return false;
    }
    let inner = Command::new("unshare")
        .args(unshare)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inner.stdout);
    assert!(
        inner.status.success() && said.contains("1 passed"),
        "{inner:?}"
    );
    false
}

fn mount(arguments: &[&OsStr]) {
    let status = Command::new("mount").args(arguments).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_mount_point_is_restored_entry_by_entry_and_undone() {
    let name = "vault::restore::tests::mounts::a_mount_point_is_restored_entry_by_entry_and_undone";
    if !in_own_mounts(name) {
        return;
    }
    let bench = bench();
    let data = bench.data().as_os_str().to_owned();
    mount(
        &["-t", "tmpfs", "none"]
            .map(OsStr::new)
            .into_iter()
            .chain([&*data])
            .collect::<Vec<_>>(),
    );
    bench.put("webui.db", "good");
    bench.put("models/blobs/b", "b");
    bench.put("empty/x", "x");
    let snapshot = bench.take(1);
    let good = show(bench.data());
    bench.put("webui.db", "bad");
    bench.put("new", "new");
    bench.put("cache/c", "c");
    let bad = show(bench.data());
    let planned = plan(&bench.guard, &snapshot, &[]).unwrap();
    assert_eq!(planned.method, Method::EntryByEntry);
    let restored = bench.restore(&snapshot, &[]).unwrap();
    let aside = restored.put_aside.unwrap();
    assert_eq!(aside.parent(), Some(bench.data()));
    let mut now = show(bench.data());
    // The capture knew no folder `cache`, so all of it went aside but what is excluded in it.
    now.retain(|path, _| !path.starts_with("cache"));
    assert_eq!(now, good);
    assert!(bench.data().join("cache/c").exists());
    bench.undo().unwrap();
    let names = |tree: BTreeMap<PathBuf, String>| tree.into_keys().collect::<Vec<_>>();
    assert_eq!(names(show(bench.data())), names(bad));
    assert_eq!(
        std::fs::read(bench.data().join("webui.db")).unwrap(),
        b"bad"
    );
}

#[test]
fn a_folder_with_a_mount_inside_is_refused() {
    let name = "vault::restore::tests::mounts::a_folder_with_a_mount_inside_is_refused";
    if !in_own_mounts(name) {
        return;
    }
    let bench = bench();
    bench.put("a", "a");
    let snapshot = bench.take(1);
    std::fs::create_dir(bench.data().join("disk")).unwrap();
    let disk = bench.data().join("disk");
    mount(
        &["-t", "tmpfs", "none"]
            .map(OsStr::new)
            .into_iter()
            .chain([disk.as_os_str()])
            .collect::<Vec<_>>(),
    );
    let what = could_not(bench.restore(&snapshot, &[]));
    assert!(
        what.ends_with("is mounted inside the data folder"),
        "{what}"
    );
    // A folder that is bound onto itself is a mount point on the filesystem of its parent.
    std::fs::create_dir(bench.data().parent().unwrap().join("x")).unwrap();
    Command::new("umount").arg(&disk).status().unwrap();
    mount(&[
        OsStr::new("--bind"),
        bench.data().as_os_str(),
        bench.data().as_os_str(),
    ]);
    bench.restore(&snapshot, &[]).unwrap();
    let root = Root::open(bench.data()).unwrap();
    assert!(root.open_at(Path::new("a"), OFlags::RDONLY).is_ok());
}
