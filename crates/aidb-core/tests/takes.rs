//! Snapshots after snapshots: what is shared, what is made anew, and what is not made at all.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up must fail"
)]

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use aidb_core::Error;
use aidb_core::guard::{Contract, Store, StoreKind};
use aidb_core::lock::{Lock, Mode};
use aidb_core::manifest::{How, Kind};
use aidb_core::settings::Keep;
use aidb_core::vault::prune;
use aidb_core::vault::restore::{self, Options};
use aidb_core::vault::retention::SeenAgain;
use rusqlite::Connection;
use rustix::fs::{Mode as FsMode, OFlags};
use sha2::{Digest as _, Sha256};

use common::{Bench, settle};

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

fn how(snapshot: &aidb_core::vault::Snapshot, path: &str) -> How {
    let manifest = snapshot.manifest().unwrap();
    let entry = manifest
        .entries
        .iter()
        .find(|e| e.path.as_path() == Path::new(path))
        .unwrap();
    match entry.kind {
        Kind::File { how, .. } => how,
        _ => panic!("`{path}` is no file"),
    }
}

#[test]
fn what_is_the_same_is_one_inode_in_both_snapshots_and_what_changed_is_not() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    bench.put("uploads/b", "b");
    bench.database("webui.db", 100);
    let first = bench.take_and_prove("manual");
    settle(&first);
    bench.put("uploads/b", "B");
    let second = bench.take_and_prove("manual");
    for (path, shared) in [
        ("uploads/a", true),
        ("webui.db", true),
        ("uploads/b", false),
    ] {
        let (one, other) = (first.data().join(path), second.data().join(path));
        assert_eq!(inode(&one) == inode(&other), shared, "{path}");
        assert_eq!(how(&second, path) == How::Link, shared, "{path}");
    }
    bench.verifies();
}

/// The log of a large database is folded before SQLite checks it, so that the file that is kept is hashed meanwhile.
#[test]
fn a_large_database_with_a_log_is_kept_by_the_hash_of_what_was_folded() {
    let bench = Bench::new();
    bench.database("webui.db", 1);
    let writer = Connection::open(bench.data().join("webui.db")).unwrap();
    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20)";
    writer
        .execute_batch(&format!(
            "pragma journal_mode = wal; create table large (content blob); \
             insert into large {rows} select randomblob(1 << 20) from n; \
             pragma wal_checkpoint(truncate); pragma wal_autocheckpoint = 0; \
             update large set content = zeroblob(1 << 10) where rowid < 5;"
        ))
        .unwrap();
    let log = std::fs::metadata(bench.data().join("webui.db-wal")).unwrap();
    assert!(log.len() > 0);
    let proven = bench.take_and_prove("manual");
    assert!(!proven.data().join("webui.db-wal").exists());
    bench.verifies();
    let kept = Connection::open(proven.data().join("webui.db")).unwrap();
    let small: i64 = kept
        .query_row(
            "select count(*) from large where length(content) = 1024",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(small, 4);
}

#[test]
fn where_nothing_differs_there_is_no_new_folder() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    bench.database("webui.db", 100);
    let first = bench.take_and_prove("manual");
    // Within two seconds of the capture a write could hide behind the same time.
    assert!(bench.take("manual").unwrap().is_new);
    settle(&first);
    let newest = bench.prove_all();
    settle(&newest);
    let again = bench.take("manual").unwrap();
    assert!(!again.is_new);
    assert_eq!(again.snapshot.name, newest.name);
}

#[test]
fn a_take_that_waited_for_a_restore_captures_what_was_brought_back() {
    let bench = Bench::new();
    bench.put("uploads/a", "damaged");
    let aside = bench.data().with_extension("aside");
    let patience = Duration::from_secs(1);
    let lock = Lock::guard(&bench.vault, "g", Mode::Exclusive, patience).unwrap();
    let taken = std::thread::scope(|threads| {
        let taking = threads.spawn(|| bench.take_patiently("timer").unwrap());
        // As long as it waits it has nothing of the data open, else a restore would find the folder in use.
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(descriptors_below(&bench.data()), 0);
        std::fs::rename(bench.data(), &aside).unwrap();
        bench.put("uploads/a", "brought back");
        drop(lock);
        taking.join().unwrap()
    });
    let kept = std::fs::read_to_string(taken.snapshot.data().join("uploads/a")).unwrap();
    assert_eq!(kept, "brought back");
}

