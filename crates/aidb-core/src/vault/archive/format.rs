//! What an archive looks like, and what is asked of a manifest that comes from elsewhere.

use std::collections::HashMap;
use std::path::Path;

use crate::error::Error;
use crate::manifest::{FORMAT, Kind, Manifest};
use crate::settings::is_container_name;
use crate::vault::name::SnapshotName;
use crate::vault::proof::Proof;

/// What the file name of an archive ends with.
pub const SUFFIX: &str = ".tar.xz";
/// The hash beside it.
pub(super) const HASH: &str = ".b3";
/// What `verify` found.
pub(super) const DAMAGED: &str = ".damaged.json";
/// What half-made archives begin with.
pub(super) const NEW: &str = ".new-";

/// The size of everything in `tar`, bytes.
pub(super) const BLOCK: usize = 512;
/// The longest `manifest.json` that is read from an archive: some million files.
pub(super) const MOST_MANIFEST_BYTES: u64 = 512 << 20;
/// The longest `proof.json`.
pub(super) const MOST_PROOF_BYTES: u64 = 64 << 20;
/// The longest path.
pub(super) const MOST_PATH_BYTES: u64 = 64 << 10;
/// The most runs of data of a file that is stored with its holes. One with more is stored without.
pub(super) const MOST_RUNS: usize = 4096;
/// How much memory the decoder may use. `xz -9` asks for 65 MiB, what we write for 9.
pub(super) const DECODER_MEMORY_BYTES: u64 = 128 << 20;

/// Says that an archive cannot be used.
pub(super) fn damaged(path: &Path, what: &str) -> Error {
    Error::CouldNot {
        what: format!("`{}` cannot be used: {what}", path.display()),
        hint: None,
    }
}

/// Reads the manifest of an archive, and checks everything that unpacking relies on.
///
/// # Errors
/// What is wrong with it.
pub(super) fn manifest(bytes: &[u8], top: &SnapshotName) -> Result<Manifest, String> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u64,
    }
    match serde_json::from_slice::<Version>(bytes) {
        Ok(version) if version.format > u64::from(FORMAT) => {
            return Err(format!(
                "it has format {}, this program knows up to {FORMAT}",
                version.format
            ));
        }
        _ => {}
    }
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|e| format!("its manifest cannot be read ({e})"))?;
    let summary = &manifest.summary;
    if !is_container_name(&summary.guard) || manifest.settings.name != summary.guard {
        return Err(format!("it names no guard, but `{}`", summary.guard));
    }
    if summary.sequence != top.sequence {
        return Err(format!(
            "its manifest is of snapshot {}, its folder of {}",
            summary.sequence, top.sequence
        ));
    }
    check_entries(&manifest)?;
    Ok(manifest)
}

/// Every path stays below the folder, stands once, and lies in a folder that came before it; every file has its hash.
fn check_entries(manifest: &Manifest) -> Result<(), String> {
    let mut seen: HashMap<&Path, &Kind> = HashMap::new();
    let (mut files, mut bytes) = (0_u64, 0_u64);
    for entry in &manifest.entries {
        let path = entry.path.as_path();
        let shown = path.display();
        if !entry.path.stays_below() || path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(format!("`{shown}` leads out of the data folder"));
        }
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent
            && !matches!(seen.get(parent), Some(Kind::Folder))
        {
            return Err(format!("`{shown}` lies in no folder of it"));
        }
        match &entry.kind {
            Kind::File {
                size_bytes, blake3, ..
            } => {
                files += 1;
                bytes = bytes
                    .checked_add(*size_bytes)
                    .ok_or("its files have no end")?;
                let is_hash =
                    |h: &String| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit());
                if !blake3.as_ref().is_some_and(is_hash) {
                    return Err(format!("`{shown}` has no hash"));
                }
            }
            Kind::HardLink { to } if !matches!(seen.get(to.as_path()), Some(Kind::File { .. })) => {
                let to = to.as_path().display();
                return Err(format!(
                    "`{shown}` is a name of `{to}`, which is no file of it"
                ));
            }
            _ => {}
        }
        if seen.insert(path, &entry.kind).is_some() {
            return Err(format!("`{shown}` stands twice in it"));
        }
    }
    let summary = &manifest.summary;
    if (files, bytes) != (summary.files, summary.size_bytes) {
        return Err("its manifest contradicts itself".into());
    }
    Ok(())
}

/// Reads the proof of an archive.
///
/// # Errors
/// What is wrong with it.
pub(super) fn proof(bytes: &[u8], manifest: &[u8]) -> Result<Proof, String> {
    let proof: Proof =
        serde_json::from_slice(bytes).map_err(|e| format!("its proof cannot be read ({e})"))?;
    if proof.manifest_blake3 != blake3::hash(manifest).to_hex().as_str() {
        return Err("its proof is that of another manifest".into());
    }
    Ok(proof)
}
