//! Deciding, file by file, what of a data folder has to be captured anew.
//!
//! *Same* is decided as git does it: inode, size and times are those of the capture before, and the times are older
//! than that capture by two seconds at least. A later write within the same tick of the clock would look the same.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::{ctime_ns, mtime_ns, size_bytes, xattrs};
use super::blobs::Blobs;
use super::pin::{COMPANIONS, sidecar};
use super::walk::{Found, Root};
use crate::guard::{Guard, StoreKind};
use crate::manifest::{DatabaseSource, Entry, Kind, Manifest, Numbering, RootFolder, Source};
use crate::userns::IdMap;

/// Times so much younger than a capture may hide a later write.
const RACY_NS: i64 = 2_000_000_000;

/// An earlier copy of the same data folder, whose files may be shared.
#[derive(Debug)]
pub struct Base {
    /// Where its files lie.
    data: PathBuf,
    entries: HashMap<PathBuf, Entry>,
    root: Option<RootFolder>,
    /// Files whose times are not before this may have been written to since.
    settled_before_ns: i64,
    /// Whether it counts also without hashes: it is not linked to by what will be proven on its word.
    is_unproven: bool,
}

/// What is to be done about one name of a data folder.
#[derive(Debug, Clone, Copy)]
pub enum Decision<'a> {
    /// Nothing differs from this entry of the base.
    Same(&'a Entry),
    /// It is captured.
    Capture,
    /// It belongs to a database that is the same, and is part of its copy.
    Part,
}

/// A decision for each name, in the order of the walk.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The base, if anything may be shared with it.
    pub base: Option<&'a Base>,
    /// In the order of the walk.
    pub decisions: Vec<Decision<'a>>,
    /// Whether the base holds exactly this: nothing differs, nothing is gone.
    pub unchanged: bool,
    /// Sizes of the files that are captured anew, added up; holes count.
    pub changed_bytes: u64,
    /// Of these, what is rewritten in place: databases and the files of vector stores.
    pub in_place_bytes: u64,
    /// The stores whose files are written through memory maps, relative to the data folder.
    pub mapped: Vec<PathBuf>,
}

impl Base {
    /// Returns a proven snapshot's files as a base; `None` if an older version wrote its manifest.
    #[must_use]
    pub fn new(data: &Path, manifest: Manifest) -> Option<Self> {
        // Owners in an older manifest are numbered otherwise, and sizes of the sources are not told.
        if manifest.summary.numbering != Numbering::Container {
            return None;
        }
        let began = i64::try_from(manifest.summary.taken_at.as_nanosecond()).ok()?;
        Some(Self {
            data: data.to_owned(),
            root: manifest.root,
            entries: by_path(manifest.entries),
            settled_before_ns: began - RACY_NS,
            is_unproven: false,
        })
    }

    /// Returns an unproven snapshot's files, to compare with: nothing links to them.
    #[must_use]
    pub fn unproven(data: &Path, manifest: Manifest) -> Option<Self> {
        Self::new(data, manifest).map(|base| Self {
            is_unproven: true,
            ..base
        })
    }

    /// Returns an earlier capture of this very run, which began at this time.
    #[must_use]
    pub fn of_capture(data: &Path, entries: Vec<Entry>, began_ns: i64) -> Self {
        Self {
            data: data.to_owned(),
            root: None,
            entries: by_path(entries),
            settled_before_ns: began_ns - RACY_NS,
            is_unproven: true,
        }
    }

    /// Returns whether every file is there, with its size.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.entries.iter().all(|(path, entry)| match &entry.kind {
            Kind::File { size_bytes, .. } => std::fs::symlink_metadata(self.data.join(path))
                .is_ok_and(|m| m.is_file() && m.len() == *size_bytes),
            _ => true,
        })
    }

    fn trusts(&self, blake3: Option<&String>) -> bool {
        self.is_unproven || blake3.is_some()
    }

    /// Returns whether a copy keeps how its bytes came to us when it is linked: within one run it does.
    #[must_use]
    pub fn is_of_this_run(&self) -> bool {
        self.is_unproven
    }

    /// Returns the folder of its files.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns where the base keeps a file.
    #[must_use]
    pub fn path_of(&self, relative: &Path) -> PathBuf {
        self.data.join(relative)
    }

    fn is_settled(&self, time_ns: i64) -> bool {
        time_ns < self.settled_before_ns
    }

    /// Returns whether a file is as it was when it was captured.
    fn holds(&self, source: &Source, stat: &Stat, by_name: bool) -> bool {
        let (mtime, ctime) = (mtime_ns(stat), ctime_ns(stat));
        source.inode == stat.st_ino
            && source.size_bytes == Some(size_bytes(stat))
            && source.mtime_ns == mtime
            && self.is_settled(mtime)
            // A new link to a blob changes its change time, and nothing of it.
            && (by_name || (source.ctime_ns == ctime && self.is_settled(ctime)))
    }

    /// Returns whether a database's log is as it was, or absent as it was, and no journal waits.
    fn holds_companions(&self, known: DatabaseSource, main: &Path, names: &Names) -> bool {
        let log = names.get(sidecar(main, "-wal").as_path());
        let log_is_same = match (known.log, log) {
            (None, None) => true,
            // An empty log is none, and comes and goes with every opening.
            (None, Some(now)) => size_bytes(now) == 0,
            (Some(then), Some(now)) => {
                let (mtime, ctime) = (mtime_ns(now), ctime_ns(now));
                then.inode == now.st_ino
                    && then.size_bytes == size_bytes(now)
                    && (then.mtime_ns, then.ctime_ns) == (mtime, ctime)
                    && self.is_settled(mtime)
                    && self.is_settled(ctime)
            }
            (Some(then), None) => then.size_bytes == 0,
        };
        let journal = names.get(sidecar(main, "-journal").as_path());
        log_is_same && journal.is_none_or(|j| size_bytes(j) == 0)
    }
}

