use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use aidb_testkit::disk::Disk;
use rusqlite::Connection;

use super::*;

/// How many writers work on one database, and the pages that the cache of each holds: those with few write to the
/// file in the middle of a transaction.
const CACHE_PAGES: [i64; 3] = [5, 20, 2000];

/// What a copy shows when SQLite opens it: integrity, the newest row of each writer, the sum over all.
fn opened(path: &Path) -> (String, Vec<i64>, i64) {
    let db = Connection::open(path).unwrap();
    let integrity = db
        .query_row("pragma integrity_check", [], |r| r.get(0))
        .unwrap();
    let newest = (0..CACHE_PAGES.len())
        .map(|writer| {
            let newest = "select coalesce(max(a), 0) from t where w = ?";
            db.query_row(newest, [writer], |r| r.get(0)).unwrap()
        })
        .collect();
    let sum = db
        .query_row("select coalesce(sum(a), 0) from t", [], |r| r.get(0))
        .unwrap();
    (integrity, newest, sum)
}

/// Runs one of the roles below in a process of its own. An application's locks are those of its process: if it
/// shared ours, closing any descriptor of the database here would silently drop them.
struct Application {
    process: Child,
    /// Where it writes the number of its last commit.
    progress: PathBuf,
}

impl Application {
    fn start(role: &str, database: &Path, mode: &str, writer: usize) -> Self {
        let progress = database.with_file_name(format!("progress-{writer}"));
        let process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "capture::database::tests::application",
                "--nocapture",
            ])
            .env("AIDB_TEST_ROLE", role)
            .env("AIDB_TEST_MODE", mode)
            .env("AIDB_TEST_WRITER", writer.to_string())
            .env("AIDB_TEST_DATABASE", database)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let application = Self { process, progress };
        while application.committed() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        application
    }

    fn committed(&self) -> i64 {
        let text = std::fs::read_to_string(&self.progress).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other process; as an ordinary test it has nothing to do.
#[test]
fn application() {
    let Ok(role) = std::env::var("AIDB_TEST_ROLE") else {
        return;
    };
    let (path, mode) = (
        std::env::var("AIDB_TEST_DATABASE").unwrap(),
        std::env::var("AIDB_TEST_MODE").unwrap(),
    );
    let writer: usize = std::env::var("AIDB_TEST_WRITER").unwrap().parse().unwrap();
    let path = Path::new(&path);
    let progress = File::create(path.with_file_name(format!("progress-{writer}"))).unwrap();
    match role.as_str() {
        "write" => write(path, &mode, writer, &progress),
        "lock" => lock_for_ever(path, &mode, &progress),
        "idle" => idle(path, &progress),
        other => panic!("no role {other}"),
    }
}

fn note(progress: &File, n: i64) {
    // A fixed width, so that no reader sees half a number.
    progress
        .write_all_at(format!("{n:012}").as_bytes(), 0)
        .unwrap();
}

/// Keeps the sum over all rows zero in transactions of many pages, checkpoints in every mode, vacuums, and opens and
/// closes, so that the `-wal` goes and comes.
fn write(path: &Path, mode: &str, writer: usize, progress: &File) {
    let mut n = 0;
    loop {
        let db = Connection::open(path).unwrap();
        // Short: writers that vacuum or change the mode at once may wait for each other, and hold locks for as long.
        db.busy_timeout(Duration::from_secs(1)).unwrap();
        // Another writer may be at it: the mode stays with the file.
        let _ = db.pragma_update(None, "journal_mode", mode);
        db.pragma_update(None, "synchronous", "off").unwrap();
        db.pragma_update(None, "cache_size", CACHE_PAGES[writer])
            .unwrap();
        for _ in 0..20 {
            n += 1;
            let committed = db.execute_batch(&format!(
                "begin immediate;
                 insert into t values ({writer}, {n}, randomblob(3000)), ({writer}, -{n}, randomblob(900));
                 update t set b = randomblob(2000) where rowid % 7 = {n} % 7 and w = {writer} and abs(a) > {n} - 40;
                 commit"
            ));
            if committed.is_ok() {
                note(progress, n);
            } else {
                // Several writers that vacuum may deadlock, and SQLite tells one of them so.
                n -= 1;
                let _ = db.execute_batch("rollback");
            }
        }
        // SQLite's locks know no queue: without a breath one writer may shut the others out for seconds.
        std::thread::sleep(Duration::from_millis(5));
        let _ = db.execute_batch(&format!(
            "delete from t where w = {writer} and abs(a) < {n} - 50"
        ));
        let kind =
            ["passive", "full", "restart", "truncate"].get(usize::try_from(n / 20 % 5).unwrap());
        let _ = match kind {
            Some(kind) if mode == "wal" => {
                db.query_row(&format!("pragma wal_checkpoint({kind})"), [], |_| Ok(()))
            }
            Some(_) => Ok(()),
            None => db.execute_batch("vacuum"),
        };
    }
}

fn lock_for_ever(path: &Path, mode: &str, progress: &File) {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "locking_mode", "exclusive").unwrap();
    db.pragma_update(None, "journal_mode", mode).unwrap();
    db.execute_batch(
        "create table if not exists t(w, a, b); insert into t values (0, 1, 2), (0, -1, 3)",
    )
    .unwrap();
    note(progress, 1);
    std::thread::sleep(Duration::from_secs(600));
}