fn descriptors_below(folder: &Path) -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|d| std::fs::read_link(d.ok()?.path()).ok());
    targets.filter(|t| t.starts_with(folder)).count()
}

/// A change of the data folder, by what it is.
type Change = (&'static str, fn(&Bench));

#[test]
fn every_kind_of_change_makes_a_new_snapshot() {
    let changes: [Change; 9] = [
        ("a new file", |b| b.put("uploads/c", "c")),
        ("a file that is gone", |b| {
            std::fs::remove_file(b.data().join("uploads/a")).unwrap();
        }),
        ("a file of the same size", |b| b.put("uploads/a", "A")),
        ("the mode of a file", |b| b.mode("uploads/a", 0o640)),
        ("the mode of a folder", |b| b.mode("uploads", 0o750)),
        ("the mode of the data folder", |b| b.mode("", 0o750)),
        ("a commit", |b| b.insert("webui.db")),
        ("an empty folder", |b| {
            std::fs::create_dir(b.data().join("empty")).unwrap();
        }),
        ("a link that points elsewhere", |b| {
            std::fs::remove_file(b.data().join("link")).unwrap();
            std::os::unix::fs::symlink("elsewhere", b.data().join("link")).unwrap();
        }),
    ];
    for (what, change) in changes {
        let bench = Bench::new();
        bench.put("uploads/a", "a");
        bench.database("webui.db", 10);
        std::os::unix::fs::symlink("uploads", bench.data().join("link")).unwrap();
        let first = bench.take_and_prove("manual");
        settle(&first);
        assert!(!bench.take("manual").unwrap().is_new, "before {what}");
        change(&bench);
        assert!(bench.take("manual").unwrap().is_new, "{what}");
    }
}

#[test]
fn nothing_is_linked_to_a_snapshot_that_nobody_proved() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    let first = bench.take("manual").unwrap().snapshot;
    settle(&first);
    bench.put("uploads/b", "b");
    let second = bench.take("manual").unwrap();
    assert!(second.is_new);
    let (one, other) = (
        first.data().join("uploads/a"),
        second.snapshot.data().join("uploads/a"),
    );
    assert_ne!(inode(&one), inode(&other));
}

#[test]
fn one_stop_leaves_one_snapshot_and_the_one_at_rest_replaces_the_live_one() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    let live = bench.stop("one").unwrap().snapshot;
    settle(&live);
    // Nothing moved since: what was taken while the application ran stands.
    assert_eq!(bench.stop("one").unwrap().snapshot.name, live.name);
    bench.put("uploads/a", "at rest");
    let rest = bench.stop("one").unwrap();
    assert_eq!(rest.replaced, [live.name]);
    bench.put("uploads/a", "the next stop");
    let next = bench.stop("two").unwrap();
    assert!(next.replaced.is_empty());
    let left = bench.vault.names("g").unwrap();
    assert_eq!(left, [rest.snapshot.name, next.snapshot.name]);
}

/// `aidb-prove` may be faster than the container stops: then the live state is proven when the one at rest comes.
#[test]
fn a_live_snapshot_that_was_proven_stays_until_the_one_at_rest_is_proven_too() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    let live = bench.prove(&bench.stop("one").unwrap().snapshot);
    bench.put("uploads/a", "at rest");
    let rest = bench.stop("one").unwrap();
    assert!(rest.is_new && rest.replaced.is_empty());
    assert_eq!(bench.vault.names("g").unwrap().len(), 2);
    assert!(bench.prove(&rest.snapshot).is_proven());
    assert_eq!(bench.vault.names("g").unwrap(), [rest.snapshot.name]);
    assert!(!live.path.exists());
    bench.put("uploads/a", "the next stop");
    bench.prove(&bench.stop("two").unwrap().snapshot);
    assert_eq!(bench.vault.names("g").unwrap().len(), 2);
    bench.verifies();
}

