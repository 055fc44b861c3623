//! The pin: holding a live SQLite database still, by SQLite's own locks, without opening it with SQLite.
//!
//! The locks are open-file-description locks: they belong to this open file, so closing another descriptor of the same
//! file in this process does not drop them, and they end with the process. They are shared locks only: readers go on;
//! a writer in WAL mode goes on; a writer in rollback mode waits, and nobody checkpoints.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

use super::walk::Root;

/// SQLite's lock bytes on the main file (`os.h`: `PENDING_BYTE` and what follows it).
const PENDING: i64 = 0x4000_0000;
const RESERVED: i64 = PENDING + 1;
const SHARED_FIRST: i64 = PENDING + 2;
const SHARED_SIZE: i64 = 510;
/// The checkpointer's lock byte in the `-shm` file (SQLite, "WAL-mode file format", 2.3.1: byte 120 is the writer's).
const SHM_CHECKPOINT: i64 = 121;

/// How long to sleep between attempts at a lock.
const PAUSE: Duration = Duration::from_millis(2);

/// A database held still until dropped.
#[derive(Debug)]
pub struct Pin {
    main: File,
    /// The `-shm` file with the checkpoint lock, or the state of main when there was none.
    shm: Option<File>,
    stat: Stat,
    since: Instant,
}

/// Why a database could not be pinned.
#[derive(Debug)]
pub enum Refusal {
    /// An application kept its exclusive lock for all the time given.
    Locked,
    /// The system refused.
    System(std::io::Error),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked => f.write_str("an application keeps it locked"),
            Self::System(e) => write!(f, "it cannot be held still: {e}"),
        }
    }
}

impl From<Errno> for Refusal {
    fn from(e: Errno) -> Self {
        Self::System(e.into())
    }
}

impl From<std::io::Error> for Refusal {
    fn from(e: std::io::Error) -> Self {
        Self::System(e)
    }
}

impl Pin {
    /// Pins the database at `relative`, waiting up to `patience` for each lock.
    pub fn take(root: &Root, relative: &Path, patience: Duration) -> Result<Self, Refusal> {
        let main = root.open_file(relative)?;
        let deadline = Instant::now() + patience;
        // In SQLite's own order, so that a writer that waits with PENDING held is not starved by us.
        lock(&main, PENDING, 1, deadline)?;
        lock(&main, SHARED_FIRST, SHARED_SIZE, deadline)?;
        set(&main, libc::F_UNLCK, PENDING, 1)?;
        let shm = match root.open_file(&sidecar(relative, "-shm")) {
            Ok(shm) => {
                lock(&shm, SHM_CHECKPOINT, 1, deadline)?;
                Some(shm)
            }
            Err(Errno::NOENT) => None,
            Err(e) => return Err(e.into()),
        };
        let stat = fstat(&main)?;
        // Until here nobody waited for us: who kept us waiting was at work itself, a commit or a checkpoint, and the
        // checkpoint lock is held by others in WAL mode only, where our lock of main stops no writer.
        let since = Instant::now();
        Ok(Self {
            main,
            shm,
            stat,
            since,
        })
    }

    /// Returns the main file.
    #[must_use]
    pub fn main(&self) -> &File {
        &self.main
    }

    /// Returns whether no writer of a rollback-mode database has begun a transaction. If one has, the `-journal`
    /// is its own and not hot; main is unchanged, because changing it would need to pass our lock.
    pub fn no_writer(&self) -> std::io::Result<bool> {
        let mut probe = range(libc::F_RDLCK, RESERVED, 1);
        fcntl(&self.main, FcntlArg::F_OFD_GETLK(&mut probe)).map_err(std::io::Error::from)?;
        Ok(probe.l_type == range(libc::F_UNLCK, 0, 0).l_type)
    }

    /// Returns whether all that was held is still what the names lead to.
    ///
    /// A database that was renamed over, a `-shm` that appeared: what was copied may be a mixture.
    #[must_use]
    pub fn held(&self, root: &Root, relative: &Path) -> bool {
        let named = |file: &File, path: &Path| match (fstat(file), root.stat(path)) {
            (Ok(open), Ok(Some(name))) => {
                open.st_nlink > 0 && open.st_ino == name.st_ino && open.st_dev == name.st_dev
            }
            _ => false,
        };
        let shm_path = sidecar(relative, "-shm");
        let shm_held = if let Some(shm) = &self.shm {
            named(shm, &shm_path)
        } else {
            let still_absent = matches!(root.stat(&shm_path), Ok(None));
            still_absent && fstat(&self.main).is_ok_and(|now| same_state(&now, &self.stat))
        };
        named(&self.main, relative) && shm_held
    }

    /// Returns for how long writers may have been waiting.
    #[must_use]
    pub fn held_for(&self) -> Duration {
        self.since.elapsed()
    }
}

