//! The independent copy: a proven snapshot as one `.tar.xz` of real bytes, which shares no block and no inode with
//! anything, and which `tar` reads on a machine that has nothing of ours.
//!
//! ```text
//! VAULT/GUARD/archive/            may be a link to, or a mount of, another disk
//!   .lock                         flock: exclusive to write and to clear
//!   .new-…                        half-made; the next writer clears it
//!   NAME.tar.xz                   NAME/manifest.json  NAME/proof.json  NAME/data/…
//!   NAME.tar.xz.b3                its BLAKE3, as `b3sum` writes it
//!   NAME.tar.xz.damaged.json      what `verify` found wrong with it
//! ```
//!
//! The manifest inside is the truth: names, ids, times and attributes are taken from it. The headers of `tar` say the
//! same as far as they can. An archive is made at idle priority and without the guard's lock, so that it delays no stop.

mod format;
mod half_made;
mod make;
mod pack;
mod port;
mod read;
mod tar_reader;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use super::name::SnapshotName;
use super::{Proof, Vault};
use crate::error::{IoContext, Result};
use crate::manifest::{Manifest, Summary};

pub use self::format::SUFFIX;
pub use self::half_made::clear_half_made;
pub use self::make::{Made, make};
pub use self::port::{Exported, Imported, export, import};
pub use self::read::Contents;

/// One archive of a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The guard's name.
    pub guard: String,
    /// The name of the snapshot that it holds.
    pub name: SnapshotName,
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub size_bytes: u64,
    /// Whether `verify` found it damaged.
    pub damaged: bool,
}

/// What stands at the beginning of an archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The head of the manifest.
    pub summary: Summary,
    /// The proof that the snapshot had.
    pub proof: Proof,
}

impl Archive {
    /// Returns the id that users and programs know: `GUARD/NAME.tar.xz`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}{SUFFIX}", self.guard, self.name)
    }

    /// Reads what stands at its beginning, and nothing behind it.
    ///
    /// # Errors
    /// [`crate::Error::CouldNot`] if it is no archive of ours or damaged there.
    pub fn head(&self) -> Result<Head> {
        let (manifest, proof) = self.manifest()?;
        Ok(Head {
            summary: manifest.summary,
            proof,
        })
    }

    /// Reads the manifest and the proof at its beginning.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub fn manifest(&self) -> Result<(Manifest, Proof)> {
        read::beginning(&self.path)
    }

    /// Reads it whole and compares it with its manifest and with the hash beside it.
    ///
    /// # Errors
    /// [`crate::Error::CouldNot`] if it cannot be read to its end as an archive of ours.
    pub fn verify(&self, progress: &dyn crate::progress::Progress) -> Result<Contents> {
        let contents = read::verify(&self.path, progress)?;
        if let Some(known) = read::hash_beside(&self.path)?
            && known != contents.blake3
        {
            return Err(format::damaged(
                &self.path,
                "its bytes differ from the hash beside it",
            ));
        }
        Ok(contents)
    }

    /// Remembers what `verify` found: it counts as a copy no longer.
    pub fn disprove(&self, what: &str) -> Result<()> {
        super::publish::write_json(&beside(&self.path, format::DAMAGED), &[what])
    }

    /// Returns when `verify` found it damaged, if it did.
    #[must_use]
    pub fn found_damaged_at(&self) -> Option<std::time::SystemTime> {
        let word = beside(&self.path, format::DAMAGED).metadata();
        word.and_then(|m| m.modified()).ok()
    }

    /// Forgets that it was found damaged: it was read whole since.
    pub fn clear(&self) -> Result<()> {
        let path = beside(&self.path, format::DAMAGED);
        std::fs::remove_file(&path).doing("remove", &path)
    }

    /// Writes what it holds, verified, into a folder of the vault's staging that is removed when dropped. Of the data
    /// only what is `wanted` is written.
    ///
    /// # Errors
    /// [`crate::Error::CouldNot`] if it is damaged, or if there is no room.
    pub fn unpack(
        &self,
        vault: &Vault,
        wanted: &dyn Fn(&Path) -> bool,
        progress: &dyn crate::progress::Progress,
    ) -> Result<(crate::staging::Staging, super::Snapshot)> {
        port::unpack(vault, &self.path, wanted, progress)
    }
}

impl Vault {
    /// Returns a guard's archives, oldest (lowest sequence) first.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the folder is there and cannot be listed.
    pub fn archives(&self, guard: &str) -> Result<Vec<Archive>> {
        let folder = self.archive_folder(guard);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).doing("list", &folder),
        };
        let mut archives = Vec::new();
        for entry in entries {
            let entry = entry.doing("list", &folder)?;
            let file_name = entry.file_name();
            let name = file_name
                .to_str()
                .and_then(|n| SnapshotName::parse(n.strip_suffix(SUFFIX)?));
            let path = entry.path();
            if let (Some(name), Ok(metadata)) = (name, path.symlink_metadata())
                && metadata.is_file()
            {
                archives.push(Archive {
                    guard: guard.to_owned(),
                    name,
                    damaged: beside(&path, format::DAMAGED).exists(),
                    size_bytes: metadata.len(),
                    path,
                });
            }
        }
        archives.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(archives)
    }

    /// Returns the folder of a guard's archives.
    #[must_use]
    pub fn archive_folder(&self, guard: &str) -> PathBuf {
        self.guard_folder(guard).join("archive")
    }
}

/// Returns the path of what belongs to an archive: its own with `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
