//! Capturing one live SQLite database: the main file, and its `-wal` or hot `-journal`, as of one instant.
//!
//! Most of the copying happens before the pin; under it only what has moved since is copied again, so that a writer
//! in rollback mode waits milliseconds, not for the whole copy.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::copy::{create, read_up_to, refresh, transfer};
use super::pin::{Pin, Refusal, same_state, sidecar};
use super::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::vault::manifest::How;

/// For how long writers may be kept waiting. An application that waits longer shows its user an error.
const BUDGET: Duration = Duration::from_secs(2);
/// How often a capture is tried when the database is exchanged or removed under it.
const ATTEMPTS: usize = 3;
/// Times younger than this may hide a later write behind the same time stamp.
const RACY: Duration = Duration::from_secs(2);
/// The length of the header of a `-wal` (SQLite file format, 4.1).
const WAL_HEADER_BYTES: usize = 32;

/// A captured database.
#[derive(Debug)]
pub struct Database {
    /// The captured files: suffix (`""`, `-wal`, `-journal`), state of the source, how.
    pub files: Vec<Part>,
    /// For how long writers may have been waiting.
    pub blocked: Duration,
}

/// One file of a captured database.
#[derive(Debug)]
pub struct Part {
    /// What is appended to the main file's name.
    pub suffix: &'static str,
    /// The source as it was when it was copied.
    pub stat: Stat,
    /// How the bytes came here.
    pub how: How,
}

/// Captures the database at `relative` into `target` (and `target-wal`, `target-journal`).
///
/// # Errors
/// [`Error::Busy`] if an application keeps it locked, or changes too fast for the time that writers may be blocked;
/// [`Error::Io`] if it cannot be read or the copy cannot be written. What was written then is left to the caller.
pub fn database(
    root: &Root,
    relative: &Path,
    target: &Path,
    patience: Duration,
) -> Result<Database> {
    let source_path = root.path().join(relative);
    for _ in 0..ATTEMPTS {
        match attempt(root, relative, target, patience) {
            Ok(Some(database)) => return Ok(database),
            Ok(None) => {}
            Err(Failure::Locked(waited)) => {
                return match without_pin(root, relative, target)
                    .doing("copy the locked database", &source_path)?
                {
                    Some(database) => Ok(database),
                    None => Err(Error::Busy {
                        what: format!("database `{}`", source_path.display()),
                        waited,
                    }),
                };
            }
            Err(Failure::Slow(held)) => {
                return Err(Error::Busy {
                    what: format!(
                        "database `{}` changes faster than it can be copied, and",
                        source_path.display()
                    ),
                    waited: held,
                });
            }
            Err(Failure::System(e)) => return Err(e).doing("copy the database", &source_path),
        }
    }
    Err(Error::Busy {
        what: format!(
            "database `{}` is exchanged again and again, and",
            source_path.display()
        ),
        waited: patience,
    })
}

enum Failure {
    /// Somebody kept an exclusive lock for this long.
    Locked(Duration),
    /// The copy under the pin took longer than writers may wait.
    Slow(Duration),
    System(io::Error),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Self {
        Self::System(e)
    }
}

impl From<Errno> for Failure {
    fn from(e: Errno) -> Self {
        Self::System(e.into())
    }
}

/// One attempt; `None` if what was held was not what the names led to.
fn attempt(
    root: &Root,
    relative: &Path,
    target: &Path,
    patience: Duration,
) -> Result<Option<Database>, Failure> {
    for suffix in ["", "-wal", "-journal"] {
        remove_if_there(&sidecar(target, suffix))?;
    }
    let copy = create(target)?;
    // First without a lock: this copy may be torn, and is made good under the pin.
    let early = root.open_file(relative)?;
    let before = Marks::of(&early)?;
    let how = transfer(&early, &copy)?;
    drop(early);

    let began = Instant::now();
    let pin = match Pin::take(root, relative, patience) {
        Ok(pin) => pin,
        Err(Refusal::Locked) => return Err(Failure::Locked(began.elapsed())),
        Err(Refusal::System(e)) => return Err(Failure::System(e)),
    };
    let now = Marks::of(pin.main())?;
    if !now.surely_equal(&before) {
        match how {
            How::Reflink => {
                copy.set_len(0)?;
                transfer(pin.main(), &copy)?;
            }
            How::Copy | How::Link => refresh(pin.main(), &copy)?,
        }
    }
    if pin.held_for() > BUDGET {
        return Err(Failure::Slow(pin.held_for()));
    }
    let mut files = vec![Part {
        suffix: "",
        stat: now.stat,
        how,
    }];
    if let Some(part) = wal(root, relative, target, &pin)? {
        files.push(part);
    }
    if pin.no_writer()?
        && let Some(part) = journal(root, relative, target)?
    {
        files.push(part);
    }
    let held = pin.held(root, relative);
    let blocked = pin.held_for();
    drop(pin);
    Ok(held.then_some(Database { files, blocked }))
}