type Names<'a> = HashMap<&'a Path, &'a Stat>;

fn by_path(entries: Vec<Entry>) -> HashMap<PathBuf, Entry> {
    let keyed = entries
        .into_iter()
        .map(|e| (e.path.as_path().to_owned(), e));
    keyed.collect()
}

/// Returns whether a file was written to since a capture that began at this time, or so shortly before that it may have
/// been: then that capture does not hold the present state, and need not be compared with it.
#[must_use]
pub fn written_since(found: &[Found], taken_at: Timestamp) -> bool {
    let began_ns = i64::try_from(taken_at.as_nanosecond()).unwrap_or(i64::MAX);
    let files = found
        .iter()
        .filter(|f| FileType::from_raw_mode(f.stat.st_mode) == FileType::RegularFile)
        // What stands beside a database may be written to, and be as good as absent.
        .filter(|f| {
            let name = f.path.as_os_str().as_encoded_bytes();
            !COMPANIONS
                .iter()
                .any(|suffix| name.ends_with(suffix.as_bytes()))
        });
    files
        .into_iter()
        .any(|f| mtime_ns(&f.stat) >= began_ns - RACY_NS)
}

/// Decides about everything that a walk found.
#[must_use]
pub fn plan<'a>(
    root: &Root,
    guard: &Guard,
    found: &[Found],
    base: Option<&'a Base>,
    blobs: &Blobs,
    ids: &IdMap,
) -> Plan<'a> {
    let names: Names = found.iter().map(|f| (f.path.as_path(), &f.stat)).collect();
    let mapped = paths_of(guard, &[StoreKind::Chroma, StoreKind::Qdrant]);
    let in_place = [paths_of(guard, &[StoreKind::Sqlite]), mapped.clone()].concat();
    let mut plan = Plan {
        base,
        decisions: Vec::with_capacity(found.len()),
        unchanged: base.is_some(),
        changed_bytes: 0,
        in_place_bytes: 0,
        mapped,
    };
    let mut met = 0;
    for f in found {
        let decision = base.map_or(Decision::Capture, |base| {
            decide(root, f, base, &names, blobs)
        });
        let kept = match decision {
            Decision::Same(entry) => {
                met += 1;
                looks_alike(root, entry, f, ids)
            }
            Decision::Part => true,
            Decision::Capture => {
                if FileType::from_raw_mode(f.stat.st_mode) == FileType::RegularFile {
                    plan.changed_bytes += size_bytes(&f.stat);
                    if in_place
                        .iter()
                        .any(|p| f.path.starts_with(p) || is_beside(&f.path, p))
                    {
                        plan.in_place_bytes += size_bytes(&f.stat);
                    }
                }
                false
            }
        };
        plan.unchanged &= kept;
        plan.decisions.push(decision);
    }
    if let Some(base) = base {
        plan.unchanged &= met == base.entries.len() && base.root == root_folder(root, ids);
    }
    plan
}

fn decide<'a>(
    root: &Root,
    found: &Found,
    base: &'a Base,
    names: &Names,
    blobs: &Blobs,
) -> Decision<'a> {
    let entry = base.entries.get(&found.path);
    if is_part_of_same(&found.path, base, names) {
        // A copy that was not folded has its log beside it.
        return entry.map_or(Decision::Part, Decision::Same);
    }
    let Some(entry) = entry else {
        return Decision::Capture;
    };
    let is_same = match (&entry.kind, FileType::from_raw_mode(found.stat.st_mode)) {
        (Kind::Folder, FileType::Directory) => true,
        (Kind::File { source, blake3, .. }, FileType::RegularFile) => {
            let by_name = blobs.digest_of(&found.path, &found.stat).is_some();
            // One whose hash is not known was never proven.
            base.trusts(blake3.as_ref())
                && base.holds(source, &found.stat, by_name)
                && source
                    .database
                    .is_none_or(|known| base.holds_companions(known, &found.path, names))
        }
        (Kind::HardLink { to }, FileType::RegularFile) => {
            let (then, now) = (base.entries.get(to.as_path()), names.get(to.as_path()));
            match (then.map(|e| &e.kind), now) {
                (Some(Kind::File { source, blake3, .. }), Some(now)) => {
                    now.st_ino == found.stat.st_ino
                        && base.trusts(blake3.as_ref())
                        && base.holds(source, now, false)
                }
                _ => false,
            }
        }
        (Kind::Symlink { target }, FileType::Symlink) => root
            .read_link(&found.path)
            .is_ok_and(|now| now == target.as_path()),
        (Kind::Special { what }, kind) => special(kind) == Some(what.as_str()),
        _ => false,
    };
    if is_same {
        Decision::Same(entry)
    } else {
        Decision::Capture
    }
}

