//! Verifying: does what was kept still equal what its manifest says?

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::layout::{DAMAGED, Snapshot};
use super::manifest::{Kind, Manifest, RelPath};
use super::publish::write_json;
use crate::capture::pin::sidecar;
use crate::error::Result;
use crate::look::scan::{database_file, hash};

/// Returns the files that are missing, cannot be read or differ from the manifest. A file whose hash is not known yet
/// is only looked for.
///
/// A proof that was killed may have folded a database's log into it, and not yet written that down. It makes the
/// database writable first: while it is that, it may have grown, and its log may be gone.
pub fn verify(snapshot: &Snapshot) -> Result<Vec<RelPath>> {
    let manifest = snapshot.manifest()?;
    let data = snapshot.data();
    let folding = being_folded(&manifest, &data);
    let mut differing = Vec::new();
    for entry in &manifest.entries {
        let path = data.join(entry.path.as_path());
        let same = match &entry.kind {
            Kind::File { blake3: None, .. } if folding.contains(&path) => path.is_file(),
            Kind::File { blake3: None, .. } if is_log_of(&path, &folding) => true,
            Kind::File {
                size_bytes, blake3, ..
            } => {
                std::fs::symlink_metadata(&path)
                    .is_ok_and(|m| m.is_file() && m.len() == *size_bytes)
                    && blake3
                        .as_ref()
                        .is_none_or(|known| hash(&path).is_ok_and(|now| now == *known))
            }
            Kind::Folder => path.is_dir(),
            Kind::HardLink { .. } => path.is_file(),
            Kind::Symlink { target } => {
                std::fs::read_link(&path).is_ok_and(|t| t == target.as_path())
            }
            Kind::Special { .. } => true,
        };
        if !same {
            differing.push(entry.path.clone());
        }
    }
    Ok(differing)
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
