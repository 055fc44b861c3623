//! What restores have put aside: found by name alone, kept until the user removes it, and what `undo` swaps back.
//!
//! A whole folder lies beside the data folder as it was, under a name with the time. Entries that were put aside
//! lie in a folder of ours:
//!
//! ```text
//! NAME.aidb-before-TIME.part/       or, inside the data folder, .aidb-before-TIME/
//!   aidb-put-aside.json             what was put aside and what came in its place; absent until the restore is done
//!   data/…                          the entries, at their paths
//!   late-1/…                        what an application made in the middle of a restore that was killed
//! ```

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::place::Place;
use super::step::{remove_file, remove_folder};
use super::subvolume;
use crate::aside_name::Name;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::manifest::RelPath;

pub use crate::aside_name::is_ours;

/// The description's name.
pub(super) const DESCRIPTION: &str = "aidb-put-aside.json";
/// The folder of the entries.
pub(super) const CONTENT: &str = "data";
/// How the folders of what came late begin.
pub(super) const LATE: &str = "late";

/// The version of the description that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// One thing that a restore, or its undoing, put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutAside {
    /// Its folder.
    pub path: PathBuf,
    /// When it was put aside. It is later than that of any put-aside before it, even if the clock was set back.
    pub at: Timestamp,
    /// What of the data folder it is.
    pub extent: Extent,
}

/// What of the data folder was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// The folder itself.
    Folder,
    /// All of its entries.
    Everything,
    /// These entries, or those that stood in the way of these.
    Paths(Vec<PathBuf>),
}

/// The content of `aidb-put-aside.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Contents {
    format: u32,
    /// Everything was replaced, but for `left`.
    pub whole: bool,
    /// What moved here.
    pub put_aside: Vec<RelPath>,
    /// What came in.
    pub brought_in: Vec<RelPath>,
    /// What stayed where it was because it is excluded.
    pub left: Vec<RelPath>,
}

