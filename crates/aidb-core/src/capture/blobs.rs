//! Ollama's blobs, as a capture needs to know them: files whose name says what they hold.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

use super::attributes::{mtime_ns, size_bytes};
use super::walk::Root;

/// Ollama's blobs that a manifest names: their content is what their name says, for ever.
#[derive(Debug, Default)]
pub struct Blobs {
    /// The blobs' folder, relative to the data folder, and the sizes that manifests give, by digest.
    stores: Vec<(PathBuf, HashMap<String, u64>)>,
    /// Those whose hash was verified: path, inode, size, modification time.
    verified: HashSet<Blob>,
}

/// One state of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Blob {
    /// Relative to the data folder.
    pub path: PathBuf,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Blob {
    /// Returns the state that `stat` tells.
    #[must_use]
    pub fn of(path: &Path, stat: &Stat) -> Self {
        Self {
            path: path.to_owned(),
            inode: stat.st_ino,
            size_bytes: size_bytes(stat),
            mtime_ns: mtime_ns(stat),
        }
    }
}

impl Blobs {
    /// Returns the blobs of stores, each with its folder and the sizes that its manifests give.
    #[must_use]
    pub fn new(stores: Vec<(PathBuf, HashMap<String, u64>)>, verified: HashSet<Blob>) -> Self {
        Self { stores, verified }
    }

    /// Returns the digest of a blob that a manifest names with exactly this size.
    #[must_use]
    pub fn digest_of(&self, path: &Path, stat: &Stat) -> Option<String> {
        let digest = blob_digest(path.file_name()?.to_str()?)?;
        let folder = path.parent()?;
        self.stores
            .iter()
            .any(|(f, named)| f == folder && named.get(&digest) == Some(&size_bytes(stat)))
            .then_some(digest)
    }

    /// Returns the digest of a blob below `root`, as the file is now.
    #[must_use]
    pub fn digest_in(&self, root: &Root, path: &Path) -> Option<String> {
        // What cannot be a blob is not looked at.
        blob_digest(path.file_name()?.to_str()?)?;
        self.digest_of(path, &root.stat(path).ok()??)
    }

    /// Returns whether this very state of a blob was hashed before.
    #[must_use]
    pub fn is_verified(&self, blob: &Blob) -> bool {
        self.verified.contains(blob)
    }
}

/// Returns the digest in `sha256-HEX` or, as older versions wrote it, `sha256:HEX`.
pub(crate) fn blob_digest(name: &str) -> Option<String> {
    let hex = name
        .strip_prefix("sha256-")
        .or_else(|| name.strip_prefix("sha256:"))?;
    let is_digest = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| hex.to_ascii_lowercase())
}