/// Holds a database open that has commits in its log.
fn idle(path: &Path, progress: &File) {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db.execute_batch("create table t(w, a, b); insert into t values (0, 1, 2), (0, -1, 3)")
        .unwrap();
    note(progress, 1);
    std::thread::sleep(Duration::from_secs(600));
}

/// Captures a database beside its writers so many times, and holds each copy against what was committed before.
fn survives(folder: &Path, mode: &str, copies: usize) {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let live = folder.path().join("live");
    std::fs::create_dir(&live).unwrap();
    let path = live.join("db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("create table t(w, a, b)")
        .unwrap();
    let applications: Vec<_> = (0..CACHE_PAGES.len())
        .map(|writer| Application::start("write", &path, mode, writer))
        .collect();
    let root = Root::open(&live).unwrap();
    for copy in 0..copies {
        let floors: Vec<i64> = applications.iter().map(Application::committed).collect();
        let target = folder.path().join(format!("copy-{copy}"));
        let way = Way {
            patience: Duration::from_secs(60),
            ..Way::default()
        };
        // None starves: every one is had.
        let captured = database_by(&root, Path::new("db"), &target, &way)
            .unwrap_or_else(|e| panic!("{mode}, copy {copy} in {}: {e}", live.display()));
        assert!(captured.blocked <= BUDGET + Duration::from_secs(1));
        let (integrity, newest, sum) = opened(&target);
        let is_new = newest
            .iter()
            .zip(&floors)
            .all(|(newest, floor)| newest >= floor);
        assert!(
            integrity == "ok" && sum == 0 && is_new,
            "{mode}, copy {copy}: {integrity}, sum {sum}, newest {newest:?}, committed before {floors:?}"
        );
        std::fs::remove_file(&target).unwrap();
    }
}

/// With the locks of the pin taken out, the first copy or the second fails. The long run is `AIDB_TEST_COPIES=1000`:
/// twenty times that many copies, counted over modes and filesystems, in about three minutes.
#[test]
fn a_copy_of_a_live_database_is_whole_and_not_older_than_the_last_commit() {
    let copies: usize = std::env::var("AIDB_TEST_COPIES").map_or(25, |n| n.parse().unwrap());
    let modes = ["wal", "wal", "delete", "persist", "truncate"];
    for mode in modes {
        survives(&std::env::temp_dir(), mode, copies);
    }
    for kind in ["btrfs", "xfs", "ext4"] {
        if let Some(disk) = Disk::new(kind, 512, &format!("live writers on {kind}")) {
            for mode in modes {
                survives(&disk.path(), mode, copies);
            }
        }
    }
}

#[test]
fn a_capture_changes_no_byte_no_time_and_no_owner_of_main_log_and_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let _application = Application::start("idle", &path, "wal", 0);
    let state = || {
        ["", "-wal", "-shm"].map(|suffix| {
            let path = sidecar(&path, suffix);
            let m = std::fs::metadata(&path).unwrap();
            let times = (m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
            (std::fs::read(&path).unwrap(), times, m.uid(), m.mode())
        })
    };
    let before = state();
    let root = Root::open(folder.path()).unwrap();
    for copy in 0..20 {
        let target = folder.path().join(format!("copy-{copy}"));
        database(&root, Path::new("db"), &target, Duration::from_secs(10)).unwrap();
        assert!(state() == before);
    }
    let names = std::fs::read_dir(folder.path()).unwrap();
    let companions = names.filter(|n| {
        let name = n.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("db-")
    });
    assert_eq!(companions.count(), 2, "nothing new stands beside it");
}

#[test]
fn a_database_in_exclusive_mode_is_copied_by_its_log_or_told_busy() {
    for (mode, fits) in [("wal", true), ("delete", false)] {
        let folder = tempfile::tempdir().unwrap();
        let _application = Application::start("lock", &folder.path().join("db"), mode, 0);
        let root = Root::open(folder.path()).unwrap();
        let target = folder.path().join("copy");
        let captured = database(&root, Path::new("db"), &target, Duration::from_millis(5));
        match captured {
            Ok(_) if fits => assert_eq!(opened(&target), ("ok".to_owned(), vec![1, 0, 0], 0)),
            Err(Error::Busy { .. }) if !fits => {}
            other => panic!("{mode}: {other:?}"),
        }
    }
}

/// As when its container is frozen: nobody waits for the lock, and the journal comes along.
#[test]
fn a_locked_database_that_stands_still_is_copied_as_a_kill_would_leave_it() {
    let folder = tempfile::tempdir().unwrap();
    let _application = Application::start("lock", &folder.path().join("db"), "delete", 0);
    let root = Root::open(folder.path()).unwrap();
    let target = folder.path().join("copy");
    let way = Way {
        is_still: true,
        ..Way::default()
    };
    database_by(&root, Path::new("db"), &target, &way).unwrap();
    assert_eq!(opened(&target), ("ok".to_owned(), vec![1, 0, 0], 0));
}

#[test]
fn an_earlier_copy_is_used_up_and_made_equal() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live");
    std::fs::create_dir(&live).unwrap();
    let write = |sql: &str| {
        Connection::open(live.join("db"))
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    };
    write("create table t(w, a, b)");
    let root = Root::open(&live).unwrap();
    let (early, target) = (folder.path().join("early"), folder.path().join("copy"));
    database(&root, Path::new("db"), &early, Duration::ZERO).unwrap();
    write("insert into t values (0, 1, 2), (0, -1, 3)");
    let way = Way {
        is_still: true,
        early: Some(&early),
        ..Way::default()
    };
    database_by(&root, Path::new("db"), &target, &way).unwrap();
    assert_eq!(opened(&target), ("ok".to_owned(), vec![1, 0, 0], 0));
    assert!(!early.exists());
}

