//! Verifying: does what was kept still equal what its manifest says?

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{Advice, fadvise};

use super::layout::{DAMAGED, Snapshot, Vault};
use super::name::SnapshotName;
use super::publish::write_json;
use crate::capture::blobs::Blobs;
use crate::capture::pin::{COMPANIONS, sidecar};
use crate::capture::walk::{Exclude, Root};
use crate::error::{IoContext as _, Result};
use crate::look::content::{self, Digests};
use crate::look::scan::database_file;
use crate::manifest::{Kind, Manifest, RelPath};
use crate::progress::{Progress, Work};

/// A file whose content is known, and where it lies.
struct Wanted<'m> {
    path: &'m RelPath,
    file: PathBuf,
    blake3: &'m str,
    /// As its name tells it, of the blob of a model.
    sha256: Option<String>,
}

/// Reads files for their hashes: on all cores, each inode once, however many snapshots share it.
#[derive(Debug, Default)]
pub struct Reading {
    /// Read from the disk, not from what the kernel remembers of it.
    pub from_disk: bool,
    /// Device and inode, and the hashes that were read; `None` if they could not be.
    known: Mutex<HashMap<(u64, u64), Option<Digests>>>,
}

impl Reading {
    /// Reads from the disk, or as it comes.
    #[must_use]
    pub fn new(from_disk: bool) -> Self {
        Self {
            from_disk,
            known: Mutex::default(),
        }
    }

    /// Returns the files among `wanted` whose content is not the expected one, and the blobs whose name is another.
    fn differing<'w>(
        &self,
        wanted: &[Wanted<'w>],
        work: &Work<'_>,
    ) -> (HashSet<&'w RelPath>, HashSet<&'w RelPath>) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(wanted.len()).max(1);
        let next = AtomicUsize::new(0);
        let (differing, misnamed) = (Mutex::new(HashSet::new()), Mutex::new(HashSet::new()));
        let read = || {
            while let Some(wanted) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = self.digests(&wanted.file, wanted.sha256.is_some(), work);
                if found.as_ref().map(|f| f.blake3.as_str()) != Some(wanted.blake3) {
                    lock(&differing).insert(wanted.path);
                } else if found.and_then(|f| f.sha256) != wanted.sha256 {
                    lock(&misnamed).insert(wanted.path);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(read);
            }
            read();
        });
        let inner = |found: Mutex<_>| found.into_inner().unwrap_or_else(PoisonError::into_inner);
        (inner(differing), inner(misnamed))
    }

    fn digests(&self, path: &Path, wants_sha256: bool, work: &Work<'_>) -> Option<Digests> {
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let inode = (metadata.dev(), metadata.ino());
        let tells = |known: &Option<Digests>| {
            !wants_sha256 || known.as_ref().is_none_or(|k| k.sha256.is_some())
        };
        if let Some(known) = lock(&self.known).get(&inode).filter(|known| tells(known)) {
            work.advance(metadata.len());
            return known.clone();
        }
        let read = read_open(&file, self.from_disk, wants_sha256, work).ok();
        lock(&self.known).insert(inode, read.clone());
        read
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_open(
    file: &File,
    from_disk: bool,
    wants_sha256: bool,
    work: &Work<'_>,
) -> std::io::Result<Digests> {
    let forget = || {
        if from_disk {
            // Clean pages go; those that were not written yet are not on the disk, and stay.
            let _ = fadvise(file, 0, None, Advice::DontNeed);
        }
    };
    forget();
    let read = content::digests(file, wants_sha256, |bytes| {
        work.advance(bytes);
        true
    })?;
    // Nor do they push out of memory what applications use.
    forget();
    Ok(read)
}

/// What verifying found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files of the manifest that are missing, cannot be read, or differ from it.
    pub differing: Vec<RelPath>,
    /// Blobs of models that are as the manifest says and not as their names say: they were kept like that.
    pub blobs: Vec<RelPath>,
    /// What lies among them and the manifest does not name, the top of each tree: it was put there since. It is no part
    /// of what was proven, and nothing that reads the snapshot reads it.
    pub unnamed: Vec<RelPath>,
}

impl Verified {
    /// Returns every file that is not what it should be.
    #[must_use]
    pub fn bad(&self) -> Vec<RelPath> {
        [self.differing.clone(), self.blobs.clone()].concat()
    }
}

/// Compares a snapshot with its manifest, and the blobs of models with their names. A file whose hash is not known yet is only looked for.
///
/// A proof that was killed may have folded a database's log into it, and not yet written that down. It makes the
/// database writable first: while it is that, it may have grown, and its log may be gone.
pub fn verify(snapshot: &Snapshot, reading: &Reading, progress: &dyn Progress) -> Result<Verified> {
    let manifest = snapshot.manifest()?;
    let data = snapshot.data();
    let folding = being_folded(&manifest, &data);
    let root = Root::open(&data).ok();
    let named = root
        .as_ref()
        .map(|root| Blobs::of(root, &manifest.settings, HashSet::new()));
    let digest = |path: &Path| named.as_ref()?.digest_in(root.as_ref()?, path);
    let mut differing = HashSet::new();
    let mut to_read = Vec::new();
    for entry in &manifest.entries {
        let path = data.join(entry.path.as_path());
        let same = match &entry.kind {
            Kind::File { blake3: None, .. } if folding.contains(&path) => path.is_file(),
            Kind::File { blake3: None, .. } if is_log_of(&path, &folding) => true,
            Kind::File {
                size_bytes, blake3, ..
            } => {
                let there = std::fs::symlink_metadata(&path)
                    .is_ok_and(|m| m.is_file() && m.len() == *size_bytes);
                if let (true, Some(blake3)) = (there, blake3) {
                    to_read.push(Wanted {
                        path: &entry.path,
                        file: path,
                        blake3,
                        sha256: digest(entry.path.as_path()),
                    });
                }
                there
            }
            Kind::Folder => path.is_dir(),
            Kind::HardLink { .. } => path.is_file(),
            Kind::Symlink { target } => {
                std::fs::read_link(&path).is_ok_and(|t| t == target.as_path())
            }
            Kind::Special { .. } => true,
        };
        if !same {
            differing.insert(&entry.path);
        }
    }
    let work = Work::begin(progress, "verify", manifest.summary.size_bytes);
    let (read, misnamed) = reading.differing(&to_read, &work);
    differing.extend(read);
    let in_order = |found: &HashSet<&RelPath>| {
        let paths = manifest.entries.iter().map(|e| &e.path);
        paths.filter(|p| found.contains(p)).cloned().collect()
    };
    Ok(Verified {
        differing: in_order(&differing),
        blobs: in_order(&misnamed),
        unnamed: unnamed(snapshot, &manifest),
    })
}

