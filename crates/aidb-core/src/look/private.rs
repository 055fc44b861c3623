//! A private copy of a live database, taken under the pin; where there is no room for one, its bytes as they lie.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::fstat;
use rustix::io::Errno;

use super::observation::Database;
use super::scratch::Scratch;
use super::sqlite::disk;
use crate::capture::Root;
use crate::capture::copy::could_share;
use crate::capture::database::{database, wal_header};
use crate::capture::pin::{Pin, same_state, sidecar};
use crate::error::IoContext as _;
use crate::error::told;
use crate::space::{is_full, space};

/// What stays free beside a copy that shares no blocks with its original: whoever else writes there goes on.
const LEFT_FREE_BYTES: u64 = 64 << 20;

/// For how long writers may wait while bytes are read in place.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a look works on.
pub(super) enum Private {
    /// A copy, and the folder that it goes with.
    Copy {
        path: PathBuf,
        /// When the original's main file was last written to, nanoseconds since 1970.
        written_ns: Option<i64>,
        folder: tempfile::TempDir,
    },
    /// No place had room for one: what the bytes say, read under the pin.
    InPlace {
        database: Box<Database>,
        /// What it would have needed, and what there was.
        why: String,
    },
}

/// Makes a private copy of the database at `file` in the first place that has room for it.
///
/// # Errors
/// Returns why nothing could be looked at.
pub(super) fn copy(
    root: &Root,
    file: &Path,
    scratch: &Scratch,
    deadline: Instant,
) -> Result<Private, String> {
    let mut full = None;
    let mut failed = None;
    for folder in scratch.folders() {
        let made = folder.and_then(|folder| copy_in(root, file, folder, deadline));
        match made {
            Ok(Ok(private)) => return Ok(private),
            Ok(Err(NoRoom(why))) => full = full.or(Some(why)),
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    match (full, failed) {
        (Some(why), _) => in_place(root, file, deadline).map(|database| Private::InPlace {
            database: Box::new(database),
            why,
        }),
        (None, Some(why)) => Err(why),
        (None, None) => Err("there is no place for a private copy".to_owned()),
    }
}

struct NoRoom(String);

fn copy_in(
    root: &Root,
    file: &Path,
    scratch: &Path,
    deadline: Instant,
) -> Result<Result<Private, NoRoom>, String> {
    let no_room = || NoRoom(told_room(root, file, scratch));
    let made = tempfile::Builder::new()
        .prefix("look-")
        .tempdir_in(scratch)
        .doing("make a private copy in", scratch);
    let folder = match made {
        Ok(folder) => folder,
        Err(e) if is_full(&e) => return Ok(Err(no_room())),
        Err(e) => return Err(told(&e)),
    };
    if !has_room(root, file, folder.path()) {
        return Ok(Err(no_room()));
    }
    let path = folder.path().join("copy");
    let patience = deadline.saturating_duration_since(Instant::now());
    match database(root, file, &path, patience) {
        Ok(captured) => {
            let main = captured.files.first();
            let written_ns = main.and_then(|part| mtime_ns(&part.stat));
            Ok(Ok(Private::Copy {
                path,
                written_ns,
                folder,
            }))
        }
        Err(e) if is_full(&e) => Ok(Err(no_room())),
        Err(e) => Err(told(&e)),
    }
}

/// Returns whether a copy fits. One that shares its blocks with the original needs none.
fn has_room(root: &Root, file: &Path, scratch: &Path) -> bool {
    let needed = size_bytes(root, file).saturating_add(LEFT_FREE_BYTES);
    if space(scratch).is_none_or(|space| space.free_bytes >= needed) {
        return true;
    }
    let main = root.open_file(file).ok();
    main.is_some_and(|main| could_share(&main, &scratch.join("probe")))
}

/// Returns what a database's files hold together, without holes.
fn size_bytes(root: &Root, file: &Path) -> u64 {
    let allocated = |suffix| {
        let stat = root.stat(&sidecar(file, suffix)).ok().flatten();
        stat.and_then(|s| u64::try_from(s.st_blocks).ok())
            .map_or(0, |blocks| blocks * 512)
    };
    ["", "-wal", "-journal"].map(allocated).iter().sum()
}

fn told_room(root: &Root, file: &Path, scratch: &Path) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let needed = mib(size_bytes(root, file).saturating_add(LEFT_FREE_BYTES));
    let free = space(scratch).map_or_else(String::new, |space| {
        // What is known to the user is the folder that the staging folder is in.
        let place = scratch.ancestors().nth(2).unwrap_or(scratch);
        format!(
            ", found {} MiB free in `{}`",
            space.free_bytes >> 20,
            place.display()
        )
    });
    format!("a private copy needs {needed} MiB{free}")
}

/// Reads what the bytes say where they lie. Under the pin nobody checkpoints or changes the main file; the log only grows.
fn in_place(root: &Root, file: &Path, deadline: Instant) -> Result<Database, String> {
    let patience = deadline
        .saturating_duration_since(Instant::now())
        .min(PATIENCE);
    let pin = Pin::take(root, file, patience)
        .map_err(|e| format!("there is no room for a private copy, and {e}"))?;
    let open = |suffix| match root.open_file(&sidecar(file, suffix)) {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(std::io::Error::from(e)),
    };
    let read = || {
        let wal = open("-wal")?;
        let journal: Option<File> = if pin.no_writer()? {
            open("-journal")?
        } else {
            None
        };
        let state = |wal: &File| -> std::io::Result<_> { Ok((wal_header(wal)?, fstat(wal)?)) };
        let before = wal.as_ref().map(state).transpose()?;
        let mut database = disk::read_files(pin.main(), wal.as_ref(), journal.as_ref())?;
        if let (Some(wal), Some((header, stat))) = (&wal, before) {
            // A writer may start a log anew of which everything was taken over: what was read is half of each then.
            if wal_header(wal)? != header {
                return Err(std::io::Error::other("the log was started anew meanwhile"));
            }
            // What was read first lacks what was appended by the time that the rest was read, and looks torn.
            if !same_state(&fstat(wal)?, &stat) {
                database.log.torn = None;
            }
        }
        Ok(database)
    };
    let database = read().map_err(|e: std::io::Error| format!("its bytes cannot be read: {e}"))?;
    if pin.held(root, file) {
        Ok(database)
    } else {
        Err("it was exchanged while its bytes were read".to_owned())
    }
}

fn mtime_ns(stat: &rustix::fs::Stat) -> Option<i64> {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).ok()?;
    stat.st_mtime
        .checked_mul(1_000_000_000)?
        .checked_add(nanoseconds)
}
