//! One file, folder or link of a snapshot, and where it came from.

use serde::{Deserialize, Serialize};

use super::RelPath;

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