/// Sharing the blocks of a file in so many pieces would keep its writers waiting for most of a second.
#[test]
fn a_database_in_more_than_20_000_pieces_is_copied_before_the_pin() {
    const PAGE: usize = 4096;
    let Some(disk) = Disk::new("btrfs", 1024, "a database in many pieces") else {
        return;
    };
    let live = disk.path().join("live");
    std::fs::create_dir(&live).unwrap();
    let path = live.join("db");
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "pragma page_size = 4096; create table t(w, a, b); insert into t values (0, 1, 2), (0, -1, 3);
         create table bulk(b);
         with recursive n(i) as (select 1 union all select i + 1 from n where i < 24000)
         insert into bulk select randomblob(3900) from n",
    )
    .unwrap();
    drop(db);
    let root = Root::open(&live).unwrap();
    let capture = |name: &str| {
        let target = disk.path().join(name);
        let captured = database(&root, Path::new("db"), &target, Duration::ZERO).unwrap();
        assert_eq!(opened(&target), ("ok".to_owned(), vec![1, 0, 0], 0));
        (captured, target)
    };
    let source = File::options().read(true).write(true).open(&path).unwrap();
    source.sync_all().unwrap();
    assert_eq!(capture("compact").0.files[0].how, How::Reflink);
    // Every other page is written again, with the bytes that it has: each becomes a piece of its own.
    let mut page = vec![0; PAGE];
    let pages = usize::try_from(source.metadata().unwrap().len()).unwrap() / PAGE;
    for at in (0..pages).step_by(2).map(|n| (n * PAGE) as u64) {
        source.read_exact_at(&mut page, at).unwrap();
        source.write_all_at(&page, at).unwrap();
    }
    source.sync_all().unwrap();
    assert!(has_more_extents_than(&source, MOST_EXTENTS));
    let (captured, target) = capture("in-pieces");
    assert_eq!(captured.files[0].how, How::Copy);
    assert!(std::fs::read(&target).unwrap() == std::fs::read(&path).unwrap());
    assert!(captured.blocked <= BUDGET);
}