/// Each attempt of an application that fails at its start is a stop of its own.
#[test]
fn stops_that_find_the_same_again_and_again_leave_one_snapshot() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    bench.database("webui.db", 10);
    let first = bench.stop("one").unwrap().snapshot;
    settle(&first);
    for attempt in ["two", "three", "four"] {
        let again = bench.stop(attempt).unwrap();
        assert!(!again.is_new, "{attempt}");
        assert_eq!(again.snapshot.name, first.name);
    }
    bench.insert("webui.db");
    assert!(bench.stop("five").unwrap().is_new);
    assert_eq!(bench.vault.names("g").unwrap().len(), 2);
}

#[test]
fn a_path_that_is_too_long_is_a_gap_and_the_longest_that_is_not_is_kept() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    bench.database("webui.db", 10);
    let first = bench.take("manual").unwrap().snapshot;
    assert!(first.summary.gaps.is_empty());
    let longest = bench.vault.longest_path_bytes(&first.name, "g");
    assert!((3000..4000).contains(&longest), "{longest}");
    // Folders of 200 bytes; in the last one a file whose path is as long as can be, and one that is longer by a byte.
    let folder = vec!["d".repeat(200); longest / 201];
    let folder = folder.join("/");
    let left = longest - folder.len() - 1;
    assert!((1..200).contains(&left), "{left}");
    let fits = format!("{folder}/{}", "f".repeat(left));
    put_deep(&bench.data(), &fits);
    let taken = bench.take_and_prove("manual");
    assert!(taken.summary.gaps.is_empty());
    let kept = taken.manifest().unwrap();
    assert!(
        kept.files()
            .any(|(path, _)| path.as_path() == Path::new(&fits))
    );

    // A folder that is too long itself, with the deepest that there can be below it.
    let too_long = format!("{folder}/{}", "f".repeat(left + 1));
    put_deep(
        &bench.data(),
        &format!("{too_long}/{}", vec!["e".repeat(250); 10].join("/")),
    );
    bench.put("uploads/b", "b");
    let taken = bench.take("manual").unwrap().snapshot;
    let gaps: Vec<_> = taken
        .summary
        .gaps
        .iter()
        .map(|g| g.path.as_path())
        .collect();
    assert_eq!(gaps, [Path::new(&too_long)]);
    assert!(taken.summary.gaps[0].why.contains("too long"));
    let kept = taken.manifest().unwrap();
    for path in [&fits, "uploads/b", "webui.db"] {
        assert!(
            kept.files().any(|(p, _)| p.as_path() == Path::new(path)),
            "{path}"
        );
    }
    assert!(!bench.prove(&taken).is_proven());
    bench.verifies();
    // What can be kept can be removed again: the newest proven one stays, and two that nobody could prove.
    let keep = Keep {
        last: 1,
        daily: 0,
        weekly: 0,
        monthly: 0,
        ..Keep::default()
    };
    bench.take("manual").unwrap();
    prune::remove(
        &bench.vault,
        "g",
        &keep,
        &SeenAgain::default(),
        Duration::ZERO,
    )
    .unwrap();
    let staged = std::fs::read_dir(bench.vault.staging_folder()).unwrap();
    assert_eq!(staged.count(), 1, "but the lock");
}

/// Makes a file at a path that is longer than the system takes in one call.
fn put_deep(root: &Path, path: &str) {
    let open = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut folder = rustix::fs::open(root, open, FsMode::empty()).unwrap();
    let (folders, file) = path.rsplit_once('/').unwrap();
    for name in folders.split('/') {
        let _ = rustix::fs::mkdirat(&folder, name, FsMode::RWXU);
        folder = rustix::fs::openat(&folder, name, open, FsMode::empty()).unwrap();
    }
    let made = OFlags::CREATE | OFlags::WRONLY;
    rustix::fs::openat(&folder, file, made, FsMode::RUSR).unwrap();
}

#[test]
fn a_time_that_is_over_leaves_no_half_database_and_names_the_files_that_are_missing() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    let over = |bench: &Bench| bench.take_until("stop", Some(Instant::now()));
    let taken = over(&bench).unwrap().snapshot;
    assert_eq!(taken.summary.gaps.len(), 1);
    assert_eq!(taken.summary.gaps[0].why, "the time was not enough");
    if bench.copies() {
        bench.database("webui.db", 10);
        let before = bench.vault.names("g").unwrap();
        let refused = over(&bench);
        assert!(
            matches!(refused, Err(Error::Deadline { .. })),
            "{refused:?}"
        );
        assert_eq!(bench.vault.names("g").unwrap(), before);
    }
}

