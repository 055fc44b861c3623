//! What of a container's layer counts: files that are no noise, and databases among them.
//!
//! The upper folder of an overlay holds more than what an application wrote: mount points, what Podman puts there, marks
//! of deleted names (a character device 0:0), and files of which only mode or owner changed (`metacopy`, without content).

use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use crate::capture::pin::{COMPANIONS, sidecar};
use crate::capture::tree::SQLITE_MAGIC;
use crate::capture::walk::{self, Exclude, Root};
use crate::error::Result;
use crate::guard::Guard;
use crate::manifest::{Gap, RelPath};
use crate::runs::read_up_to;

/// What Podman puts into every layer, and what does not outlive a container by anybody's word: memory, temporary files
/// and caches (Filesystem Hierarchy Standard 3.0; XDG Base Directory Specification).
const NOISE: [&str; 14] = [
    "etc/mtab",
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "dev",
    "proc",
    "sys",
    "run/**",
    "var/run/**",
    "tmp/**",
    "var/tmp/**",
    "var/cache/**",
    "**/.cache/**",
    "**/__pycache__/**",
];

/// What lies in a layer, noise left aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Number of regular files.
    pub files: u64,
    /// Their sizes added up.
    pub size_bytes: u64,
    /// The SQLite databases among them, by their first bytes.
    pub databases: Vec<Database>,
    /// Names of the image that are gone: they cannot be kept.
    pub deleted: Vec<RelPath>,
    /// What could not be read, and why.
    pub unreadable: Vec<Gap>,
}

/// A database in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Relative to the container's root.
    pub path: RelPath,
    /// Its size with its log, bytes.
    pub size_bytes: u64,
    /// How many tables it has; unknown until it was copied, or if it cannot be read.
    #[serde(default)]
    pub tables: Option<u64>,
    /// How many pages it has as of its last commit, its log laid over it; unknown as its tables are.
    #[serde(default)]
    pub pages: Option<u64>,
}

impl Database {
    /// Returns whether it holds tables, or could not be read to tell.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.tables != Some(0)
    }

    /// Returns how much it holds, to compare with others of its kind: pages, or what its files would make. The size of
    /// the files alone tells little: a log may be as large as its database, and hold the same pages.
    #[must_use]
    pub fn content(&self) -> u64 {
        self.pages.unwrap_or(self.size_bytes / 4096)
    }
}

/// Something that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Relative to the container's root.
    pub path: RelPath,
    /// Its size, bytes.
    pub size_bytes: u64,
    /// Why not.
    pub why: String,
}

impl Look {
    /// Returns whether there is nothing to keep and nothing that could not be looked at.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.files == 0 && self.unreadable.is_empty()
    }
}

/// The names of a layer, sorted out.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    /// What is told of it.
    pub look: Look,
    /// Main files of databases.
    pub databases: Vec<walk::Found>,
    /// Other regular files, smallest first: one huge file does not push out the small ones.
    pub files: Vec<walk::Found>,
    /// Symbolic links, pipes, sockets and devices.
    pub others: Vec<walk::Found>,
    /// All folders, parents first; those that lead to nothing kept are noise.
    pub folders: Vec<walk::Found>,
}

/// Returns the patterns of what does not count in the layer of a guard's container: the usual noise, and the guard's own
/// excludes where the container has its data.
pub(super) fn noise(guard: &Guard) -> Vec<String> {
    let mount = guard.mount.as_deref().and_then(Path::to_str).unwrap_or("");
    let mount = mount.trim_matches('/');
    let own = guard.exclude.iter().filter(|_| !mount.is_empty());
    NOISE
        .iter()
        .map(|n| (*n).to_owned())
        .chain(own.map(|pattern| format!("{mount}/{pattern}")))
        .collect()
}

/// Sorts out what lies in a layer.
pub(super) fn sort(root: &Root, noise: &[String], mounts: &[PathBuf]) -> Result<Sorted> {
    let mut walk = root.walk(&Exclude::new(noise)?);
    let mounted: Vec<&Path> = mounts
        .iter()
        .filter_map(|m| m.strip_prefix("/").ok())
        .collect();
    // Podman makes an empty file for a file that is mounted.
    walk.found
        .retain(|f| !(f.stat.st_size == 0 && mounted.contains(&f.path.as_path())));
    let mut sorted = Sorted::default();
    for (path, e) in walk.unreadable {
        sorted.look.unreadable.push(Gap {
            path: path.into(),
            why: format!("cannot be listed: {e}"),
        });
    }
    let mut regular = Vec::new();
    for found in walk.found {
        match FileType::from_raw_mode(found.stat.st_mode) {
            FileType::RegularFile if is_metadata_only(root, &found.path) => {}
            FileType::RegularFile => regular.push(found),
            FileType::Directory => sorted.folders.push(found),
            FileType::CharacterDevice if found.stat.st_rdev == 0 => {
                sorted.look.deleted.push(found.path.into());
            }
            _ => sorted.others.push(found),
        }
    }
    let is_database = |f: &walk::Found| {
        let mut head = [0; 16];
        root.open_file(&f.path)
            .is_ok_and(|file| read_up_to(&file, &mut head, 0).is_ok_and(|_| &head == SQLITE_MAGIC))
    };
    let (databases, files): (Vec<_>, Vec<_>) = regular.into_iter().partition(is_database);
    let companions: Vec<PathBuf> = databases
        .iter()
        .flat_map(|d| COMPANIONS.map(|suffix| sidecar(&d.path, suffix)))
        .collect();
    let size = |f: &walk::Found| u64::try_from(f.stat.st_size).unwrap_or(0);
    let (parts, files): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|f| companions.contains(&f.path));
    for main in &databases {
        let log = sidecar(&main.path, "-wal");
        let with = parts.iter().find(|p| p.path == log).map_or(0, size);
        sorted.look.databases.push(Database {
            path: main.path.clone().into(),
            size_bytes: size(main) + with,
            tables: None,
            pages: None,
        });
    }
    let all = || databases.iter().chain(&files);
    sorted.look.files = all().count() as u64;
    sorted.look.size_bytes = all().map(size).sum();
    sorted.databases = databases;
    sorted.files = files;
    sorted.files.sort_by_key(size);
    Ok(sorted)
}

/// Returns whether a file's content is the image's, and only its mode or owner was changed.
fn is_metadata_only(root: &Root, path: &Path) -> bool {
    let Ok(file) = root.open_file(path) else {
        return false;
    };
    ["user.overlay.metacopy", "trusted.overlay.metacopy"]
        .iter()
        .any(|name| rustix::fs::fgetxattr(&file, *name, &mut [0u8; 64]).is_ok())
}
