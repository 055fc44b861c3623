//! Layers as real folders.

use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode as Bits, mknodat};

use super::*;

use crate::manifest::Kind;
use crate::vault::restore;

struct Bench {
    folder: tempfile::TempDir,
    guard: Guard,
    vault: Vault,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("open-webui");
        std::fs::create_dir(&data).unwrap();
        std::fs::create_dir(folder.path().join("diff")).unwrap();
        let guard = Guard {
            mount: Some("/app/backend/data".into()),
            exclude: vec!["cache/**".into()],
            ..Guard::of_database("open-webui", &data)
        };
        let vault = Vault::at(&folder.path().join("vault"));
        Self {
            folder,
            guard,
            vault,
        }
    }

    fn upper(&self) -> PathBuf {
        self.folder.path().join("diff")
    }

    /// Writes a file of the layer.
    fn put(&self, path: &str, content: &str) {
        let path = self.upper().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Makes a database with a table in the layer; its newest rows are in its log, which stays.
    fn put_database(&self, path: &str, rows: u32) {
        let path = self.upper().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let away = self.folder.path().join("made.db");
        let db = rusqlite::Connection::open(&away).unwrap();
        db.execute_batch("pragma journal_mode = wal; create table chat (id integer primary key)")
            .unwrap();
        for _ in 0..rows {
            db.execute("insert into chat default values", []).unwrap();
        }
        for suffix in ["", "-wal"] {
            let from = crate::capture::pin::sidecar(&away, suffix);
            std::fs::copy(from, crate::capture::pin::sidecar(&path, suffix)).unwrap();
        }
        drop(db);
        std::fs::remove_file(away).unwrap();
    }

    fn keep(&self, limit_bytes: u64) -> Outcome {
        self.keep_until(limit_bytes, Duration::from_secs(600))
    }

    fn keep_until(&self, limit_bytes: u64, deadline: Duration) -> Outcome {
        let found = Found {
            container: "open-webui".into(),
            id: "34e15a928502".repeat(5),
            image_id: None,
            upper: self.upper(),
            mounts: vec!["/etc/app.conf".into(), "/app/backend/data".into()],
            cgroup: None,
        };
        let request = Request {
            reason: "stop",
            deadline,
            limit_bytes,
        };
        keep_layer(&self.vault, &self.guard, &found, &request, Job::here).unwrap()
    }

    fn kept(&self) -> Rescue {
        match self.keep(u64::MAX) {
            Outcome::Kept(rescue) => rescue,
            other => panic!("{other:?}"),
        }
    }
}

fn paths(rescue: &Rescue) -> Vec<String> {
    let entries = rescue.record.entries.iter();
    entries
        .map(|e| e.path.as_path().display().to_string())
        .collect()
}

fn rows(database: &Path) -> u32 {
    let db = rusqlite::Connection::open(database).unwrap();
    db.query_row("select count(*) from chat", [], |r| r.get(0))
        .unwrap()
}

#[test]
fn a_layer_of_noise_leaves_nothing() {
    let bench = Bench::new();
    symlink("/proc/mounts", bench.upper().join("mtab")).unwrap();
    for path in [
        "run/.containerenv",
        "etc/hosts",
        "tmp/x/scratch",
        "root/.cache/pip/wheel",
        "usr/lib/python3/__pycache__/a.pyc",
        // The guard's own excludes, where the container has its data.
        "app/backend/data/cache/model",
    ] {
        bench.put(path, "noise");
    }
    bench.put("etc/app.conf", "");
    std::fs::create_dir_all(bench.upper().join("app/backend/data")).unwrap();
    std::fs::remove_file(bench.upper().join("mtab")).unwrap();
    let outcome = bench.keep(u64::MAX);
    assert!(matches!(outcome, Outcome::Nothing), "{outcome:?}");
    assert_eq!(list(&bench.vault, "open-webui").unwrap(), []);
    // What only begins like noise is none.
    bench.put("temporary/x", "data");
    assert_eq!(paths(&bench.kept()), ["temporary", "temporary/x"]);
}

