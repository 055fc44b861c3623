//! Where things lie in the vault, and who may write there.
//!
//! ```text
//! VAULT/                         0700, ours alone
//!   GUARD/                       one folder for each guard
//!     .lock                      flock: shared to read, exclusive to take, prove, restore, prune
//!     SEQ-TIME-REASON/           a snapshot; appears whole, by one rename
//!       data/…  manifest.json  proof.json | refused.json  damaged.json
//!     rescue/SEQ-TIME-CONTAINER/ what a container wrote outside its volumes
//!     archive/                   independent copies
//!   .staging/                    half-made things; whatever no flock holds may be cleared
//! ```

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::head::read_head;
use super::name::SnapshotName;
use super::proof::Proof;
use crate::error::{Error, IoContext, Result};
use crate::manifest::{Entry, FORMAT, Kind, Manifest, Summary};

/// The file that names what of a snapshot differs from its manifest since `verify` found it.
pub const DAMAGED: &str = "damaged.json";

/// The longest path that Linux takes, bytes, without the zero at its end (`PATH_MAX`).
const PATH_BYTES: usize = 4095;

/// What of a path lies between the vault and a snapshot's files and is not the guard's or the snapshot's name: the longest
/// is that of a snapshot on its way out, `.staging/replace-GUARD-PID-N/NAME/data/`; a database's companions have a suffix.
const BETWEEN_BYTES: usize = 96;

/// The folder of snapshots.
#[derive(Debug, Clone)]
pub struct Vault {
    root: PathBuf,
}

/// One snapshot whose manifest could be read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name within the guard.
    pub name: SnapshotName,
    /// Its folder.
    pub path: PathBuf,
    /// The head of its manifest.
    pub summary: Summary,
    /// Its proof, if it was opened, checked and met its contract.
    pub proof: Option<Proof>,
    /// The outcome of a check that it did not pass.
    pub refused: Option<Proof>,
}

impl Vault {
    /// Returns the vault at `root`, which need not exist yet.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Returns the vault's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a guard's folder.
    #[must_use]
    pub fn guard_folder(&self, guard: &str) -> PathBuf {
        self.root.join(guard)
    }

    /// Returns the folder of half-made things.
    #[must_use]
    pub fn staging_folder(&self) -> PathBuf {
        self.root.join(".staging")
    }

    /// Returns the length of the longest path below a data folder that a snapshot can hold, bytes: wherever the snapshot
    /// comes to lie in the vault, its files can be opened and removed by their names.
    #[must_use]
    pub fn longest_path_bytes(&self, name: &SnapshotName, guard: &str) -> usize {
        let names = guard.len() + name.to_string().len();
        PATH_BYTES.saturating_sub(self.root.as_os_str().len() + names + BETWEEN_BYTES)
    }

