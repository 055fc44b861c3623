//! Moving a guard's snapshot to another machine: `export` and `import` of one file.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::format::{SUFFIX, damaged};
use super::half_made::{HalfMade, clear_exports, name_for};
use super::read::{self, Into};
use super::{Archive, pack};
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::lock::{Lock, Mode};
use crate::manifest::Kind;
use crate::progress::Progress;
use crate::space;
use crate::staging::Staging;
use crate::vault::publish::{Staged, publish, sync_folder, write_json};
use crate::vault::{Snapshot, SnapshotName, Vault};

/// What came of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The file's hash.
    pub blake3: String,
    /// Half-made files beside it that killed exports had left, and that are gone now.
    pub cleared: Vec<PathBuf>,
}

/// What came of an import.
#[derive(Debug)]
pub enum Imported {
    /// It is in the vault, and waits to be proven anew.
    New(Snapshot),
    /// This very snapshot was there already.
    Present(Snapshot),
}

/// Writes a proven snapshot to a file that does not exist yet, and reads it back.
///
/// # Errors
/// [`Error::Usage`] if the file exists, or its name is not one of an archive; [`Error::CouldNot`] if the snapshot is not
/// proven or differs from its manifest, or if there is no room. Then nothing was written.
pub fn export(snapshot: &Snapshot, file: &Path, progress: &dyn Progress) -> Result<Exported> {
    if !snapshot.is_proven() {
        return Err(Error::CouldNot {
            what: format!("`{}` is not proven", snapshot.id()),
            hint: Some(format!(
                "`aidb prove {}` proves it, if it can",
                snapshot.id()
            )),
        });
    }
    let _lock = Lock::snapshot(&snapshot.path, Mode::Shared)?;
    to_file(file, |new| {
        let packed = pack::pack(snapshot, new.file(), new.path(), progress)?;
        let contents = read::verify(new.path(), progress)?;
        if contents.blake3 != packed.blake3 || !contents.differing.is_empty() {
            return Err(damaged(
                new.path(),
                "it was written, and read back as something else",
            ));
        }
        Ok(packed.blake3)
    })
}

impl Archive {
    /// Copies it to a file that does not exist yet, and reads that back.
    ///
    /// # Errors
    /// As [`export`].
    pub fn export(&self, file: &Path, progress: &dyn Progress) -> Result<Exported> {
        to_file(file, |new| {
            let (mut to, path) = (new.file(), new.path());
            let mut from = File::open(&self.path).doing("open", &self.path)?;
            std::io::copy(&mut from, &mut to)
                .and_then(|_| to.sync_all())
                .doing("copy to", path)
                .map_err(|e| space::tell_full_disk(e, path))?;
            let contents = read::verify(path, progress)?;
            if contents.differing.is_empty() {
                Ok(contents.blake3)
            } else {
                Err(damaged(&self.path, "its files differ from its manifest"))
            }
        })
    }
}

/// Has a new file written beside its name, and gives it the name if that is still free.
fn to_file(file: &Path, write: impl FnOnce(&HalfMade) -> Result<String>) -> Result<Exported> {
    let exists = || Error::Usage {
        what: format!("`{}` exists already", file.display()),
        hint: Some("name another file, or move that one away".into()),
    };
    let name = file
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    if !name.ends_with(SUFFIX) {
        return Err(Error::Usage {
            what: format!("expected a file `….tar.xz`, found `{}`", file.display()),
            hint: None,
        });
    }
    if file.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let file = std::path::absolute(file).doing("resolve", file)?;
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    let cleared = clear_exports(&folder);
    let new = HalfMade::make(&folder.join(name_for(name)))?;
    let blake3 = write(&new)?;
    match new.publish(&file) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Err(exists()),
        Err(e) => return Err(e).doing("rename to", &file),
    }
    sync_folder(&folder)?;
    Ok(Exported { blake3, cleared })
}