#[test]
fn what_is_no_noise_is_kept_with_its_database_named() {
    let bench = Bench::new();
    bench.put_database("app/backend/data/webui.db", 7);
    bench.put("app/backend/data/uploads/a.pdf", "a");
    symlink("/etc/shadow", bench.upper().join("app/link")).unwrap();
    let pipe = bench.upper().join("app/pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Bits::RWXU, 0).unwrap();
    let rescue = bench.kept();
    assert_eq!(
        paths(&rescue),
        [
            "app",
            "app/backend",
            "app/backend/data",
            "app/backend/data/uploads",
            "app/backend/data/uploads/a.pdf",
            "app/backend/data/webui.db",
            "app/backend/data/webui.db-wal",
            "app/link",
            "app/pipe"
        ]
    );
    let database = &rescue.record.databases[0];
    assert_eq!(database.tables, Some(1));
    let found = findings(&rescue);
    assert_eq!(found[0].id, crate::judge::FindingId::LayerDatabase);
    assert!(
        found[0]
            .evidence
            .as_ref()
            .unwrap()
            .contains("/app/backend/data/webui.db"),
        "{found:?}"
    );
    // The copy is whole: the rows in the log are there.
    let copy = bench.folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        let kept = rescue.data().join("app/backend/data/webui.db");
        let kept = crate::capture::pin::sidecar(&kept, suffix);
        std::fs::copy(kept, crate::capture::pin::sidecar(&copy, suffix)).unwrap();
    }
    assert_eq!(rows(&copy), 7);
    assert_eq!(find(&bench.vault, "open-webui", Some("1")).unwrap(), rescue);
    assert_eq!(find(&bench.vault, "open-webui", None).unwrap(), rescue);
    let absent = find(&bench.vault, "open-webui", Some("2")).unwrap_err();
    let told = absent.to_string();
    assert!(
        told.starts_with("`open-webui` has no rescue `2`; nearest: `000001-"),
        "{told}"
    );
}

#[test]
fn names_that_the_container_deleted_are_told() {
    let bench = Bench::new();
    bench.put("app/new", "n");
    let gone = bench.upper().join("app/gone");
    match mknodat(CWD, &gone, FileType::CharacterDevice, Bits::empty(), 0) {
        Ok(()) => {}
        Err(e) => {
            eprintln!("SKIPPED: no character device 0:0 can be made here: {e}");
            return;
        }
    }
    let rescue = bench.kept();
    assert_eq!(rescue.record.deleted, [PathBuf::from("app/gone").into()]);
    assert_eq!(paths(&rescue), ["app", "app/new"]);
}

#[test]
fn the_limit_keeps_databases_and_the_small_and_names_the_rest() {
    let bench = Bench::new();
    bench.put_database("a/webui.db", 1);
    bench.put("a/huge", &"h".repeat(1 << 20));
    bench.put("z/small", "s");
    let Outcome::Kept(rescue) = bench.keep(1 << 19) else {
        panic!("not kept")
    };
    assert_eq!(
        paths(&rescue),
        ["a", "a/webui.db", "a/webui.db-wal", "z", "z/small"]
    );
    let left = &rescue.record.left_out[0];
    assert_eq!(left.path, PathBuf::from("a/huge").into());
    assert_eq!(left.size_bytes, 1 << 20);
}

#[test]
fn what_the_time_was_not_enough_for_is_named() {
    let bench = Bench::new();
    bench.put("a", "a");
    let Outcome::Kept(rescue) = bench.keep_until(u64::MAX, Duration::ZERO) else {
        panic!("not kept")
    };
    assert_eq!(rescue.record.files, 0);
    assert_eq!(rescue.record.left_out[0].why, "the time was not enough");
}

#[test]
fn the_same_layer_is_kept_once() {
    let bench = Bench::new();
    bench.put("a", "a");
    let first = bench.kept();
    match bench.keep(u64::MAX) {
        Outcome::Same(same) => assert_eq!(same, first),
        other => panic!("{other:?}"),
    }
    bench.put("a", "b");
    assert_eq!(bench.kept().name.sequence, 2);
}

#[test]
fn rescues_without_a_database_go_sooner_than_those_with_one() {
    let bench = Bench::new();
    for round in 0..10 {
        bench.put("note", &round.to_string());
        let _ = bench.kept();
    }
    let sequences = || -> Vec<u64> {
        let all = list(&bench.vault, "open-webui").unwrap();
        all.iter().map(|r| r.name.sequence).collect()
    };
    assert_eq!(sequences(), [8, 9, 10]);
    for round in 0..10 {
        bench.put_database("app/webui.db", round + 1);
        let _ = bench.kept();
    }
    assert_eq!(sequences(), [8, 9, 10, 11, 16, 17, 18, 19, 20]);
}

