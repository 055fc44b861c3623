//! `manifest.json`: what a snapshot holds, and what was known when it was taken.

mod entry;
mod relative;

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::lines::to_lines;
use crate::error::IoContext as _;
use crate::guard::Guard;

pub use entry::{DatabaseSource, Entry, How, Kind, LogSource, Source, Xattr};
pub use relative::RelPath;

/// The version of `manifest.json` and `proof.json` that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What a snapshot holds, and what was known when it was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// All but the entries; `list` reads no more than this.
    #[serde(flatten)]
    pub summary: Summary,
    /// The guard as it was set up, so that a snapshot can be proven and restored without stack.json.
    pub settings: Guard,
    /// The data folder itself; absent in manifests of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootFolder>,
    /// Everything below the data folder, parents before their children.
    pub entries: Vec<Entry>,
}

/// What the data folder itself shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFolder {
    /// Permission bits.
    pub mode: u32,
    /// The owner, numbered as in [`Entry`].
    pub uid: u32,
    /// The group, likewise.
    pub gid: u32,
    /// Extended attributes, as in [`Entry`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Xattr>,
}

/// Who numbers the owners in a manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Numbering {
    /// The host; older versions of this program wrote so.
    #[default]
    Host,
    /// The container's user namespace: a restore elsewhere, with other sub-uids, maps them again.
    Container,
}

/// The head of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this file's format.
    pub format: u32,
    /// The snapshot's place in its guard's history.
    pub sequence: u64,
    /// The guard's name.
    pub guard: String,
    /// Why it was taken, as the caller said it.
    pub reason: String,
    /// When the capture began.
    pub taken_at: Timestamp,
    /// The local date at capture, such as `2026-11-23`: retention counts days by it, whatever the zone is later.
    pub local_date: Date,
    /// The local offset at capture, such as `+01:00`.
    pub local_offset: String,
    /// The systemd invocation of the unit that was stopping, if one was: one snapshot a stop.
    pub invocation: Option<String>,
    /// What ran on the data, as far as it was known.
    #[serde(default)]
    pub pairing: Pairing,
    /// Why the state is suspicious (the source was held): it goes to the side lane of retention.
    pub suspicious: Option<String>,
    /// Number of regular files.
    pub files: u64,
    /// Their sizes added up.
    pub size_bytes: u64,
    /// Bytes that were written for this snapshot, not shared with the source or another snapshot.
    pub new_bytes: u64,
    /// The longest time for which writers of a database had to wait, milliseconds.
    pub blocked_ms: u64,
    /// For how long the container stood still, milliseconds; 0 if it was not frozen.
    #[serde(default)]
    pub frozen_ms: u64,
    /// Who numbers the owners.
    #[serde(default)]
    pub numbering: Numbering,
    /// The whole capture, milliseconds.
    pub took_ms: u64,
    /// What could not be kept. A snapshot with gaps is never proven.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// Plain files that never stood still while they were copied.
    #[serde(default)]
    pub unsteady: Vec<RelPath>,
    /// Whether it was imported: then the settings that it brought say nothing about this machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// The version of the tool that took it.
    pub tool_version: String,
}

/// So many gaps are told one by one; ten thousand lines would hide what stands among them.
const GAPS_TOLD: usize = 5;

impl Summary {
    /// Returns a sentence for each of the first gaps, and one that counts the rest.
    pub fn told_gaps(&self) -> impl Iterator<Item = String> {
        let one = |gap: &Gap| {
            let path = gap.path.as_path();
            if path.as_os_str().is_empty() {
                return format!("the data folder could not be kept: {}", gap.why);
            }
            format!("`{}` could not be kept: {}", path.display(), gap.why)
        };
        let rest = self.gaps.len().saturating_sub(GAPS_TOLD);
        let rest = (rest > 0).then(|| format!("and {rest} more could not be kept"));
        self.gaps.iter().take(GAPS_TOLD).map(one).chain(rest)
    }
}

/// Something that could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Relative to the data folder.
    pub path: RelPath,
    /// Why not.
    pub why: String,
}

/// Image, container and generation that the data belonged to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairing {
    /// The image as the unit names it.
    pub image: Option<String>,
    /// The digest of the image that ran.
    pub image_digest: Option<String>,
    /// The container's id.
    pub container_id: Option<String>,
    /// The Home Manager generation.
    pub generation: Option<PathBuf>,
    /// Whether the run had failed: that the image lives on this data is not said then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

impl Pairing {
    /// Returns the beginning of the image's digest, as people compare it.
    #[must_use]
    pub fn short_digest(&self) -> Option<&str> {
        self.image_digest.as_deref().map(short_digest)
    }
}

/// Returns the first twelve digits of an image's digest.
#[must_use]
pub fn short_digest(digest: &str) -> &str {
    const DIGITS: usize = 12;
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.get(..DIGITS).unwrap_or(digits)
}

impl Manifest {
    /// Returns the regular files.
    pub fn files(&self) -> impl Iterator<Item = (&RelPath, &Entry)> {
        self.entries
            .iter()
            .filter(|e| matches!(e.kind, Kind::File { .. }))
            .map(|e| (&e.path, e))
    }

    /// Returns the content of `manifest.json`: a line for each entry.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if it cannot be rendered.
    pub fn text(&self) -> crate::Result<Vec<u8>> {
        to_lines(self).doing("render", Path::new("manifest.json"))
    }

    /// Returns a hash over names and content, the same for snapshots of the same state; `None` before every hash is known.
    #[must_use]
    pub fn content_id(&self) -> Option<String> {
        content_id(&self.entries)
    }
}

/// Returns a hash over names and content; `None` before every hash is known.
#[must_use]
pub fn content_id(entries: &[Entry]) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        let content: &[u8] = match &entry.kind {
            Kind::File { blake3, .. } => blake3.as_ref()?.as_bytes(),
            Kind::Symlink { target } => target.as_path().as_os_str().as_bytes(),
            Kind::HardLink { to } => to.as_path().as_os_str().as_bytes(),
            Kind::Folder | Kind::Special { .. } => b"",
        };
        let path = entry.path.as_path().as_os_str().as_bytes();
        hasher
            .update(&(path.len() as u64).to_le_bytes())
            .update(path);
        hasher
            .update(&(content.len() as u64).to_le_bytes())
            .update(content);
    }
    Some(hasher.finalize().to_hex().to_string())
}
