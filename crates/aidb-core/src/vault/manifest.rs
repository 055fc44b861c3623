//! `manifest.json`: what a snapshot holds, and what was known when it was taken.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::lines::to_lines;
use crate::error::IoContext as _;
use crate::guard::Guard;
use crate::hex::{from_hex, to_hex};

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

/// One file, folder or link below the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Line")]
pub struct Entry {
    /// Relative to the data folder.
    pub path: RelPath,
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
    /// Permission bits, without the file type.
    pub mode: u32,
    /// The owner as the container's user namespace numbers it, where it is known; else as the host does.
    pub uid: u32,
    /// The group, likewise.
    pub gid: u32,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Extended attributes of the `user.` namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<Xattr>,
}

/// An entry as it is read: all columns of all kinds. A manifest of 100,000 files is read in a third of the time that serde
/// needs for a tagged enum inside of another struct, which it reads into a tree first.
#[derive(Deserialize)]
struct Line {
    path: RelPath,
    kind: Tag,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime_ns: i64,
    #[serde(default)]
    xattrs: Vec<Xattr>,
    size_bytes: Option<u64>,
    blake3: Option<String>,
    how: Option<How>,
    source: Option<Source>,
    to: Option<RelPath>,
    target: Option<RelPath>,
    what: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Tag {
    Folder,
    File,
    HardLink,
    Symlink,
    Special,
}

impl TryFrom<Line> for Entry {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        fn column<T>(value: Option<T>, name: &str) -> Result<T, String> {
            value.ok_or_else(|| format!("an entry lacks `{name}`"))
        }
        let kind = match line.kind {
            Tag::Folder => Kind::Folder,
            Tag::File => Kind::File {
                size_bytes: column(line.size_bytes, "size_bytes")?,
                blake3: line.blake3,
                how: column(line.how, "how")?,
                source: column(line.source, "source")?,
            },
            Tag::HardLink => Kind::HardLink {
                to: column(line.to, "to")?,
            },
            Tag::Symlink => Kind::Symlink {
                target: column(line.target, "target")?,
            },
            Tag::Special => Kind::Special {
                what: column(line.what, "what")?,
            },
        };
        Ok(Self {
            path: line.path,
            kind,
            mode: line.mode,
            uid: line.uid,
            gid: line.gid,
            mtime_ns: line.mtime_ns,
            xattrs: line.xattrs,
        })
    }
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// With its namespace, such as `user.comment`.
    pub name: String,
    /// Its bytes, hexadecimal.
    pub value_hex: String,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Length in bytes.
        size_bytes: u64,
        /// Absent until the snapshot was proven.
        blake3: Option<String>,
        /// How its bytes came here.
        how: How,
        /// Where it was captured from, to tell later whether it is still the same.
        source: Source,
    },
    /// Another name of a file that stands earlier in the list.
    HardLink {
        /// That file's path.
        to: RelPath,
    },
    /// A symbolic link. It is kept as a link and never followed.
    Symlink {
        /// Where it points.
        target: RelPath,
    },
    /// A pipe, socket or device: named here, not kept.
    Special {
        /// `fifo`, `socket`, `block-device`, `character-device`.
        what: String,
    },
}

/// How a file's bytes came into the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Shares its blocks with the source.
    Reflink,
    /// Was copied.
    Copy,
    /// Is the same inode as in the snapshot before.
    Link,
    /// Is the application's own inode: an Ollama blob whose hash was verified. Never touched.
    Live,
}

/// The identity of a source file at capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Inode number.
    pub inode: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Its length; of a database the copy's may differ, once its log was folded into it.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// Of a database: its write-ahead log, which is folded into the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSource>,
}

/// What stood beside a database's main file at capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSource {
    /// The `-wal`, if there was one.
    pub log: Option<LogSource>,
}

/// The identity of a write-ahead log at capture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSource {
    /// Inode number.
    pub inode: u64,
    /// Its length.
    pub size_bytes: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
}

/// A path below a data folder. Any bytes; in JSON a string, or `{"hex": "…"}` where they are no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(PathBuf);

impl RelPath {
    /// Returns the path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Returns whether it stays below the folder that it is relative to.
    #[must_use]
    pub fn stays_below(&self) -> bool {
        use std::path::Component;
        self.0.components().next().is_some()
            && self
                .0
                .components()
                .all(|c| matches!(c, Component::Normal(_)))
    }
}

impl<P: Into<PathBuf>> From<P> for RelPath {
    fn from(path: P) -> Self {
        Self(path.into())
    }
}

impl Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Bytes {
            hex: String,
        }
        match self.0.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => Bytes {
                hex: to_hex(self.0.as_os_str().as_bytes()),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = RelPath;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a path, or its bytes as hexadecimal digits")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RelPath, E> {
                Ok(RelPath(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RelPath, A::Error> {
                #[derive(Deserialize)]
                struct Bytes {
                    hex: String,
                }
                let Bytes { hex } = Bytes::deserialize(MapAccessDeserializer::new(map))?;
                let bytes = from_hex(&hex).ok_or_else(|| {
                    serde::de::Error::custom("expected pairs of hexadecimal digits")
                })?;
                Ok(RelPath(OsString::from_vec(bytes).into()))
            }
        }

        deserializer.deserialize_any(Form)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_bytes_survives_the_way_through_json() {
        for bytes in [
            &b"uploads/a b.pdf"[..],
            b"uploads/\xff\xfe",
            "uploads/ä".as_bytes(),
        ] {
            let path = RelPath(OsString::from_vec(bytes.to_vec()).into());
            let json = serde_json::to_string(&path).unwrap();
            assert_eq!(
                serde_json::from_str::<RelPath>(&json).unwrap(),
                path,
                "{json}"
            );
        }
    }

    #[test]
    fn a_path_that_leaves_its_folder_is_told() {
        for (path, below) in [
            ("a/b", true),
            ("..", false),
            ("a/../b", false),
            ("/a", false),
            ("", false),
            ("./a", false),
        ] {
            assert_eq!(RelPath::from(path).stays_below(), below, "{path}");
        }
    }
}