/// Unpacks an archive into staging, verified, as a snapshot.
pub(super) fn unpack(
    vault: &Vault,
    file: &Path,
    wanted: &dyn Fn(&Path) -> bool,
    progress: &dyn Progress,
) -> Result<(Staging, Snapshot)> {
    let staging = Staging::new(&vault.staging_folder(), "unpack")?;
    let folder = staging.path().join("snapshot");
    crate::folder::make(&folder)?;
    let into = Into {
        folder: &folder,
        wanted,
    };
    let contents = read::unpack(file, &into, progress)?;
    if let Some(known) = read::hash_beside(file)?
        && known != contents.blake3
    {
        return Err(damaged(file, "its bytes differ from the hash beside it"));
    }
    let snapshot = Snapshot::open(contents.name, folder)?;
    let snapshot = snapshot.ok_or_else(|| damaged(file, "its manifest cannot be read"))?;
    Ok((staging, snapshot))
}

/// Brings an archive into the vault, every hash verified. It is not proven here yet, whatever was proven elsewhere.
///
/// `known` returns the settings of a guard of that name, if it is one of this machine: contract and paths of another
/// machine are none here. Where the vault has another snapshot of that number, it gets the next free one.
///
/// # Errors
/// [`Error::CouldNot`] if the file is no archive, damaged, or made to harm; [`Error::Busy`] if the guard is held. Then the
/// vault is as before.
pub fn import(
    vault: &Vault,
    file: &Path,
    known: &dyn Fn(&str) -> Option<Guard>,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<Imported> {
    let (_staging, snapshot) = unpack(vault, file, &|_| true, progress)?;
    let mut manifest = snapshot.manifest()?;
    let guard = manifest.summary.guard.clone();
    let is_new_here = !vault.guard_folder(&guard).exists();
    let lock = Lock::guard(vault, &guard, Mode::Exclusive, patience)?;
    let imported = (|| {
        let content = manifest.content_id();
        for present in vault.each_snapshot(&guard)? {
            let present = present?;
            let same = present.summary.taken_at == manifest.summary.taken_at
                && present.proof.as_ref().map(|p| &p.content_id) == content.as_ref();
            if same {
                return Ok(Imported::Present(present));
            }
        }
        let taken = vault.names(&guard)?;
        if taken.iter().any(|n| n.sequence == snapshot.name.sequence) {
            manifest.summary.sequence = taken.last().map_or(0, |n| n.sequence) + 1;
        }
        if let Some(guard) = known(&guard) {
            manifest.settings = guard;
        }
        manifest.summary.imported = true;
        let name = SnapshotName::new(
            manifest.summary.sequence,
            manifest.summary.taken_at,
            snapshot.name.reason(),
        );
        let proof = snapshot.path.join("proof.json");
        std::fs::remove_file(&proof).doing("remove", &proof)?;
        write_json(&snapshot.path.join("manifest.json"), &manifest)?;
        for entry in &manifest.entries {
            if matches!(entry.kind, Kind::File { .. }) {
                let path = snapshot.data().join(entry.path.as_path());
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400))
                    .doing("protect", &path)?;
            }
        }
        let path = vault.guard_folder(&guard).join(name.to_string());
        let files = usize::try_from(snapshot.summary.files).unwrap_or(usize::MAX);
        publish(&snapshot.path, &path, Staged::new(files))
            .map_err(|e| space::tell_full_disk(e, &path))?;
        let published = Snapshot::open(name, path.clone())?;
        published.map(Imported::New).ok_or_else(|| Error::CouldNot {
            what: format!("`{}` was published and cannot be read back", path.display()),
            hint: None,
        })
    })();
    if imported.is_err() && is_new_here {
        let folder = vault.guard_folder(&guard);
        let _ = std::fs::remove_file(folder.join(".lock"));
        let _ = std::fs::remove_dir(&folder);
    }
    drop(lock);
    imported
}