/// Returns what the manifest does not name, the top of each tree.
fn unnamed(snapshot: &Snapshot, manifest: &Manifest) -> Vec<RelPath> {
    let Ok(root) = Root::open(&snapshot.data()) else {
        // Then every file is missing, which is said.
        return Vec::new();
    };
    let named: HashSet<&Path> = manifest.entries.iter().map(|e| e.path.as_path()).collect();
    let mut companions = HashSet::new();
    if !snapshot.is_proven() {
        // A proof that was killed leaves what SQLite made beside the database.
        let stores = manifest.settings.stores.iter();
        for main in stores.filter_map(database_file) {
            companions.extend(COMPANIONS.map(|suffix| sidecar(&main, suffix)));
        }
    }
    let mut tops: BTreeSet<PathBuf> = BTreeSet::new();
    // Parents come before their children.
    for found in root.walk(&Exclude::default()).found {
        let path = found.path;
        let is_known = named.contains(&*path) || companions.contains(&path);
        if !is_known && !path.ancestors().skip(1).any(|above| tops.contains(above)) {
            tops.insert(path);
        }
    }
    tops.into_iter().map(RelPath::from).collect()
}

/// Returns the other proven snapshots of the guard that have a damaged file by the same inode, each with these files: one
/// bad sector hits all that share it.
pub fn sharing(
    vault: &Vault,
    snapshot: &Snapshot,
    differing: &[RelPath],
) -> Result<Vec<(Snapshot, Vec<RelPath>)>> {
    let inode = |snapshot: &Snapshot, path: &RelPath| {
        let metadata = snapshot
            .data()
            .join(path.as_path())
            .symlink_metadata()
            .ok()?;
        metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
    };
    let mut found = Vec::new();
    for other in vault.each_snapshot(&snapshot.summary.guard)? {
        let other = other?;
        if other.name == snapshot.name || !other.is_proven() {
            continue;
        }
        let shared: Vec<RelPath> = differing
            .iter()
            .filter(|path| {
                let inode_here = inode(snapshot, path);
                inode_here.is_some() && inode(&other, path) == inode_here
            })
            .cloned()
            .collect();
        if !shared.is_empty() {
            found.push((other, shared));
        }
    }
    Ok(found)
}

/// Forgets that a snapshot was found damaged: everything is as its manifest says again, as when a cable was loose. The
/// caller holds the guard's lock exclusively.
pub fn clear(snapshot: &Snapshot) -> Result<()> {
    let path = snapshot.path.join(DAMAGED);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing("remove", &path),
        _ => super::publish::sync_folder(&snapshot.path),
    }
}

/// Returns whether a snapshot was found damaged.
#[must_use]
pub fn is_damaged(snapshot: &Snapshot) -> bool {
    snapshot.path.join(DAMAGED).exists()
}

/// Returns the names of a guard's snapshots that were found damaged, oldest first, and when that was.
///
/// # Errors
/// [`crate::Error::Io`] if the guard's folder cannot be listed.
pub fn found_damaged(vault: &Vault, guard: &str) -> Result<Vec<(SnapshotName, SystemTime)>> {
    let folder = vault.guard_folder(guard);
    let found = |name: SnapshotName| {
        let written = folder.join(name.to_string()).join(DAMAGED).metadata();
        let at = written.and_then(|m| m.modified()).ok()?;
        Some((name, at))
    };
    Ok(vault.names(guard)?.into_iter().filter_map(found).collect())
}

/// Remembers what differs: from now on the snapshot counts as proven no longer. The caller holds the guard's lock
/// exclusively.
pub fn disprove(snapshot: &Snapshot, differing: &[RelPath]) -> Result<()> {
    write_json(&snapshot.path.join(DAMAGED), &differing)
}

/// Returns the databases that a proof has begun to fold, and has not ended.
fn being_folded(manifest: &Manifest, data: &Path) -> Vec<PathBuf> {
    let stores = manifest.settings.stores.iter();
    stores
        .filter_map(|s| Some(data.join(database_file(s)?)))
        .filter(|main| {
            main.symlink_metadata()
                .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o200 != 0)
        })
        .collect()
}

fn is_log_of(path: &Path, databases: &[PathBuf]) -> bool {
    let logs = |main: &PathBuf| ["-wal", "-journal"].map(|suffix| sidecar(main, suffix));
    databases.iter().flat_map(logs).any(|log| log == path)
}