fn blob(content: &str) -> String {
    format!("models/blobs/sha256-{:x}", Sha256::digest(content))
}

#[test]
fn a_blob_whose_hash_is_right_is_the_applications_own_inode_and_stays_untouched() {
    let mut bench = Bench::new();
    if !bench.copies() {
        aidb_testkit::left_out("links to blobs", "the filesystem here shares blocks");
        return;
    }
    bench.guard.stores.push(Store {
        name: "models".into(),
        kind: StoreKind::Ollama,
        path: "models".into(),
        optional: false,
        contract: Contract::default(),
    });
    let good = blob("the model");
    let wrong = blob("another model");
    let unnamed = blob("no manifest names it");
    let short = blob("a model of another size");
    bench.put(&good, "the model");
    bench.put(&wrong, "ANOTHER model");
    bench.put(&unnamed, "no manifest names it");
    bench.put(&short, "a model");
    let layer = |path: &str, size: usize| {
        let digest = path.rsplit('-').next().unwrap();
        serde_json::json!({ "digest": format!("sha256:{digest}"), "size": size })
    };
    let manifest = serde_json::json!({ "layers": [
        layer(&good, 9), layer(&wrong, 13), layer(&short, 23),
    ] });
    bench.put(
        "models/manifests/registry.ollama.ai/library/m/latest",
        &manifest.to_string(),
    );
    bench.mode(&good, 0o644);
    let before = std::fs::metadata(bench.data().join(&good)).unwrap();

    let taken = bench.take("manual").unwrap();
    let snapshot = taken.snapshot;
    assert_eq!(how(&snapshot, &good), How::Live);
    for path in [&wrong, &unnamed, &short] {
        assert_eq!(how(&snapshot, path), How::Copy, "{path}");
    }
    let after = std::fs::metadata(bench.data().join(&good)).unwrap();
    assert_eq!(after.ino(), inode(&snapshot.data().join(&good)));
    assert_eq!(
        (after.mode(), after.mtime()),
        (before.mode(), before.mtime())
    );
    assert_eq!(taken.verified.len(), 1);
}

#[test]
fn a_data_folder_that_is_gone_comes_back_with_its_mode() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    bench.mode("", 0o750);
    let snapshot = bench.take_and_prove("manual");
    std::fs::remove_dir_all(bench.data()).unwrap();
    restore::restore(&bench.vault, &bench.guard, &snapshot, &Options::default()).unwrap();
    let mode = std::fs::metadata(bench.data())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o750);
}

#[test]
fn folding_a_log_changes_no_other_snapshot() {
    let bench = Bench::new();
    bench.database("webui.db", 10);
    // Two names in one tree: the copy has two as well, and a log that is to be folded.
    std::fs::hard_link(
        bench.data().join("webui.db"),
        bench.data().join("other-name"),
    )
    .unwrap();
    let db = Connection::open(bench.data().join("webui.db")).unwrap();
    db.execute_batch("pragma journal_mode=wal; insert into t values (7)")
        .unwrap();
    let snapshot = bench.take("manual").unwrap().snapshot;
    let twin = snapshot.data().join("other-name");
    let before = std::fs::read(&twin).unwrap();
    assert!(bench.prove(&snapshot).is_proven());
    assert_eq!(std::fs::read(&twin).unwrap(), before);
    let folded = std::fs::metadata(snapshot.data().join("webui.db-wal"));
    assert!(folded.is_err());
    drop(db);
    bench.verifies();
}

#[test]
fn a_lock_that_nobody_gives_is_told_busy_in_the_time_that_was_given() {
    let bench = Bench::new();
    bench.put("uploads/a", "a");
    let held = aidb_core::lock::Lock::guard(
        &bench.vault,
        "g",
        aidb_core::lock::Mode::Shared,
        Duration::ZERO,
    )
    .unwrap();
    let refused = bench.take("manual");
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
    drop(held);
    bench.take("manual").unwrap();
}
