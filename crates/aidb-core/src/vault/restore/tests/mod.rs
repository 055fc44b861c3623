//! Restores of real files: round trips, refusals, and every step failing or being the last.

pub mod bench;
mod killed;
mod mounts;
mod subvolumes;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, XattrFlags, fgetxattr, fsetxattr};

use crate::manifest::{Entry, Kind};
use crate::vault::restore::put_aside::Extent;
use crate::vault::restore::*;

use self::bench::*;
/// Every kind of entry that a snapshot keeps, with odd names, modes and times.
pub fn fill_with_everything(data: &Path) {
    put(data, "webui.db", "chats");
    put(data, "uploads/a b.pdf", "a");
    put(data, "read-only/file", "r");
    std::fs::create_dir_all(data.join("empty/empty")).unwrap();
    let odd = OsStr::from_bytes(b"odd\n\xff'\"\\ name");
    std::fs::write(data.join(odd), "odd").unwrap();
    std::fs::hard_link(data.join("webui.db"), data.join("uploads/same")).unwrap();
    symlink("../../etc/passwd", data.join("uploads/link")).unwrap();
    symlink("uploads", data.join("loop")).unwrap();
    let sparse = std::fs::File::create(data.join("sparse")).unwrap();
    sparse.write_all_at(b"tail", 64 << 20).unwrap();
    let noted = std::fs::File::options()
        .write(true)
        .open(data.join("uploads/a b.pdf"))
        .unwrap();
    if fsetxattr(&noted, "user.note", b"\0seen", XattrFlags::empty()).is_err() {
        eprintln!("SKIPPED: this filesystem has no user attributes");
    }
    let set_mode = |path: &str, mode| {
        std::fs::set_permissions(data.join(path), PermissionsExt::from_mode(mode))
    };
    for (path, mode) in [
        ("webui.db", 0o640),
        ("read-only/file", 0o400),
        ("read-only", 0o555),
        ("empty/empty", 0o711),
    ] {
        set_mode(path, mode).unwrap();
    }
    if let Err(e) = set_mode("empty/empty", 0o2711) {
        // Nix lets no builder set it.
        assert_eq!(e.kind(), std::io::ErrorKind::PermissionDenied);
        eprintln!("SKIPPED: nobody may set the setgid bit here");
    }
    set_time(&data.join("webui.db"), 1_000_000_000_123_456_789);
    set_time(&data.join("sparse"), -1_500_000_000);
    set_time(&data.join("uploads/link"), 5_000_000_007);
    set_time(&data.join("empty/empty"), 42);
    set_time(&data.join("empty"), 43);
    set_time(&data.join("uploads"), 44_000_000_001);
}

