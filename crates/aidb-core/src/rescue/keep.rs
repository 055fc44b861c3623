//! Copying what counts of a layer, databases first, within a limit and a time.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::layer::{LeftOut, Sorted};
use crate::capture::attributes::{ctime_ns, mtime_ns, xattrs};
use crate::capture::copy;
use crate::capture::copy::{create, transfer};
use crate::capture::database::{Part, Way, database, database_by};
use crate::capture::freeze::Freezer;
use crate::capture::pin::{same_state, sidecar};
use crate::capture::walk::{Found, Root};
use crate::error::{Error, IoContext, Result};
use crate::folder::remove_if_there;
use crate::manifest::{Entry, Gap, How, Kind, RelPath, Source, Xattr};
use crate::runs::read_up_to;
use crate::userns::IdMap;

/// How often a file is copied again because it changed meanwhile. The application's locks are not seen from below its
/// overlay (both ways were tried), so that only standing still tells that a copy is whole. A database that never does is
/// copied while its container is frozen.
const ATTEMPTS: usize = 5;

/// For how long the container may stand still for one database. Without blocks to share, a large one takes longer.
const FREEZE: Duration = Duration::from_secs(2);

/// What was kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Parents before their children.
    pub entries: Vec<Entry>,
    /// What did not fit, or for which the time was not enough.
    pub left_out: Vec<LeftOut>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// What never stood still.
    pub unsteady: Vec<RelPath>,
    /// For how long the container was frozen, milliseconds.
    pub frozen_ms: u64,
}

/// What bounds a rescue, and what it may use.
pub(super) struct Limits<'a> {
    /// How much to keep.
    pub bytes: u64,
    /// Until when to copy.
    pub until: Instant,
    /// Freezes the container, if it runs.
    pub freezer: Option<&'a Freezer<'a>>,
}

/// The length of the header of a `-wal` (SQLite file format, 4.1).
const WAL_HEADER_BYTES: usize = 32;

/// Inode, size and time of main and journal; inode and header of the log.
type State = (
    Option<(u64, i64, i64)>,
    Option<(u64, i64, i64)>,
    Option<(u64, Option<[u8; WAL_HEADER_BYTES]>)>,
);

struct Copy<'a> {
    root: &'a Root,
    target: &'a Path,
    ids: IdMap,
    left_bytes: u64,
    until: Instant,
    freezer: Option<&'a Freezer<'a>>,
    made: BTreeSet<PathBuf>,
    out: Kept,
}

/// Copies into the new folder `target`.
///
/// # Errors
/// [`crate::Error::Io`] if the copy cannot be written. What of the layer cannot be read is a gap, not an error.
pub(super) fn keep(
    root: &Root,
    sorted: &Sorted,
    target: &Path,
    limits: &Limits<'_>,
) -> Result<Kept> {
    let mut copy = Copy {
        root,
        target,
        ids: IdMap::of_this_process(),
        left_bytes: limits.bytes,
        until: limits.until,
        freezer: limits.freezer,
        made: BTreeSet::new(),
        out: Kept::default(),
    };
    std::fs::create_dir(target).doing("make the folder", target)?;
    for found in &sorted.databases {
        if copy.has_room(found) {
            copy.database(found)?;
        }
    }
    for found in &sorted.files {
        if copy.has_room(found) {
            copy.file(found)?;
        }
    }
    for found in &sorted.others {
        copy.other(found)?;
    }
    copy.folders(&sorted.folders);
    let mut out = copy.out;
    out.entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(out)
}