    /// Returns the names of the guards that have a folder here.
    pub fn guards(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in entries_of(&self.root)? {
            let path = self.root.join(&name);
            match std::fs::metadata(&path) {
                Ok(m) if m.is_dir() && !name.starts_with('.') => names.push(name),
                // What may not be looked at may hold snapshots.
                Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                    return Err(e).doing("look at", &path);
                }
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the names of a guard's snapshots, oldest (lowest sequence) first, of which no file was read yet.
    pub fn names(&self, guard: &str) -> Result<Vec<SnapshotName>> {
        let names = entries_of(&self.guard_folder(guard))?;
        let mut names: Vec<SnapshotName> = names
            .iter()
            .filter_map(|n| SnapshotName::parse(n))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Opens a guard's snapshot; `None` if it has no readable manifest.
    ///
    /// # Errors
    /// As [`Snapshot::open`].
    pub fn open(&self, guard: &str, name: &SnapshotName) -> Result<Option<Snapshot>> {
        let path = self.guard_folder(guard).join(name.to_string());
        Snapshot::open(name.clone(), path)
    }

    /// Returns a guard's snapshots, oldest (lowest sequence) first, each opened when it is asked for: a vault may hold
    /// ten thousand. What has no readable manifest is none. `.rev()` is newest first.
    ///
    /// # Errors
    /// As [`Snapshot::open`], for each; for the whole if the folder cannot be listed.
    pub fn each_snapshot(
        &self,
        guard: &str,
    ) -> Result<impl DoubleEndedIterator<Item = Result<Snapshot>>> {
        let names = self.names(guard)?;
        Ok(names
            .into_iter()
            .filter_map(move |name| self.open(guard, &name).transpose()))
    }

    /// Returns all of a guard's snapshots, oldest (lowest sequence) first. What has no readable manifest is none.
    ///
    /// # Errors
    /// As [`Self::each_snapshot`].
    pub fn snapshots(&self, guard: &str) -> Result<Vec<Snapshot>> {
        self.each_snapshot(guard)?.collect()
    }

    /// Returns a guard's newest proven snapshot that is not suspicious, opening none that is older.
    ///
    /// # Errors
    /// As [`Self::each_snapshot`].
    pub fn newest_good(&self, guard: &str) -> Result<Option<Snapshot>> {
        self.each_snapshot(guard)?
            .rev()
            .find(|s| s.as_ref().map_or(true, Snapshot::is_good))
            .transpose()
    }

    /// Returns the highest sequence that any folder of the guard carries, readable or not; 0 if there is none.
    pub fn highest_sequence(&self, guard: &str) -> Result<u64> {
        Ok(self.names(guard)?.last().map_or(0, |n| n.sequence))
    }
}

impl Snapshot {
    /// Opens the snapshot in `path`; `None` if its manifest is absent or cannot be parsed.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if the manifest was written by a newer version of the format, [`Error::Io`] if it
    /// cannot be read though it is there.
    pub fn open(name: SnapshotName, path: PathBuf) -> Result<Option<Self>> {
        let Some(mut summary) = read_head(&path.join("manifest.json"))? else {
            return Ok(None);
        };
        if let Some(guard) = guard_of(&path) {
            summary.guard = guard;
        }
        if summary.format > FORMAT {
            return Err(Error::CouldNot {
                what: format!(
                    "`{}` has format {}, this program knows up to {FORMAT}",
                    path.display(),
                    summary.format
                ),
                hint: Some("use the version of aidb that took it, or a newer one".into()),
            });
        }
        let mut proof = read_json(&path.join("proof.json"))?;
        let mut refused = if proof.is_some() {
            None
        } else {
            read_json(&path.join("refused.json"))?
        };
        // What was proven once and has rotted since is a proof no longer.
        if path.join(DAMAGED).exists() {
            refused = refused.or(proof.take());
        }
        Ok(Some(Self {
            name,
            path,
            summary,
            proof,
            refused,
        }))
    }

    /// Returns the folder that holds the files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Returns the id that users and programs know: `GUARD/NAME`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.summary.guard, self.name)
    }

    /// Returns whether it was opened, checked and met its contract.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proof.is_some()
    }

    /// Returns whether it is proven and not suspicious: what is restored unless another one is asked for.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_proven() && self.suspicious().is_none()
    }

    /// Returns whether every file that the manifest names is there, with its size. Cheap; hashes are for `verify`.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let data = self.data();
        let is_there = |entry: &Entry| match &entry.kind {
            Kind::File { size_bytes, .. } => {
                std::fs::symlink_metadata(data.join(entry.path.as_path()))
                    .is_ok_and(|m| m.is_file() && m.len() == *size_bytes)
            }
            _ => true,
        };
        self.manifest()
            .is_ok_and(|manifest| manifest.entries.iter().all(is_there))
    }

    /// Returns why its state is suspicious, if it is.
    #[must_use]
    pub fn suspicious(&self) -> Option<&str> {
        let by_proof = self.proof.as_ref().and_then(|p| p.suspicious.as_deref());
        by_proof.or(self.summary.suspicious.as_deref())
    }

    /// Reads the whole manifest.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if it can no longer be read as one.
    pub fn manifest(&self) -> Result<Manifest> {
        let file = self.path.join("manifest.json");
        let mut manifest: Manifest = read_json(&file)?.ok_or_else(|| Error::CouldNot {
            what: format!(
                "`{}` is missing or cannot be read as a manifest",
                file.display()
            ),
            hint: None,
        })?;
        if let Some(guard) = guard_of(&self.path) {
            manifest.settings.name.clone_from(&guard);
            manifest.summary.guard = guard;
        }
        Ok(manifest)
    }
}

/// Returns the guard that a snapshot belongs to: the one whose folder it lies in. The manifest of one that was taken
/// before its guard was renamed tells the former name.
fn guard_of(snapshot: &Path) -> Option<String> {
    let folder = snapshot.parent()?;
    let is_staged = folder.parent()?.file_name()? == ".staging";
    let name = folder.file_name()?.to_str()?;
    (!is_staged && name != ".staging").then(|| name.to_owned())
}

/// Reads a JSON file; `None` if it is absent or no such document.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(e).doing("read", path),
    }
}

/// Returns the names in a folder that are UTF-8; none if it does not exist.
fn entries_of(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).doing("list", folder),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.doing("list", folder)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}
