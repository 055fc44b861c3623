//! Capturing one live SQLite database: the main file, and its `-wal` or hot `-journal`, as of one instant.
//!
//! Where blocks can be shared, what is dirty is flushed first, and main is cloned under the pin: milliseconds. Where they
//! cannot, or the file lies in so many pieces that cloning them lasts, main is copied before the pin, and under it only
//! what has moved since is copied again. Either way a writer in rollback mode waits two seconds at most, else the
//! capture gives up.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Stat, fdatasync, fstat};
use rustix::io::Errno;

use super::copy::{
    Limits, copy_sparse, create, has_more_extents_than, knows_sharing, refresh, share,
    transfer_log, transfer_within,
};
use super::freeze::Freezer;
use super::pin::{Pin, Refusal, same_state, sidecar};
use super::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::folder::remove_if_there;
use crate::manifest::How;
use crate::runs::read_up_to;

/// For how long writers may be kept waiting. An application that waits longer shows its user an error.
const BUDGET: Duration = Duration::from_secs(2);
/// How often a capture is tried when the database is exchanged or removed under it.
const ATTEMPTS: usize = 3;
/// Times younger than this may hide a later write behind the same time stamp.
const RACY: Duration = Duration::from_secs(2);
/// The length of the header of a `-wal` (SQLite file format, 4.1).
const WAL_HEADER_BYTES: usize = 32;
/// Sharing costs 9 µs (Btrfs) to 19 µs (XFS) an extent: with more of them, writers would wait too long for it.
const MOST_EXTENTS: usize = 20_000;

/// A captured database.
#[derive(Debug)]
pub struct Database {
    /// The captured files: suffix (`""`, `-wal`, `-journal`), state of the source, how.
    pub files: Vec<Part>,
    /// For how long writers may have been waiting.
    pub blocked: Duration,
    /// For how long the container was frozen.
    pub frozen: Duration,
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

/// How a database is captured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way<'a> {
    /// How long to wait for an application's lock.
    pub patience: Duration,
    /// What bounds the copying.
    pub limits: Limits<'a>,
    /// How to freeze the container, as the last resort.
    pub freezer: Option<&'a Freezer<'a>>,
    /// Whether all that writes is frozen already.
    pub is_still: bool,
    /// An earlier copy of ours, which is used up: only what differs from it is copied.
    pub early: Option<&'a Path>,
}

/// Captures the database at `relative` into `target` (and `target-wal`, `target-journal`).
///
/// # Errors
/// As [`database_by`].
pub fn database(
    root: &Root,
    relative: &Path,
    target: &Path,
    patience: Duration,
) -> Result<Database> {
    let way = Way {
        patience,
        ..Way::default()
    };
    database_by(root, relative, target, &way)
}