/// The suffixes of the files that SQLite keeps beside a database's main file.
pub const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Returns the companions of a database that exist.
#[must_use]
pub fn companions(main: &Path) -> Vec<PathBuf> {
    COMPANIONS
        .iter()
        .map(|s| sidecar(main, s))
        .filter(|p| p.exists())
        .collect()
}

/// Returns the name of the main file if a name is, by its suffix, one of a companion.
#[must_use]
pub fn main_of(name: &str) -> Option<&str> {
    COMPANIONS
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
}

/// Returns the path of a database's companion file.
#[must_use]
pub fn sidecar(main: &Path, suffix: &str) -> PathBuf {
    let mut name = main.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns whether a file's size and times are unchanged.
#[must_use]
pub fn same_state(a: &Stat, b: &Stat) -> bool {
    a.st_ino == b.st_ino
        && a.st_size == b.st_size
        && (a.st_mtime, a.st_mtime_nsec) == (b.st_mtime, b.st_mtime_nsec)
        && (a.st_ctime, a.st_ctime_nsec) == (b.st_ctime, b.st_ctime_nsec)
}

fn range(kind: libc::c_int, start: i64, length: i64) -> libc::flock {
    let short =
        |n: libc::c_int| libc::c_short::try_from(n).expect("fcntl's constants are below 10");
    libc::flock {
        l_type: short(kind),
        l_whence: short(libc::SEEK_SET),
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

fn set(file: &File, kind: libc::c_int, start: i64, length: i64) -> Result<(), Errno> {
    let flock = range(kind, start, length);
    match fcntl(file, FcntlArg::F_OFD_SETLK(&flock)) {
        Ok(_) => Ok(()),
        Err(e) => Err(Errno::from_raw_os_error(e as i32)),
    }
}

fn lock(file: &File, start: i64, length: i64, deadline: Instant) -> Result<(), Refusal> {
    loop {
        match set(file, libc::F_RDLCK, start, length) {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN | Errno::ACCESS | Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        if Instant::now() >= deadline {
            return Err(Refusal::Locked);
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn database(mode: &str) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("db")).unwrap();
        db.busy_timeout(Duration::ZERO).unwrap();
        db.pragma_update(None, "journal_mode", mode).unwrap();
        db.execute_batch("create table t(x); insert into t values (1)")
            .unwrap();
        (folder, db)
    }

    /// A process that another test starts holds a copy of our descriptors, and so the lock, until it runs its program.
    fn patient(db: &Connection) {
        db.busy_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_rollback_writer_waits_while_pinned_and_goes_on_afterwards() {
        let (folder, db) = database("delete");
        let root = Root::open(folder.path()).unwrap();
        let pin = Pin::take(&root, Path::new("db"), Duration::ZERO).unwrap();
        assert!(pin.no_writer().unwrap());
        assert!(db.execute("insert into t values (2)", []).is_err());
        assert!(pin.held(&root, Path::new("db")));
        drop(pin);
        patient(&db);
        db.execute("insert into t values (2)", []).unwrap();
    }

    #[test]
    fn a_wal_writer_goes_on_while_pinned_and_nobody_checkpoints() {
        let (folder, db) = database("wal");
        let root = Root::open(folder.path()).unwrap();
        let main = folder.path().join("db");
        let pin = Pin::take(&root, Path::new("db"), Duration::ZERO).unwrap();
        let before = std::fs::read(&main).unwrap();
        db.execute("insert into t values (2)", []).unwrap();
        let checkpoint = || db.query_row("pragma wal_checkpoint(full)", [], |r| r.get::<_, i64>(0));
        assert_ne!(checkpoint().unwrap_or(1), 0);
        assert_eq!(std::fs::read(&main).unwrap(), before);
        drop(pin);
        patient(&db);
        assert_eq!(checkpoint().unwrap(), 0);
        assert_ne!(std::fs::read(&main).unwrap(), before);
    }

    #[test]
    fn a_writer_that_began_is_seen_and_one_in_exclusive_mode_refuses_us() {
        let (folder, db) = database("delete");
        let root = Root::open(folder.path()).unwrap();
        db.execute_batch("begin immediate").unwrap();
        assert!(
            !Pin::take(&root, Path::new("db"), Duration::ZERO)
                .unwrap()
                .no_writer()
                .unwrap()
        );
        patient(&db);
        db.execute_batch("rollback; pragma locking_mode = exclusive; begin exclusive; insert into t values (3); commit").unwrap();
        let refused = Pin::take(&root, Path::new("db"), Duration::from_millis(5));
        assert!(matches!(refused, Err(Refusal::Locked)), "{refused:?}");
    }

    #[test]
    fn a_database_that_was_renamed_over_is_noticed() {
        let (folder, _db) = database("delete");
        let root = Root::open(folder.path()).unwrap();
        let pin = Pin::take(&root, Path::new("db"), Duration::ZERO).unwrap();
        std::fs::write(folder.path().join("other"), "other").unwrap();
        std::fs::rename(folder.path().join("other"), folder.path().join("db")).unwrap();
        assert!(!pin.held(&root, Path::new("db")));
    }
}