/// Returns whether a name is a companion of a database of the base that is the same.
fn is_part_of_same(path: &Path, base: &Base, names: &Names) -> bool {
    let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
        return false;
    };
    COMPANIONS.iter().any(|suffix| {
        let Some(main) = name.strip_suffix(suffix).map(|m| path.with_file_name(m)) else {
            return false;
        };
        let (Some(entry), Some(stat)) = (base.entries.get(&main), names.get(main.as_path())) else {
            return false;
        };
        match &entry.kind {
            Kind::File { source, blake3, .. } => source.database.is_some_and(|known| {
                base.trusts(blake3.as_ref())
                    && base.holds(source, stat, false)
                    && base.holds_companions(known, &main, names)
            }),
            _ => false,
        }
    })
}

/// Returns whether what a restore would set besides the content is the same too. A folder's time changes with every
/// name that came and went, and is no difference by itself.
fn looks_alike(root: &Root, entry: &Entry, found: &Found, ids: &IdMap) -> bool {
    let owner = ids.to_container(found.stat.st_uid, found.stat.st_gid);
    let alike = entry.mode == found.stat.st_mode & 0o7777 && (entry.uid, entry.gid) == owner;
    // A file's change time tells of its attributes; a folder's was not asked.
    let attributes = match entry.kind {
        Kind::Folder => root
            .open_at(&found.path, OFlags::RDONLY | OFlags::DIRECTORY)
            .is_ok_and(|fd| xattrs(&fd) == entry.xattrs),
        Kind::Symlink { .. } | Kind::Special { .. } => entry.mtime_ns == mtime_ns(&found.stat),
        Kind::File { .. } | Kind::HardLink { .. } => true,
    };
    alike && attributes
}

/// Returns what the data folder itself shows.
#[must_use]
pub fn root_folder(root: &Root, ids: &IdMap) -> Option<RootFolder> {
    let fd = root
        .open_at(Path::new(""), OFlags::RDONLY | OFlags::DIRECTORY)
        .ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    let (uid, gid) = ids.to_container(stat.st_uid, stat.st_gid);
    Some(RootFolder {
        mode: stat.st_mode & 0o7777,
        uid,
        gid,
        xattrs: xattrs(&fd),
    })
}

/// Returns what a name that is not kept is called; `None` for what is kept.
#[must_use]
pub fn special(kind: FileType) -> Option<&'static str> {
    match kind {
        FileType::Directory | FileType::RegularFile | FileType::Symlink => None,
        FileType::Fifo => Some("fifo"),
        FileType::Socket => Some("socket"),
        FileType::BlockDevice => Some("block-device"),
        FileType::CharacterDevice => Some("character-device"),
        FileType::Unknown => Some("unknown"),
    }
}

/// Returns the paths of the stores of these kinds, relative to the data folder.
fn paths_of(guard: &Guard, kinds: &[StoreKind]) -> Vec<PathBuf> {
    let stores = guard.stores.iter().filter(|s| kinds.contains(&s.kind));
    stores
        .map(|s| {
            if s.path == Path::new(".") {
                PathBuf::new()
            } else {
                s.path.clone()
            }
        })
        .collect()
}

fn is_beside(path: &Path, main: &Path) -> bool {
    COMPANIONS
        .iter()
        .any(|suffix| sidecar(main, suffix) == path)
}

/// Returns a file that this process may not read, of the first few that belong to others; `None` if there is none.
/// Inside the container's user namespace it could be read.
#[must_use]
pub fn out_of_reach(
    root: &Root,
    found: &[Found],
    unreadable: &[(PathBuf, std::io::Error)],
) -> Option<PathBuf> {
    let denied = std::io::ErrorKind::PermissionDenied;
    if let Some((folder, _)) = unreadable.iter().find(|(_, e)| e.kind() == denied) {
        return Some(folder.clone());
    }
    let own = rustix::process::geteuid().as_raw();
    found
        .iter()
        .filter(|f| f.stat.st_uid != own)
        .filter(|f| FileType::from_raw_mode(f.stat.st_mode) == FileType::RegularFile)
        .find(|f| matches!(root.open_file(&f.path), Err(Errno::ACCESS | Errno::PERM)))
        .map(|f| f.path.clone())
}