/// Captures the database at `relative` into `target` (and `target-wal`, `target-journal`).
///
/// # Errors
/// [`Error::Busy`] if an application keeps it locked, or changes too fast for the time that writers may be blocked;
/// [`Error::Io`] if it cannot be read or the copy cannot be written, of the kind `TimedOut` or `StorageFull` if a limit
/// was reached. What was written then is left to the caller.
pub fn database_by(root: &Root, relative: &Path, target: &Path, way: &Way) -> Result<Database> {
    let source_path = root.path().join(relative);
    let busy = |what: &str, waited| Error::Busy {
        what: format!("database `{}`{what}", source_path.display()),
        waited,
    };
    for _ in 0..ATTEMPTS {
        match attempt(root, relative, target, way) {
            Ok(Some(database)) => return Ok(database),
            Ok(None) => {}
            Err(Failure::Locked(waited)) => {
                let unpinned = without_pin(root, relative, target, &way.limits)
                    .doing("copy the locked database", &source_path)?;
                if let Some(database) = unpinned {
                    return Ok(database);
                }
                // A container that cannot be frozen is as busy as one that need not be.
                let frozen = way.freezer.and_then(|freezer| freezer.freeze().ok());
                let Some(frozen) = frozen else {
                    return Err(busy("", waited));
                };
                let limits = Limits {
                    until: Some(earlier(way.limits.until, frozen.since() + BUDGET)),
                    ..way.limits
                };
                let copied = standing_still(root, relative, target, &limits);
                let stood = frozen.thaw();
                return match copied {
                    Ok(Some(database)) => Ok(Database {
                        frozen: stood,
                        ..database
                    }),
                    Ok(None) => Err(busy("", waited)),
                    Err(e) if e.kind() == io::ErrorKind::TimedOut => Err(busy(
                        ", which is too large to be copied while its container stands still,",
                        stood,
                    )),
                    Err(e) => Err(e).doing("copy the locked database", &source_path),
                };
            }
            Err(Failure::Slow(held)) => {
                return Err(busy(" changes faster than it can be copied, and", held));
            }
            Err(Failure::Large(held)) => {
                let what = ", which was written to within two seconds and is too large to be compared with its copy,";
                return Err(busy(what, held));
            }
            Err(Failure::System(e)) => return Err(e).doing("copy the database", &source_path),
        }
    }
    Err(busy(" is exchanged again and again, and", way.patience))
}

