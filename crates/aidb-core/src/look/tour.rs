//! Going through an application's files below a root, with limits: how many names, how many bytes, how long.
//!
//! Nothing is followed and nothing but regular files is opened. What may not be looked at is named, so that a caller
//! never takes it for absent.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::capture::Root;

/// How many names are looked at in one store.
pub const MOST_NAMES: u32 = 110_000;
/// How many bytes of one file of the application's own notes (JSON) are read.
pub const MOST_FILE_BYTES: u64 = 4 << 20;
/// How many bytes of such files are read in one store.
const MOST_BYTES: u64 = 512 << 20;
/// How many examples are kept.
const MOST_EXAMPLES: usize = 3;

/// How often something was met, and the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Several {
    /// How often.
    pub count: u64,
    /// The first few, as people read them.
    pub first: Vec<String>,
}

impl Several {
    /// Adds one.
    pub fn add(&mut self, told: impl Into<String>) {
        self.count += 1;
        if self.first.len() < MOST_EXAMPLES {
            self.first.push(told.into());
        }
    }

    /// Adds others.
    pub fn append(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(MOST_EXAMPLES);
    }

    /// Returns whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// A regular file of this many bytes.
    File(u64),
    /// A symbolic link.
    Symlink,
    /// A pipe, socket or device.
    Special(&'static str),
}

/// One name in a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: OsString,
    pub(super) kind: Kind,
}

impl Entry {
    /// Returns the name as text; names that are none are nobody's of ours.
    pub(super) fn text(&self) -> &str {
        self.name.to_str().unwrap_or("")
    }
}

/// A file's content.
pub(super) enum Content {
    Bytes(Vec<u8>),
    Absent,
    /// It is too long.
    TooLong(String),
    /// It is something else.
    Other(String),
    /// It was not read; the tour knows why.
    Blocked,
}

/// Why a tour ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// There were more names, or more bytes, than are looked at.
    TooMuch,
    /// The time was over.
    Late,
}

/// One pass through a store.
pub(super) struct Tour<'a> {
    root: &'a Root,
    names_left: u32,
    bytes_left: u64,
    deadline: Instant,
    /// Names that could not be looked at, with the reason.
    pub(super) unlooked: Several,
    /// Why it ended before everything was seen.
    pub(super) ended: Option<Ended>,
}

impl<'a> Tour<'a> {
    pub(super) fn new(root: &'a Root, deadline: Instant) -> Self {
        Self {
            root,
            names_left: MOST_NAMES,
            bytes_left: MOST_BYTES,
            deadline,
            unlooked: Several::default(),
            ended: None,
        }
    }

    /// Returns whether there is time and room for one more name.
    pub(super) fn goes_on(&mut self) -> bool {
        if self.ended.is_none() {
            if self.names_left == 0 {
                self.ended = Some(Ended::TooMuch);
            } else if Instant::now() >= self.deadline {
                self.ended = Some(Ended::Late);
            } else {
                self.names_left -= 1;
            }
        }
        self.ended.is_none()
    }

    /// Remembers that something could not be looked at.
    pub(super) fn blocked(&mut self, path: &Path, why: &str) {
        self.unlooked.add(format!("`{}`: {why}", path.display()));
    }

    /// Lists a folder in the order of names; `None` if it may not be listed. Cut short if the tour ended.
    pub(super) fn list(&mut self, folder: &Path) -> Option<Vec<Entry>> {
        match self.try_list(folder) {
            Ok(entries) => Some(entries),
            Err(Errno::NOENT) => Some(Vec::new()),
            Err(e) => {
                self.blocked(folder, &why(e));
                None
            }
        }
    }

    fn try_list(&mut self, folder: &Path) -> Result<Vec<Entry>, Errno> {
        use std::os::unix::ffi::OsStrExt as _;
        let fd = self
            .root
            .open_at(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if !self.goes_on() {
                break;
            }
            match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.push(Entry {
                    name: std::ffi::OsStr::from_bytes(name.to_bytes()).to_owned(),
                    kind: kind(&stat),
                }),
                // It went away since it was listed.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Returns what lies at a path; `None` if that cannot be told. Callers bound how many they ask for.
    pub(super) fn kind(&mut self, path: &Path) -> Option<Kind> {
        if self.ended == Some(Ended::Late) || Instant::now() >= self.deadline {
            self.ended = Some(Ended::Late);
            return None;
        }
        match self.root.stat(path) {
            Ok(stat) => Some(stat.as_ref().map_or(Kind::Absent, kind)),
            Err(Errno::NAMETOOLONG) => Some(Kind::Absent),
            Err(e) => {
                self.blocked(path, &why(e));
                None
            }
        }
    }

    /// Opens a regular file to read `most` bytes of it. It may be replaced while we look.
    pub(super) fn read(&mut self, path: &Path, most: u64) -> Content {
        if !self.goes_on() {
            return Content::Blocked;
        }
        let file = match self.root.open_file(path) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Content::Absent,
            Err(Errno::LOOP) => {
                self.blocked(path, &why(Errno::LOOP));
                return Content::Blocked;
            }
            Err(Errno::INVAL) => return Content::Other("is no regular file".to_owned()),
            Err(e) => {
                self.blocked(path, &why(e));
                return Content::Blocked;
            }
        };
        let mut bytes = Vec::new();
        if let Err(e) = file.take(most + 1).read_to_end(&mut bytes) {
            self.blocked(path, &e.to_string());
            return Content::Blocked;
        }
        let length = bytes.len() as u64;
        if length > self.bytes_left {
            self.ended = Some(Ended::TooMuch);
            return Content::Blocked;
        }
        self.bytes_left -= length;
        if length > most {
            return Content::TooLong(format!("has more than {most} bytes"));
        }
        Content::Bytes(bytes)
    }

    /// Returns the first bytes of a regular file, fewer if it is shorter; `None` if they cannot be read.
    pub(super) fn start<const N: usize>(&mut self, path: &Path) -> Option<Vec<u8>> {
        let file = match self.root.open_file(path) {
            Ok(file) => file,
            Err(e) => {
                self.blocked(path, &why(e));
                return None;
            }
        };
        let mut bytes = Vec::with_capacity(N);
        match file.take(N as u64).read_to_end(&mut bytes) {
            Ok(_) => Some(bytes),
            Err(e) => {
                self.blocked(path, &e.to_string());
                None
            }
        }
    }
}

fn why(e: Errno) -> String {
    match e {
        Errno::LOOP => "a symbolic link, which is not followed".to_owned(),
        Errno::INVAL => "no regular file".to_owned(),
        e => std::io::Error::from(e).to_string(),
    }
}

fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Special("pipe"),
        FileType::Socket => Kind::Special("socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Special("device"),
        FileType::Unknown => Kind::Special("file of unknown kind"),
    }
}
