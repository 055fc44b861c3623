//! Verifying: does what was kept still equal what its manifest says?

use super::layout::Snapshot;
use super::manifest::{Kind, RelPath};
use crate::error::Result;
use crate::look::scan::hash;

/// Returns the files that are missing, cannot be read or differ from the manifest. A file whose hash is not known yet
/// is only looked for.
pub fn verify(snapshot: &Snapshot) -> Result<Vec<RelPath>> {
    let manifest = snapshot.manifest()?;
    let data = snapshot.data();
    let mut differing = Vec::new();
    for entry in &manifest.entries {
        let path = data.join(entry.path.as_path());
        let same = match &entry.kind {
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