enum Failure {
    /// Somebody kept an exclusive lock for this long.
    Locked(Duration),
    /// The copy under the pin took longer than writers may wait.
    Slow(Duration),
    /// The same, though nothing tells that it was written to: its times are too young to tell.
    Large(Duration),
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
    way: &Way,
) -> Result<Option<Database>, Failure> {
    for suffix in ["", "-wal", "-journal"] {
        remove_if_there(&sidecar(target, suffix))?;
    }
    let early = root.open_file(relative)?;
    let (copy, earlier_copy) = begin(target, way)?;
    // What a copy was made of before the pin may be torn, and is made good under it.
    let mut before = None;
    let may_share =
        knows_sharing(&copy) && !earlier_copy && !has_more_extents_than(&early, MOST_EXTENTS);
    if may_share {
        flush(root, relative, &early);
    } else if !earlier_copy {
        before = Some(Marks::of(&early)?);
        copy_sparse(&early, &copy, &way.limits)?;
    }
    let mut how = How::Copy;
    loop {
        let began = Instant::now();
        let patience = if way.is_still {
            Duration::ZERO
        } else {
            way.patience
        };
        let pin = match Pin::take(root, relative, patience) {
            Ok(pin) => pin,
            Err(Refusal::Locked) if way.is_still => {
                return Ok(standing_still(root, relative, target, &way.limits)?);
            }
            Err(Refusal::Locked) => return Err(Failure::Locked(began.elapsed())),
            Err(Refusal::System(e)) => return Err(Failure::System(e)),
        };
        let now = Marks::of(pin.main())?;
        if may_share && before.is_none() {
            if share(pin.main(), &copy)? {
                how = How::Reflink;
            } else {
                // These two cannot share blocks, which costs no time to find out: copy first, then pin again.
                drop(pin);
                before = Some(Marks::of(&early)?);
                copy_sparse(&early, &copy, &way.limits)?;
                continue;
            }
        } else if !before
            .as_ref()
            .is_some_and(|before| now.surely_equal(before))
        {
            let limits = Limits {
                until: Some(earlier(way.limits.until, Instant::now() + BUDGET)),
                ..way.limits
            };
            refresh(pin.main(), &copy, &limits).map_err(|e| match e.kind() {
                io::ErrorKind::TimedOut if pin.held_for() >= BUDGET => {
                    let seems_equal = before.as_ref().is_some_and(|b| now.seems_equal(b));
                    if seems_equal {
                        Failure::Large(pin.held_for())
                    } else {
                        Failure::Slow(pin.held_for())
                    }
                }
                _ => Failure::System(e),
            })?;
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
        return Ok(held.then_some(Database {
            files,
            blocked,
            frozen: Duration::ZERO,
        }));
    }
}

/// Makes the file that receives main; an earlier copy of ours, where there is one, becomes it.
fn begin(target: &Path, way: &Way) -> io::Result<(File, bool)> {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(early) = way.early {
        let writable = std::fs::Permissions::from_mode(0o600);
        match std::fs::set_permissions(early, writable) {
            Ok(()) => {
                std::fs::rename(early, target)?;
                let copy = File::options().read(true).write(true).open(target)?;
                return Ok((copy, true));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok((create(target)?, false))
}

/// Sends what is dirty to the disk, so that sharing blocks under the pin does not have to. That it cannot be done only
/// makes the pin longer.
fn flush(root: &Root, relative: &Path, main: &File) {
    let _ = fdatasync(main);
    if let Ok(wal) = root.open_file(&sidecar(relative, "-wal")) {
        let _ = fdatasync(&wal);
    }
}

fn earlier(deadline: Option<Instant>, other: Instant) -> Instant {
    deadline.map_or(other, |deadline| deadline.min(other))
}

/// Copies a database that nobody can write to, because its container is frozen: as a kill at this instant would leave
/// it, so with its journal. `None` if its names do not lead to what was copied.
fn standing_still(
    root: &Root,
    relative: &Path,
    target: &Path,
    limits: &Limits,
) -> io::Result<Option<Database>> {
    let mut files = Vec::new();
    for suffix in ["", "-wal", "-journal"] {
        let path = sidecar(relative, suffix);
        remove_if_there(&sidecar(target, suffix))?;
        let source = match root.open_file(&path) {
            Ok(source) => source,
            Err(Errno::NOENT) if !suffix.is_empty() => continue,
            Err(e) => return Err(e.into()),
        };
        let stat = fstat(&source)?;
        if !suffix.is_empty() && stat.st_size == 0 {
            continue;
        }
        let how = transfer_within(&source, &create(&sidecar(target, suffix))?, limits)?;
        let is_still = same_state(&fstat(&source)?, &stat)
            && matches!(root.stat(&path), Ok(Some(now)) if now.st_ino == stat.st_ino);
        if !is_still {
            return Ok(None);
        }
        files.push(Part { suffix, stat, how });
    }
    Ok(Some(Database {
        files,
        blocked: Duration::ZERO,
        frozen: Duration::ZERO,
    }))
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
        let limits = Limits {
            until: Some(Instant::now() + BUDGET),
            ..Limits::default()
        };
        let how = transfer_log(&source, &copy, &limits).map_err(|e| match e.kind() {
            io::ErrorKind::TimedOut => Failure::Slow(pin.held_for()),
            _ => Failure::System(e),
        })?;
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
    let limits = Limits {
        until: Some(Instant::now() + BUDGET),
        ..Limits::default()
    };
    let how = transfer_within(&source, &create(&sidecar(target, "-journal"))?, &limits)?;
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
fn without_pin(
    root: &Root,
    relative: &Path,
    target: &Path,
    limits: &Limits,
) -> io::Result<Option<Database>> {
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
        let main_how = transfer_within(&main, &create(target)?, limits)?;
        let copy = create(&sidecar(target, "-wal"))?;
        let wal_stat = fstat(&wal)?;
        let wal_how = transfer_log(&wal, &copy, limits)?;
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
                frozen: Duration::ZERO,
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
        old_enough && self.seems_equal(earlier)
    }

    /// Returns whether nothing tells that it was written to.
    fn seems_equal(&self, earlier: &Self) -> bool {
        same_state(&self.stat, &earlier.stat) && self.counters == earlier.counters
    }
}

/// Returns the header of a `-wal`, as much as there is of it.
pub(crate) fn wal_header(file: &File) -> io::Result<Vec<u8>> {
    let mut header = vec![0; WAL_HEADER_BYTES];
    let got = read_up_to(file, &mut header, 0)?;
    header.truncate(got);
    Ok(header)
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