#[test]
fn a_tree_with_everything_comes_back_as_it_was_and_undo_brings_the_other_one_back() {
    let bench = bench();
    fill_with_everything(bench.data());
    std::fs::set_permissions(bench.data(), PermissionsExt::from_mode(0o750)).unwrap();
    rustix::fs::mkfifoat(CWD, bench.data().join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let good = {
        let mut good = show(bench.data());
        good.remove(Path::new("pipe"));
        good
    };
    let snapshot = bench.take(7);
    std::fs::remove_dir_all(bench.data().join("uploads")).unwrap();
    bench.put("webui.db", "empty");
    bench.put("new", "new");
    bench.put("cache/models/m", "model");
    let bad = show(bench.data());

    let plan = plan(&bench.guard, &snapshot, &[]).unwrap();
    assert_eq!(plan.method, Method::Exchange);
    let restored = bench.restore(&snapshot, &[]).unwrap();
    assert_eq!((restored.files, plan.files), (5, 5));
    assert_eq!(restored.size_bytes, plan.size_bytes);
    assert_eq!(restored.carried_over, [Path::new("cache")]);
    assert_eq!(plan.carried_over, restored.carried_over);
    assert_eq!(restored.special_skipped, [Path::new("pipe")]);
    assert_eq!(restored.notes, [""; 0]);

    let mut now = show(bench.data());
    now.retain(|path, _| !path.starts_with("cache"));
    assert_eq!(now, good);
    let time = |path: &str| std::fs::metadata(bench.data().join(path)).unwrap();
    assert_eq!(time("empty").mtime_nsec(), 43);
    assert_eq!(time("uploads").mtime_nsec(), 1);
    assert!(time("sparse").blocks() * 512 < 1 << 20);
    assert_eq!(time("webui.db").ino(), time("uploads/same").ino());
    assert_eq!(time("").mode() & 0o7777, 0o750);
    let cached = std::fs::read(bench.data().join("cache/models/m")).unwrap();
    assert_eq!(cached, b"model");
    let noted = std::fs::File::open(bench.data().join("uploads/a b.pdf")).unwrap();
    let mut value = [0; 8];
    if let Ok(length) = fgetxattr(&noted, "user.note", &mut value[..]) {
        assert_eq!(&value[..length], b"\0seen");
    }

    // The model has one more name now, where the filesystem shares no blocks.
    let names = |tree: &BTreeMap<PathBuf, String>| tree.keys().cloned().collect::<Vec<_>>();
    let aside = restored.put_aside.unwrap();
    assert_eq!(names(&show(&aside)), names(&bad));
    let before = contents(bench.data());
    let undone = bench.undo().unwrap();
    assert_eq!(undone.now.path, aside);
    assert_eq!(names(&show(bench.data())), names(&bad));
    assert_eq!(
        std::fs::read(bench.data().join("webui.db")).unwrap(),
        b"empty"
    );
    let second = undone.put_aside.unwrap();
    assert_eq!(contents(&second), before);
    assert_eq!(put_aside::list(&bench.guard).unwrap().len(), 1);
    bench.undo().unwrap();
    assert_eq!(contents(bench.data()), before);
}

#[test]
fn a_missing_folder_is_made_with_its_parents_and_a_linked_one_is_restored_where_it_is() {
    let bench = bench();
    bench.put("webui.db", "chats");
    let snapshot = bench.take(1);
    let home = bench.data().parent().unwrap().to_owned();
    std::fs::remove_dir_all(&home).unwrap();
    let restored = bench.restore(&snapshot, &[]).unwrap();
    assert_eq!(restored.put_aside, None);
    let made = std::fs::metadata(bench.data()).unwrap();
    assert_eq!(made.mode() & 0o7777, 0o700);

    std::fs::rename(bench.data(), home.join("elsewhere")).unwrap();
    symlink("elsewhere", bench.data()).unwrap();
    put(&home, "elsewhere/webui.db", "bad");
    let aside = bench.restore(&snapshot, &[]).unwrap().put_aside.unwrap();
    assert!(bench.data().is_symlink());
    assert!(
        aside
            .file_name()
            .unwrap()
            .as_bytes()
            .starts_with(b"elsewhere.aidb-before-")
    );
    assert_eq!(
        std::fs::read(bench.data().join("webui.db")).unwrap(),
        b"chats"
    );

    std::fs::remove_file(bench.data()).unwrap();
    std::fs::write(bench.data(), "a file").unwrap();
    assert!(could_not(bench.restore(&snapshot, &[])).ends_with("is no folder"));
}

#[test]
fn files_that_differ_from_the_manifest_are_named_and_nothing_is_changed() {
    let bench = bench();
    for name in ["a", "b", "c"] {
        bench.put(name, "good");
    }
    let snapshot = bench.take(1);
    std::fs::write(snapshot.data().join("a"), "evil").unwrap();
    std::fs::remove_file(snapshot.data().join("c")).unwrap();
    bench.put("a", "now");
    let before = show(bench.data());
    let what = could_not(bench.restore(&snapshot, &[]));
    assert_eq!(what, "2 of 3 files differ from the manifest: `a`, `c`");
    assert_eq!(show(bench.data()), before);
    let beside = std::fs::read_dir(bench.data().parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1);
    bench.restore(&snapshot, &["b"]).unwrap();
}

#[test]
fn a_manifest_that_leads_out_of_its_folder_writes_nothing_there() {
    let bench = bench();
    bench.put("file", "x");
    let snapshot = bench.take(1);
    let outside = bench.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let good = snapshot.manifest().unwrap();
    let file = good.entries[0].clone();
    let named = |path: &str, kind: Kind| Entry {
        path: path.into(),
        kind,
        ..file.clone()
    };
    let link = |path: &str| {
        named(
            path,
            Kind::Symlink {
                target: outside.clone().into(),
            },
        )
    };
    let absolute = outside.join("x");
    for entries in [
        vec![named("../x", Kind::Folder)],
        vec![named(absolute.to_str().unwrap(), file.kind.clone())],
        vec![link("l"), named("l/x", Kind::Folder)],
        vec![link("l"), named("l", file.kind.clone())],
        vec![link("l"), named("l", Kind::Folder)],
        vec![named(
            "a",
            Kind::HardLink {
                to: "../../outside".into(),
            },
        )],
        vec![named("a", Kind::HardLink { to: "b".into() })],
        vec![named("a/b", file.kind.clone())],
    ] {
        let mut bad = good.clone();
        bad.entries = entries;
        rewrite(&snapshot.path, &bad);
        let before = show(bench.data());
        bench.restore(&snapshot, &[]).unwrap_err();
        assert_eq!(show(bench.data()), before);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }
}

#[test]
fn a_folder_in_use_is_refused_unless_told_otherwise() {
    let bench = bench();
    bench.put("db", "x");
    let snapshot = bench.take(1);
    let mut child = Command::new("cat")
        .current_dir(bench.data())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let what = could_not(bench.restore(&snapshot, &[]));
    let in_use_ok = Options {
        in_use_ok: true,
        ..Options::default()
    };
    let told = restore(&bench.vault, &bench.guard, &snapshot, &in_use_ok);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(what.contains("is in use: cat (pid "), "{what}");
    told.unwrap();
}

#[test]
fn the_files_can_go_elsewhere_where_nothing_is_and_nothing_else_is_touched() {
    let bench = bench();
    fill_with_everything(bench.data());
    let snapshot = bench.take(1);
    let before = show(bench.data());
    let to = |path: &Path| {
        let options = Options {
            to: Some(path.to_owned()),
            ..Options::default()
        };
        restore(&bench.vault, &bench.guard, &snapshot, &options)
    };
    let new = bench.folder.path().join("new/folder");
    assert_eq!(to(&new).unwrap().put_aside, None);
    assert_eq!(show(&new), before);
    let empty = bench.folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    to(&empty).unwrap();
    assert_eq!(show(&empty), before);
    // A data folder that cannot be used does not matter.
    let mut broken = bench.guard.clone();
    broken.data = bench.folder.path().join("dangling");
    symlink("nowhere", &broken.data).unwrap();
    let options = Options {
        to: Some(bench.folder.path().join("fourth")),
        ..Options::default()
    };
    restore(&bench.vault, &broken, &snapshot, &options).unwrap();
    for bad in [
        &new,
        bench.data(),
        &bench.data().join("sub"),
        bench.vault.root(),
    ] {
        assert!(
            matches!(to(bad), Err(Error::Usage { .. })),
            "{}",
            bad.display()
        );
    }
    assert_eq!(show(bench.data()), before);
    std::fs::write(snapshot.data().join("sparse"), "short").unwrap();
    let third = bench.folder.path().join("third");
    std::fs::create_dir(&third).unwrap();
    could_not(to(&third));
    assert_eq!(std::fs::read_dir(&third).unwrap().count(), 0);
}

#[test]
fn a_chosen_database_comes_with_its_companions_and_the_present_ones_go() {
    let bench = bench();
    let magic = "SQLite format 3\0 old";
    bench.put("webui.db", magic);
    bench.put("webui.db-journal", "old journal");
    bench.put("uploads/a", "a");
    let snapshot = bench.take(3);
    std::fs::remove_file(bench.data().join("webui.db-journal")).unwrap();
    bench.put("webui.db", "SQLite format 3\0 new");
    bench.put("webui.db-wal", "new wal");
    bench.put("webui.db-shm", "new shm");
    bench.put("uploads/a", "changed");
    let before = show(bench.data());

    // The companion stands for the database.
    let restored = bench.restore(&snapshot, &["webui.db-journal"]).unwrap();
    assert_eq!(restored.files, 2);
    let read = |name: &str| std::fs::read_to_string(bench.data().join(name)).ok();
    assert_eq!(read("webui.db").as_deref(), Some(magic));
    assert_eq!(read("webui.db-journal").as_deref(), Some("old journal"));
    assert_eq!((read("webui.db-wal"), read("webui.db-shm")), (None, None));
    assert_eq!(read("uploads/a").as_deref(), Some("changed"));
    let list = put_aside::list(&bench.guard).unwrap();
    assert!(matches!(&list[..], [one] if matches!(&one.extent, Extent::Paths(_))));
    assert_eq!(Some(&list[0].path), restored.put_aside.as_ref());
    assert!(put_aside::size_bytes(&list[0]) > 0);

    // The application ran and made a companion of its own.
    bench.put("webui.db-wal", "newest wal");
    let after = contents(bench.data());
    bench.undo().unwrap();
    assert_eq!(show(bench.data()), before);
    bench.undo().unwrap();
    assert_eq!(contents(bench.data()), after);
    assert_eq!(put_aside::list(&bench.guard).unwrap().len(), 1);
}

#[test]
fn chosen_folders_and_files_of_lost_folders_come_back_alone() {
    let bench = bench();
    bench.put("uploads/deep/er/a", "a");
    bench.put("uploads/deep/b", "b");
    bench.put("other", "o");
    std::fs::hard_link(
        bench.data().join("other"),
        bench.data().join("uploads/deep/same"),
    )
    .unwrap();
    let snapshot = bench.take(1);
    std::fs::remove_dir_all(bench.data().join("uploads/deep")).unwrap();
    bench.put("other", "changed");
    let before = contents(bench.data());
    bench.restore(&snapshot, &["uploads/deep/er/a"]).unwrap();
    let read = |name: &str| std::fs::read_to_string(bench.data().join(name)).ok();
    assert_eq!(read("uploads/deep/er/a").as_deref(), Some("a"));
    assert_eq!(read("uploads/deep/b"), None);
    bench.undo().unwrap();
    assert_eq!(contents(bench.data()), before);
    assert!(!bench.data().join("uploads/deep").exists());

    bench
        .restore(&snapshot, &["./uploads/", "uploads/deep/b"])
        .unwrap();
    assert_eq!(read("uploads/deep/same").as_deref(), Some("o"));
    assert_eq!(read("other").as_deref(), Some("changed"));
    for bad in ["nothing", "../x", "/etc"] {
        let error = bench.restore(&snapshot, &[bad]).unwrap_err();
        assert!(matches!(error, Error::Usage { .. }), "{error:?}");
    }
    std::fs::remove_dir_all(bench.data().join("uploads")).unwrap();
    bench.put("uploads", "a file");
    let what = could_not(bench.restore(&snapshot, &["uploads/deep"]));
    assert_eq!(what, "`uploads` is no folder now");
}

#[test]
fn what_a_killed_restore_left_is_cleared_and_nothing_else() {
    let bench = bench();
    bench.put("a", "a");
    let snapshot = bench.take(1);
    let parent = bench.data().parent().unwrap().to_owned();
    let keep = [
        ".open-webui.aidb-restore-x",
        "open-webui.aidb-restore-1-2",
        ".other.aidb-restore-1-2",
    ];
    for name in keep.iter().chain(&[".open-webui.aidb-restore-1-2"]) {
        put(&parent, &format!("{name}/half"), "h");
    }
    bench.put(".aidb-restore-1-2/half", "h");
    bench.restore(&snapshot, &[]).unwrap();
    assert!(!parent.join(".open-webui.aidb-restore-1-2").exists());
    for name in keep {
        assert!(parent.join(name).join("half").exists(), "{name}");
    }
}