impl Copy<'_> {
    /// Takes a file's size off what may be kept; says so if there is not as much.
    fn has_room(&mut self, found: &Found) -> bool {
        let size_bytes = u64::try_from(found.stat.st_size).unwrap_or(0);
        let why = if Instant::now() >= self.until {
            "the time was not enough"
        } else if size_bytes > self.left_bytes {
            "it does not fit into the limit"
        } else {
            self.left_bytes -= size_bytes;
            return true;
        };
        self.out.left_out.push(LeftOut {
            path: found.path.clone().into(),
            size_bytes,
            why: why.into(),
        });
        false
    }

    /// Captures a database again and again until its files stood still over the copy, at last with the container frozen.
    fn database(&mut self, found: &Found) -> Result<()> {
        let path = self.make_parents(&found.path)?;
        for attempt in 1.. {
            let before = self.states(&found.path);
            let left = self.until.saturating_duration_since(Instant::now());
            let patience = left.min(Duration::from_secs(2));
            let parts = match database(self.root, &found.path, &path, patience) {
                Ok(captured) => captured.files,
                // Written to without a pause: no attempt found it as it had been a moment before.
                Err(e) if matches!(e, Error::Busy { .. }) && self.freezer.is_some() => Vec::new(),
                Err(e) => {
                    self.gap(&found.path, &crate::error::told(&e));
                    return Ok(());
                }
            };
            let stood_still = !parts.is_empty() && before == self.states(&found.path);
            if !stood_still && attempt < ATTEMPTS && Instant::now() < self.until {
                for part in &parts {
                    let copy = sidecar(&path, part.suffix);
                    std::fs::remove_file(&copy).doing("replace", &copy)?;
                }
                continue;
            }
            let parts = if stood_still {
                parts
            } else if let Some(parts) = self.frozen(found, &path)? {
                parts
            } else if parts.is_empty() {
                self.gap(&found.path, "it is written to without a pause");
                return Ok(());
            } else {
                self.out.unsteady.push(found.path.clone().into());
                parts
            };
            for part in parts {
                let relative = sidecar(&found.path, part.suffix);
                let attributes = self.attributes(&relative);
                let copy = sidecar(&path, part.suffix);
                self.add_file(&relative, &copy, part.how, &part.stat, attributes)?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// Captures a database while its container is frozen, in place of the copy that is there; `None` if that cannot be
    /// done in time: then the copy stays.
    fn frozen(&mut self, found: &Found, path: &Path) -> Result<Option<Vec<Part>>> {
        let Some(frozen) = self.freezer.and_then(|freezer| freezer.freeze().ok()) else {
            return Ok(None);
        };
        let still = sidecar(path, ".still");
        let way = Way {
            is_still: true,
            limits: copy::Limits {
                until: Some(frozen.since() + FREEZE),
                ..copy::Limits::default()
            },
            ..Way::default()
        };
        let captured = database_by(self.root, &found.path, &still, &way);
        self.out.frozen_ms += u64::try_from(frozen.thaw().as_millis()).unwrap_or(u64::MAX);
        let suffixes = ["", "-wal", "-journal"];
        for suffix in suffixes {
            let (new, old) = (sidecar(&still, suffix), sidecar(path, suffix));
            let moved = match &captured {
                Ok(parts) if parts.files.iter().any(|p| p.suffix == suffix) => {
                    std::fs::rename(&new, &old)
                }
                Ok(_) => remove_if_there(&old),
                Err(_) => remove_if_there(&new),
            };
            moved.doing("replace", &old)?;
        }
        Ok(captured.ok().map(|c| c.files))
    }

    /// What tells whether a copy of a database is of one instant: main and journal as they were, and the same log. A log
    /// that only grew is no matter, since what lies behind its last whole commit is not read.
    fn states(&self, main: &Path) -> State {
        let stat = |suffix| self.root.stat(&sidecar(main, suffix)).ok().flatten();
        let whole = |suffix| stat(suffix).map(|s| (s.st_ino, s.st_size, mtime_ns(&s)));
        let mut header = [0; WAL_HEADER_BYTES];
        let log = stat("-wal").map(|s| {
            let read = self
                .root
                .open_file(&sidecar(main, "-wal"))
                .is_ok_and(|file| read_up_to(&file, &mut header, 0).is_ok());
            (s.st_ino, read.then_some(header))
        });
        (whole(""), whole("-journal"), log)
    }

    fn file(&mut self, found: &Found) -> Result<()> {
        let source = match self.root.open_file(&found.path) {
            Ok(source) => source,
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => {
                self.gap(
                    &found.path,
                    &format!("cannot be read: {}", std::io::Error::from(e)),
                );
                return Ok(());
            }
        };
        let path = self.make_parents(&found.path)?;
        for attempt in 1.. {
            let copy = create(&path).doing("write", &path)?;
            let before = fstat(&source).doing("look at", &path)?;
            let how = transfer(&source, &copy).doing("copy to", &path)?;
            let after = fstat(&source).doing("look at", &path)?;
            let stood_still = same_state(&before, &after);
            if !stood_still && attempt < ATTEMPTS && Instant::now() < self.until {
                std::fs::remove_file(&path).doing("replace", &path)?;
                continue;
            }
            if !stood_still {
                self.out.unsteady.push(found.path.clone().into());
            }
            let attributes = self.attributes(&found.path);
            return self.add_file(&found.path, &path, how, &before, attributes);
        }
        Ok(())
    }

    /// Keeps a link as a link; names a pipe, socket or device.
    fn other(&mut self, found: &Found) -> Result<()> {
        let special = |what: &str| Kind::Special { what: what.into() };
        let kind = match FileType::from_raw_mode(found.stat.st_mode) {
            FileType::Symlink => match self.root.read_link(&found.path) {
                Ok(target) => {
                    let path = self.make_parents(&found.path)?;
                    std::os::unix::fs::symlink(&target, &path).doing("make the link", &path)?;
                    Kind::Symlink {
                        target: target.into(),
                    }
                }
                Err(_) => return Ok(()),
            },
            FileType::Fifo => special("fifo"),
            FileType::Socket => special("socket"),
            FileType::BlockDevice => special("block-device"),
            _ => special("character-device"),
        };
        self.entry(&found.path, kind, &found.stat, Vec::new());
        Ok(())
    }

    /// Names the folders that lead to something.
    fn folders(&mut self, folders: &[Found]) {
        for found in folders
            .iter()
            .filter(|f| self.made.contains(&f.path))
            .collect::<Vec<_>>()
        {
            let attributes = self.attributes(&found.path);
            self.entry(&found.path, Kind::Folder, &found.stat, attributes);
        }
    }

    fn make_parents(&mut self, relative: &Path) -> Result<PathBuf> {
        let path = self.target.join(relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).doing("make the folder", parent)?;
        }
        self.made
            .extend(relative.ancestors().skip(1).map(Path::to_owned));
        Ok(path)
    }

    /// Returns the attributes of a file that belong to it, and not to the overlay.
    fn attributes(&self, relative: &Path) -> Vec<Xattr> {
        let mut attributes = self
            .root
            .open_at(relative, rustix::fs::OFlags::RDONLY)
            .map(|fd| xattrs(&fd))
            .unwrap_or_default();
        attributes.retain(|a| !a.name.starts_with("user.overlay."));
        attributes
    }

    fn add_file(
        &mut self,
        relative: &Path,
        copy: &Path,
        how: How,
        stat: &Stat,
        attributes: Vec<Xattr>,
    ) -> Result<()> {
        let size_bytes = std::fs::metadata(copy).doing("look at", copy)?.len();
        let blake3 = Some(crate::look::content::hash(copy).doing("read", copy)?);
        std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o400))
            .doing("protect", copy)?;
        let source = Source {
            inode: stat.st_ino,
            mtime_ns: mtime_ns(stat),
            ctime_ns: ctime_ns(stat),
            size_bytes: Some(size_bytes),
            database: None,
        };
        let kind = Kind::File {
            size_bytes,
            blake3,
            how,
            source,
        };
        self.entry(relative, kind, stat, attributes);
        Ok(())
    }

    fn entry(&mut self, path: &Path, kind: Kind, stat: &Stat, xattrs: Vec<Xattr>) {
        let (uid, gid) = self.ids.to_container(stat.st_uid, stat.st_gid);
        self.out.entries.push(Entry {
            path: path.into(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            mtime_ns: mtime_ns(stat),
            xattrs,
        });
    }

    fn gap(&mut self, path: &Path, why: &str) {
        self.out.gaps.push(Gap {
            path: path.into(),
            why: why.into(),
        });
    }
}
