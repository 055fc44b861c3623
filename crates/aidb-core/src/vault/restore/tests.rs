//! Restores of real files: round trips, refusals, and every step failing or being the last.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use rustix::fs::{CWD, FileType, OFlags, XattrFlags, fgetxattr, fsetxattr};
use rustix::io::Errno;

use super::put_aside::Extent;
use super::step::faults;
use super::*;
use crate::capture::walk::{Exclude, Root};
use crate::guard::Policy;
use crate::vault::SnapshotName;
use crate::vault::manifest::{
    Entry, FORMAT, How, Kind, Manifest, Pairing, Source, Summary, Xattr, to_hex,
};

/// A vault, a data folder and the guard of it.
struct Bench {
    folder: tempfile::TempDir,
    vault: Vault,
    guard: Guard,
}

fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let guard = guard(&at.join("home/open-webui"));
    std::fs::create_dir_all(&guard.data).unwrap();
    Bench {
        vault: Vault::at(&at.join("vault")),
        folder,
        guard,
    }
}

fn guard(data: &Path) -> Guard {
    Guard {
        name: "open-webui".into(),
        container: "open-webui".into(),
        unit: None,
        data: data.to_owned(),
        mount: None,
        preset: None,
        exclude: vec!["cache/**".into()],
        stores: Vec::new(),
        policy: Policy::default(),
    }
}

impl Bench {
    fn data(&self) -> &Path {
        &self.guard.data
    }

    fn put(&self, path: &str, content: &str) {
        put(self.data(), path, content);
    }

    /// Takes a snapshot of the data folder as it is.
    fn take(&self, sequence: u64) -> Snapshot {
        take(&self.vault, &self.guard, sequence)
    }

    fn restore(&self, snapshot: &Snapshot, only: &[&str]) -> Result<Restored> {
        let options = Options {
            only: only.iter().map(PathBuf::from).collect(),
            ..Options::default()
        };
        restore(&self.vault, &self.guard, snapshot, &options)
    }

    fn undo(&self) -> Result<Undone> {
        undo(&self.vault, &self.guard, false)
    }
}

fn put(folder: &Path, path: &str, content: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Copies the data folder into the vault and writes its manifest, as a capture would.
fn take(vault: &Vault, guard: &Guard, sequence: u64) -> Snapshot {
    let at: Timestamp = "2026-11-23T06:03:11Z".parse().unwrap();
    let name = SnapshotName::new(sequence, at, "test");
    let path = vault.guard_folder(&guard.name).join(name.to_string());
    let data = path.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let root = Root::open(&guard.data).unwrap();
    let mut first_names = BTreeMap::new();
    let mut entries = Vec::new();
    for found in root.walk(&Exclude::new(&guard.exclude).unwrap()).found {
        let stat = found.stat;
        let relative = &found.path;
        let (from, to) = (guard.data.join(relative), data.join(relative));
        let mut xattrs = Vec::new();
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                std::fs::create_dir(&to).unwrap();
                Kind::Folder
            }
            FileType::Symlink => Kind::Symlink {
                target: std::fs::read_link(&from).unwrap().into(),
            },
            FileType::RegularFile => {
                if let Some(first) = first_names.get(&stat.st_ino) {
                    Kind::HardLink {
                        to: PathBuf::clone(first).into(),
                    }
                } else {
                    first_names.insert(stat.st_ino, relative.clone());
                    let source = root.open_file(relative).unwrap();
                    let target = std::fs::File::options()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(&to)
                        .unwrap();
                    crate::capture::copy::transfer(&source, &target).unwrap();
                    let mut value = [0; 64];
                    if let Ok(length) = fgetxattr(&source, "user.note", &mut value[..]) {
                        xattrs.push(Xattr {
                            name: "user.note".into(),
                            value_hex: to_hex(&value[..length]),
                        });
                    }
                    Kind::File {
                        size_bytes: u64::try_from(stat.st_size).unwrap(),
                        blake3: Some(stage::hash(&target).unwrap()),
                        how: How::Copy,
                        source: Source::default(),
                    }
                }
            }
            _ => Kind::Special {
                what: "fifo".into(),
            },
        };
        entries.push(Entry {
            path: relative.clone().into(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime_ns: attributes::mtime_ns(&stat),
            xattrs,
        });
    }
    let manifest = Manifest {
        summary: Summary {
            format: FORMAT,
            sequence,
            guard: guard.name.clone(),
            reason: "test".into(),
            taken_at: at,
            local_date: "2026-11-23".into(),
            local_offset: "+00:00".into(),
            invocation: None,
            pairing: Pairing::default(),
            suspicious: None,
            files: 0,
            size_bytes: 0,
            new_bytes: 0,
            blocked_ms: 0,
            took_ms: 0,
            tool_version: "0".into(),
        },
        settings: guard.clone(),
        entries,
    };
    rewrite(&path, &manifest);
    Snapshot::open(name, path).unwrap().unwrap()
}

fn rewrite(snapshot: &Path, manifest: &Manifest) {
    let text = serde_json::to_vec(manifest).unwrap();
    std::fs::write(snapshot.join("manifest.json"), text).unwrap();
}

/// Returns what a tree shows, but for the times of folders and our own names inside it.
fn show(folder: &Path) -> BTreeMap<PathBuf, String> {
    let root = Root::open(folder).unwrap();
    let walk = root.walk(&Exclude::default());
    assert!(walk.unreadable.is_empty());
    let ours = |path: &Path| put_aside::is_ours(path.iter().next().unwrap());
    let found = walk.found.into_iter().filter(|f| !ours(&f.path));
    found
        .map(|found| {
            let stat = found.stat;
            let mtime = attributes::mtime_ns(&stat);
            let mode = stat.st_mode;
            let at = folder.join(&found.path);
            let text = match FileType::from_raw_mode(mode) {
                FileType::RegularFile => {
                    let file = std::fs::File::open(at).unwrap();
                    let hash = stage::hash(&file).unwrap();
                    format!("{mode:o} {mtime} {} {hash}", stat.st_nlink)
                }
                FileType::Symlink => {
                    let target = std::fs::read_link(at).unwrap();
                    format!("{mode:o} {mtime} {}", target.display())
                }
                _ => format!("{mode:o}"),
            };
            (found.path, text)
        })
        .collect()
}

/// Returns names and contents of the regular files: what must never be lost.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = show(folder).into_keys();
    let files = names.filter(|n| folder.join(n).is_file());
    files
        .map(|n| (n.clone(), std::fs::read(folder.join(n)).unwrap()))
        .collect()
}

fn set_time(path: &Path, ns: i64) {
    use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: ns.div_euclid(1_000_000_000),
            tv_nsec: ns.rem_euclid(1_000_000_000),
        },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn could_not(result: Result<Restored>) -> String {
    match result {
        Err(Error::CouldNot { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

/// Every kind of entry that a snapshot keeps, with odd names, modes and times.
fn fill_with_everything(data: &Path) {
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
    for (path, mode) in [
        ("webui.db", 0o640),
        ("read-only/file", 0o400),
        ("read-only", 0o555),
        ("empty/empty", 0o2711),
    ] {
        std::fs::set_permissions(data.join(path), PermissionsExt::from_mode(mode)).unwrap();
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
    assert_eq!(restored.carried_over, [Path::new("cache/models")]);
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
    let name = "vault::restore::tests::a_mount_point_is_restored_entry_by_entry_and_undone";
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
    let name = "vault::restore::tests::a_folder_with_a_mount_inside_is_refused";
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