impl Contents {
    /// Returns the description of what these moves put aside.
    pub fn new(whole: bool, moves: &super::select::Moves, left: &[PathBuf]) -> Self {
        let list = |paths: &[PathBuf]| paths.iter().cloned().map(RelPath::from).collect();
        Self {
            format: FORMAT,
            whole,
            put_aside: list(&moves.out),
            brought_in: list(&moves.r#in),
            left: list(left),
        }
    }

    /// Reads the description of a put-aside; `None` if there is none, or none that can be understood.
    pub fn read(folder: &Path) -> Option<Self> {
        let bytes = std::fs::read(folder.join(DESCRIPTION)).ok()?;
        let contents: Self = serde_json::from_slice(&bytes).ok()?;
        let mut paths = contents
            .put_aside
            .iter()
            .chain(&contents.brought_in)
            .chain(&contents.left);
        (contents.format <= FORMAT && paths.all(RelPath::stays_below)).then_some(contents)
    }
}

/// Returns whether a put-aside of entries has its description, be it one that cannot be understood.
pub(super) fn is_described(folder: &Path) -> bool {
    folder.join(DESCRIPTION).symlink_metadata().is_ok()
}

/// Returns what was put aside for a guard, oldest first. One whose entries have all moved back is none: an undo that was
/// killed right then has not removed it yet.
pub fn list(guard: &Guard) -> Result<Vec<PutAside>> {
    let mut all = list_at(&Place::of(&guard.data)?)?;
    all.retain(|aside| aside.extent == Extent::Folder || !is_emptied(&aside.path));
    Ok(all)
}

/// Returns whether nothing is left of the entries that a put-aside describes.
fn is_emptied(folder: &Path) -> bool {
    let is_gone = |path: &RelPath| {
        let entry = folder.join(CONTENT).join(path.as_path());
        matches!(entry.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound)
    };
    Contents::read(folder)
        .is_some_and(|c| !c.put_aside.is_empty() && c.put_aside.iter().all(is_gone))
        && !has_late_entries(folder)
}

/// Returns whether a put-aside holds what an application made in the middle of a restore that was killed.
fn has_late_entries(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let late = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(LATE);
    entries.map(|e| e.file_name()).any(|name| late(&name))
}

pub(super) fn list_at(place: &Place) -> Result<Vec<PutAside>> {
    let mut found = Vec::new();
    for (name, path) in place
        .names_beside()?
        .into_iter()
        .chain(place.names_inside()?)
    {
        let (at, extent) = match name {
            Name::Before { at, part: false } => (at, Extent::Folder),
            Name::Before { at, part: true } => match Contents::read(&path) {
                Some(contents) => (at, extent_of(&contents)),
                // Being made, or not to be understood.
                None => continue,
            },
            Name::Exchange {
                at,
                inode,
                subvolume,
            } if !is_staged(&path, inode, subvolume)? => (at, Extent::Folder),
            Name::Exchange { .. } | Name::Staging { .. } => continue,
        };
        found.push(PutAside { path, at, extent });
    }
    found.sort_by(|a, b| (a.at, &a.path).cmp(&(b.at, &b.path)));
    Ok(found)
}

/// Returns the size of a put-aside, following no link; what cannot be read counts nothing. Blocks that it shares
/// with the data folder are counted too.
#[must_use]
pub fn size_bytes(put_aside: &PutAside) -> u64 {
    let Ok(root) = crate::capture::Root::open(&put_aside.path) else {
        return 0;
    };
    let walk = root.walk(&crate::capture::walk::Exclude::default());
    let sizes = walk.found.iter().map(|found| &found.stat);
    sizes
        .filter(|stat| {
            use rustix::fs::FileType;
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        })
        .map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
        .sum()
}

/// Returns a time for the next put-aside.
pub(super) fn next_time(place: &Place) -> Result<Timestamp> {
    let beside = place.names_beside()?;
    let inside = place.names_inside()?;
    let taken = beside
        .iter()
        .chain(&inside)
        .filter_map(|(name, _)| match name {
            Name::Before { at, .. } | Name::Exchange { at, .. } => Some(*at),
            Name::Staging { .. } => None,
        });
    Ok(crate::aside_name::next_time(taken))
}

/// Returns whether a folder that changes places is the staged one: has this inode and, if that is a subvolume, is this
/// one.
pub(super) fn is_staged(path: &Path, inode: u64, subvolume: Option<u64>) -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::symlink_metadata(path).doing("look at", path)?;
    if metadata.ino() != inode {
        return Ok(false);
    }
    match subvolume {
        Some(id) => Ok(subvolume::id(path).doing("look at", path)? == id),
        None => Ok(true),
    }
}

/// Removes a put-aside or staging folder in which nothing is left but empty folders and our description. What holds
/// anything else stays as it is.
///
/// # Errors
/// [`Error::Io`] if the description stays although nothing is left of what it describes.
pub(super) fn remove_if_empty(folder: &Path) -> Result<()> {
    if !holds_only_folders(folder) {
        return Ok(());
    }
    let description = folder.join(DESCRIPTION);
    match remove_file(&description) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e).doing("remove", &description),
    }
    // Failing here loses nothing: an empty folder stays, until the next restore.
    remove_folders(folder);
    Ok(())
}

fn holds_only_folders(folder: &Path) -> bool {
    let Ok(root) = crate::capture::Root::open(folder) else {
        return false;
    };
    let walk = root.walk(&crate::capture::walk::Exclude::default());
    walk.unreadable.is_empty()
        && walk.found.iter().all(|found| {
            use rustix::fs::FileType;
            found.path == Path::new(DESCRIPTION)
                || FileType::from_raw_mode(found.stat.st_mode) == FileType::Directory
        })
}

fn remove_folders(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_folders(&entry.path());
        }
    }
    let _ = remove_folder(folder);
}

fn extent_of(contents: &Contents) -> Extent {
    if contents.whole {
        return Extent::Everything;
    }
    let mut paths: Vec<PathBuf> = contents
        .put_aside
        .iter()
        .chain(&contents.brought_in)
        .map(|p| p.as_path().to_owned())
        .collect();
    paths.sort();
    paths.dedup();
    Extent::Paths(paths)
}

/// Returns the error for a guard without put-asides.
pub(super) fn nothing_to_undo(guard: &Guard) -> Error {
    Error::Usage {
        what: format!("nothing was put aside for `{}`", guard.name),
        hint: None,
    }
}