#[test]
fn the_one_that_holds_the_most_stays_and_is_what_is_brought_back() {
    let bench = Bench::new();
    // Of equal ones the newest is meant; the third holds the most, and many small ones come after it.
    for rows in [1, 1, 2000, 2, 3, 4, 5, 6, 7, 8, 9] {
        bench.put_database("app/webui.db", rows);
        let _ = bench.kept();
    }
    let all = list(&bench.vault, "open-webui").unwrap();
    let sequences: Vec<u64> = all.iter().map(|r| r.name.sequence).collect();
    assert_eq!(sequences, [1, 3, 7, 8, 9, 10, 11]);
    let meant = find(&bench.vault, "open-webui", None).unwrap();
    assert_eq!(meant.name.sequence, 3);
    let known = known(&bench.vault, &bench.guard, None);
    let chats = &known["chats"];
    assert_eq!((chats.sequence, chats.tables), (3, Some(1)));
    assert_eq!(chats.id, meant.id());
    // A proven snapshot that was taken later knows more.
    assert!(super::known(&bench.vault, &bench.guard, Some(Timestamp::now())).is_empty());
}

#[test]
fn a_rescued_database_takes_the_place_of_the_empty_one_and_the_rest_stays() {
    let bench = Bench::new();
    bench.put_database("app/backend/data/webui.db", 5);
    bench.put("etc/passwd", "not data");
    let rescue = bench.kept();
    let data = &bench.guard.data;
    std::fs::write(data.join("webui.db"), "").unwrap();
    std::fs::create_dir(data.join("uploads")).unwrap();
    std::fs::write(data.join("uploads/a.pdf"), "a").unwrap();
    let brought = rescue.bring_back(&bench.vault, &bench.guard, None).unwrap();
    assert_eq!(brought.from, Path::new("/app/backend/data"));
    let options = restore::Options {
        only: brought.only.clone(),
        ..restore::Options::default()
    };
    let done = restore::restore(&bench.vault, &bench.guard, &brought.snapshot, &options).unwrap();
    assert!(done.put_aside.is_some());
    assert_eq!(rows(&data.join("webui.db")), 5);
    assert!(data.join("uploads/a.pdf").exists() && !data.join("etc").exists());
    restore::undo(&bench.vault, &bench.guard, false).unwrap();
    assert_eq!(std::fs::metadata(data.join("webui.db")).unwrap().len(), 0);
}

#[test]
fn a_database_elsewhere_is_found_by_its_name_and_two_of_it_are_asked_about() {
    let bench = Bench::new();
    bench.put_database("srv/chat/webui.db", 5);
    let rescue = bench.kept();
    let brought = rescue.bring_back(&bench.vault, &bench.guard, None).unwrap();
    assert_eq!(brought.from, Path::new("/srv/chat"));
    bench.put_database("opt/webui.db", 5);
    let rescue = bench.kept();
    let error = rescue
        .bring_back(&bench.vault, &bench.guard, None)
        .unwrap_err();
    let told = error.to_string().replace(&rescue.id(), "ID");
    insta::assert_snapshot!(told, @"`ID` holds several folders with a database of this guard's name; it holds `/opt/webui.db`, `/srv/chat/webui.db`");
    let from = Some(Path::new("/opt"));
    let brought = rescue.bring_back(&bench.vault, &bench.guard, from).unwrap();
    assert!(brought.snapshot.data().join("webui.db").exists());
    let nowhere = rescue.bring_back(&bench.vault, &bench.guard, Some(Path::new("/usr")));
    assert!(matches!(nowhere, Err(crate::Error::Usage { .. })));
}

#[test]
fn a_file_of_which_only_the_mode_changed_is_the_images() {
    let bench = Bench::new();
    bench.put("usr/bin/tool", "");
    bench.put("kept", "k");
    let file = std::fs::File::open(bench.upper().join("usr/bin/tool")).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::fsetxattr(&file, "user.overlay.metacopy", b"", flags).is_err() {
        eprintln!("SKIPPED: this filesystem has no user attributes");
        return;
    }
    let rescue = bench.kept();
    assert_eq!(paths(&rescue), ["kept"]);
    let kinds = rescue.record.entries.iter().map(|e| &e.kind);
    assert!(kinds.into_iter().all(|k| matches!(k, Kind::File { .. })));
}