/// Copies the `-wal`, again and again until its header and length stood still.
///
/// Under the pin main stands still, but a writer may start the log anew once all of it was backfilled: half of the old
/// log and half of the new would revert pages, and pass every check.
fn wal(root: &Root, relative: &Path, target: &Path, pin: &Pin) -> Result<Option<Part>, Failure> {
    let path = sidecar(relative, "-wal");
    let copy_path = sidecar(target, "-wal");
    let source = match root.open_file(&path) {
        Ok(source) => source,
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    loop {
        remove_if_there(&copy_path)?;
        let copy = create(&copy_path)?;
        let (header, stat) = (wal_header(&source)?, fstat(&source)?);
        let how = transfer(&source, &copy)?;
        // Frames that were appended meanwhile belong to later commits; a changed header means another log.
        if wal_header(&source)? == header
            && wal_header(&copy)? == header
            && fstat(&source)?.st_size >= stat.st_size
        {
            return Ok(Some(Part {
                suffix: "-wal",
                stat,
                how,
            }));
        }
        if pin.held_for() > BUDGET {
            return Err(Failure::Slow(pin.held_for()));
        }
    }
}

/// Copies a `-journal` if there is one with content. Only called while nobody writes: then it is hot.
fn journal(root: &Root, relative: &Path, target: &Path) -> Result<Option<Part>, Failure> {
    let source = match root.open_file(&sidecar(relative, "-journal")) {
        Ok(source) => source,
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let stat = fstat(&source)?;
    if stat.st_size == 0 {
        return Ok(None);
    }
    let how = transfer(&source, &create(&sidecar(target, "-journal"))?)?;
    Ok(Some(Part {
        suffix: "-journal",
        stat,
        how,
    }))
}

/// Copies a WAL database that nobody lets us lock; `None` if it did not stand still, or has no WAL to judge that by.
///
/// Sound without a lock: if the log's header and inode are the same before and after, a checkpoint meanwhile wrote to
/// main only pages that the copied log holds too.
fn without_pin(root: &Root, relative: &Path, target: &Path) -> io::Result<Option<Database>> {
    for _ in 0..ATTEMPTS {
        for suffix in ["", "-wal", "-journal"] {
            remove_if_there(&sidecar(target, suffix))?;
        }
        let wal_path = sidecar(relative, "-wal");
        let wal = match root.open_file(&wal_path) {
            Ok(wal) => wal,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let header = wal_header(&wal)?;
        if header.len() < WAL_HEADER_BYTES {
            return Ok(None);
        }
        let main = root.open_file(relative)?;
        let main_how = transfer(&main, &create(target)?)?;
        let copy = create(&sidecar(target, "-wal"))?;
        let wal_stat = fstat(&wal)?;
        let wal_how = transfer(&wal, &copy)?;
        let same_name =
            matches!(root.stat(&wal_path), Ok(Some(now)) if now.st_ino == wal_stat.st_ino);
        if same_name && wal_header(&wal)? == header && wal_header(&copy)? == header {
            let files = vec![
                Part {
                    suffix: "",
                    stat: fstat(&main)?,
                    how: main_how,
                },
                Part {
                    suffix: "-wal",
                    stat: wal_stat,
                    how: wal_how,
                },
            ];
            return Ok(Some(Database {
                files,
                blocked: Duration::ZERO,
            }));
        }
    }
    Ok(None)
}

/// What tells whether a main file was written to.
struct Marks {
    stat: Stat,
    /// Change counter and version-valid-for (SQLite file format, 1.3.7 and 1.3.15).
    counters: [u8; 8],
    at: std::time::SystemTime,
}

impl Marks {
    fn of(file: &File) -> io::Result<Self> {
        let at = std::time::SystemTime::now();
        let stat = fstat(file)?;
        let mut head = [0; 100];
        read_up_to(file, &mut head, 0)?;
        let mut counters = [0; 8];
        counters[..4].copy_from_slice(&head[24..28]);
        counters[4..].copy_from_slice(&head[92..96]);
        Ok(Self { stat, counters, at })
    }

    /// Returns whether nothing was written since `earlier`; when in doubt, no.
    fn surely_equal(&self, earlier: &Self) -> bool {
        let seconds = u64::try_from(earlier.stat.st_mtime).unwrap_or(0);
        let written = std::time::UNIX_EPOCH + Duration::from_secs(seconds + 1);
        let old_enough = earlier
            .at
            .duration_since(written)
            .is_ok_and(|age| age >= RACY);
        old_enough && same_state(&self.stat, &earlier.stat) && self.counters == earlier.counters
    }
}

fn wal_header(file: &File) -> io::Result<Vec<u8>> {
    let mut header = vec![0; WAL_HEADER_BYTES];
    let got = read_up_to(file, &mut header, 0)?;
    header.truncate(got);
    Ok(header)
}

fn remove_if_there(path: &PathBuf) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;
    use std::process::{Child, Command, Stdio};

    use rusqlite::Connection;

    use super::*;

    /// What a copy shows when SQLite opens it: integrity, newest row, sum over all.
    fn opened(path: &Path) -> (String, i64, i64) {
        let db = Connection::open(path).unwrap();
        let integrity = db
            .query_row("pragma integrity_check", [], |r| r.get(0))
            .unwrap();
        let numbers = "select coalesce(max(a), 0), coalesce(sum(a), 0) from t";
        let (newest, sum) = db
            .query_row(numbers, [], |r| Ok((r.get(0)?, r.get(1)?)))
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
        fn start(role: &str, database: &Path, mode: &str) -> Self {
            let progress = database.with_file_name("progress");
            let process = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "capture::database::tests::application",
                    "--nocapture",
                ])
                .env("AIDB_TEST_ROLE", role)
                .env("AIDB_TEST_MODE", mode)
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
        let path = Path::new(&path);
        let progress = File::create(path.with_file_name("progress")).unwrap();
        match role.as_str() {
            "write" => write(path, &mode, &progress),
            "lock" => lock_for_ever(path, &mode, &progress),
            other => panic!("no role {other}"),
        }
    }

    fn note(progress: &File, n: i64) {
        // A fixed width, so that no reader sees half a number.
        progress
            .write_all_at(format!("{n:012}").as_bytes(), 0)
            .unwrap();
    }

    /// Keeps the sum over all rows zero, in transactions of many pages with a cache of few, and opens and closes, so
    /// that the `-wal` goes and comes.
    fn write(path: &Path, mode: &str, progress: &File) {
        let mut n = 0;
        loop {
            let db = Connection::open(path).unwrap();
            db.busy_timeout(Duration::from_secs(60)).unwrap();
            db.pragma_update(None, "journal_mode", mode).unwrap();
            db.pragma_update(None, "synchronous", "off").unwrap();
            db.pragma_update(None, "cache_size", 5).unwrap();
            for _ in 0..20 {
                n += 1;
                db.execute_batch(&format!(
                    "begin immediate; insert into t values ({n}, randomblob(3000)), (-{n}, randomblob(900));
                     update t set b = randomblob(2000) where rowid % 7 = {n} % 7 and abs(a) > {n} - 40; commit"
                ))
                .unwrap();
                note(progress, n);
            }
            match n / 20 % 5 {
                0 => db
                    .execute_batch(&format!("delete from t where abs(a) < {n} - 50; vacuum"))
                    .unwrap(),
                1 if mode == "wal" => {
                    db.query_row("pragma wal_checkpoint(restart)", [], |_| Ok(()))
                        .unwrap();
                }
                2 if mode == "wal" => {
                    db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))
                        .unwrap();
                }
                _ => {}
            }
        }
    }

    fn lock_for_ever(path: &Path, mode: &str, progress: &File) {
        let db = Connection::open(path).unwrap();
        db.pragma_update(None, "locking_mode", "exclusive").unwrap();
        db.pragma_update(None, "journal_mode", mode).unwrap();
        db.execute_batch(
            "create table if not exists t(a, b); insert into t values (1, 2), (-1, 3)",
        )
        .unwrap();
        note(progress, 1);
        std::thread::sleep(Duration::from_secs(600));
    }

    #[test]
    fn a_copy_of_a_live_database_is_whole_and_not_older_than_the_last_commit() {
        let copies: usize = std::env::var("AIDB_TEST_COPIES").map_or(20, |n| n.parse().unwrap());
        for mode in ["wal", "delete", "persist", "truncate"] {
            let folder = tempfile::tempdir().unwrap();
            let live = folder.path().join("live");
            std::fs::create_dir(&live).unwrap();
            let path = live.join("db");
            Connection::open(&path)
                .unwrap()
                .execute_batch("create table t(a, b)")
                .unwrap();
            let application = Application::start("write", &path, mode);
            let root = Root::open(&live).unwrap();
            for copy in 0..copies {
                let floor = application.committed();
                let target = folder.path().join(format!("copy-{copy}"));
                database(&root, Path::new("db"), &target, Duration::from_secs(30)).unwrap();
                let (integrity, newest, sum) = opened(&target);
                assert!(
                    integrity == "ok" && sum == 0 && newest >= floor,
                    "{mode}: {integrity}, sum {sum}, newest {newest}, committed before {floor}"
                );
                std::fs::remove_file(&target).unwrap();
            }
        }
    }

    #[test]
    fn a_database_in_exclusive_mode_is_copied_by_its_log_or_told_busy() {
        for (mode, fits) in [("wal", true), ("delete", false)] {
            let folder = tempfile::tempdir().unwrap();
            let _application = Application::start("lock", &folder.path().join("db"), mode);
            let root = Root::open(folder.path()).unwrap();
            let target = folder.path().join("copy");
            let captured = database(&root, Path::new("db"), &target, Duration::from_millis(5));
            match captured {
                Ok(_) if fits => assert_eq!(opened(&target), ("ok".to_owned(), 1, 0)),
                Err(Error::Busy { .. }) if !fits => {}
                other => panic!("{mode}: {other:?}"),
            }
        }
    }
}
