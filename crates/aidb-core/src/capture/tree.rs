//! Capturing a whole data folder.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Stat, fgetxattr, flistxattr, fstat};
use rustix::io::Errno;

use super::copy::{create, read_up_to, transfer};
use super::database::{Database, database};
use super::pin::{same_state, sidecar};
use super::walk::{Exclude, Found, Root};
use crate::error::{Error, IoContext, Result};
use crate::vault::manifest::{Entry, How, Kind, RelPath, Source, Xattr, to_hex};
use crate::vault::restore::put_aside::is_ours;

/// The first bytes of every SQLite database (SQLite file format, 1.3.1).
pub(crate) const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How often a plain file is copied again because it changed meanwhile.
const ATTEMPTS: usize = 3;

/// A captured data folder.
#[derive(Debug, Default)]
pub struct Captured {
    /// Everything below the folder, parents before their children.
    pub entries: Vec<Entry>,
    /// What could not be kept, and why: a snapshot with such gaps is never proven.
    pub gaps: Vec<(PathBuf, String)>,
    /// Plain files that never stood still while they were copied.
    pub unsteady: Vec<PathBuf>,
    /// The longest time for which writers of one database may have been waiting.
    pub blocked: Duration,
    /// Bytes that were written, not shared.
    pub new_bytes: u64,
    /// Sizes of all files added up.
    pub size_bytes: u64,
}

/// Captures everything below `root` that is not excluded into the new folder `target`.
///
/// # Errors
/// [`crate::Error::Busy`] if a database cannot be held still, [`crate::Error::Io`] if the copy cannot be written. What
/// of the source cannot be read is a gap, not an error.
pub fn tree(root: &Root, exclude: &Exclude, target: &Path, patience: Duration) -> Result<Captured> {
    let mut walk = root.walk(exclude);
    // What restores put aside inside the folder is ours, and no part of the data.
    walk.found
        .retain(|f| f.path.iter().next().is_none_or(|top| !is_ours(top)));
    let mut capture = Capture {
        root,
        target,
        out: Captured::default(),
        seen: HashMap::new(),
        deadline: Instant::now() + patience,
    };
    for (path, e) in walk.unreadable {
        capture
            .out
            .gaps
            .push((path, format!("cannot be listed: {e}")));
    }
    std::fs::create_dir(target).doing("make the folder", target)?;
    let databases = capture.databases(&walk.found);
    for found in &walk.found {
        if databases.is_companion(&found.path) {
            continue;
        }
        if databases.mains.contains(&found.path) {
            capture.database(found)?;
        } else {
            capture.plain(found)?;
        }
    }
    Ok(capture.out)
}

struct Capture<'a> {
    root: &'a Root,
    target: &'a Path,
    out: Captured,
    /// Device and inode of files with several names, and the first name.
    seen: HashMap<(u64, u64), PathBuf>,
    deadline: Instant,
}

/// The SQLite databases of a tree.
struct Databases {
    mains: std::collections::HashSet<PathBuf>,
}

impl Databases {
    /// Returns whether a file belongs to a database beside it and is captured with it, or (`-shm`) not kept at all.
    fn is_companion(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return false;
        };
        ["-wal", "-shm", "-journal"].iter().any(|suffix| {
            name.strip_suffix(suffix)
                .is_some_and(|main| self.mains.contains(&path.with_file_name(main)))
        })
    }
}

impl Capture<'_> {
    /// Finds the databases by their first bytes; a main file that is empty counts if it has a `-wal`.
    fn databases(&self, found: &[Found]) -> Databases {
        let names: std::collections::HashSet<&Path> =
            found.iter().map(|f| f.path.as_path()).collect();
        let is_database = |f: &Found| {
            if FileType::from_raw_mode(f.stat.st_mode) != FileType::RegularFile {
                return false;
            }
            if f.stat.st_size == 0 {
                return names.contains(sidecar(&f.path, "-wal").as_path());
            }
            let mut head = [0; 16];
            self.root.open_file(&f.path).is_ok_and(|file| {
                read_up_to(&file, &mut head, 0).is_ok_and(|_| &head == SQLITE_MAGIC)
            })
        };
        Databases {
            mains: found
                .iter()
                .filter(|f| is_database(f))
                .map(|f| f.path.clone())
                .collect(),
        }
    }

    fn plain(&mut self, found: &Found) -> Result<()> {
        let path = self.target.join(&found.path);
        let kind = match FileType::from_raw_mode(found.stat.st_mode) {
            FileType::Directory => {
                std::fs::create_dir(&path).doing("make the folder", &path)?;
                Kind::Folder
            }
            FileType::Symlink => match self.root.read_link(&found.path) {
                Ok(target) => {
                    std::os::unix::fs::symlink(&target, &path).doing("make the link", &path)?;
                    Kind::Symlink {
                        target: target.into(),
                    }
                }
                Err(Errno::NOENT) => return Ok(()),
                Err(e) => {
                    self.gap(found, &e.into());
                    return Ok(());
                }
            },
            FileType::RegularFile => return self.file(found),
            FileType::Fifo => Kind::Special {
                what: "fifo".into(),
            },
            FileType::Socket => Kind::Special {
                what: "socket".into(),
            },
            FileType::BlockDevice => Kind::Special {
                what: "block-device".into(),
            },
            FileType::CharacterDevice => Kind::Special {
                what: "character-device".into(),
            },
            FileType::Unknown => Kind::Special {
                what: "unknown".into(),
            },
        };
        let xattrs = match &kind {
            Kind::Folder => {
                let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
                self.root
                    .open_at(&found.path, flags)
                    .map(|fd| xattrs(&fd))
                    .unwrap_or_default()
            }
            _ => Vec::new(),
        };
        self.entry(&found.path, kind, &found.stat, xattrs);
        Ok(())
    }

    fn file(&mut self, found: &Found) -> Result<()> {
        if self.linked_to_first(found)? {
            return Ok(());
        }
        let source = match self.root.open_file(&found.path) {
            Ok(source) => source,
            Err(Errno::NOENT) => return Ok(()),
            Err(e) => {
                self.gap(found, &e.into());
                return Ok(());
            }
        };
        let path = self.target.join(&found.path);
        for attempt in 1.. {
            let copy = create(&path).doing("write", &path)?;
            let before = fstat(&source).doing("look at", &path)?;
            let how = transfer(&source, &copy).doing("copy to", &path)?;
            let after = fstat(&source).doing("look at", &path)?;
            if same_state(&before, &after) || attempt == ATTEMPTS {
                if !same_state(&before, &after) {
                    self.out.unsteady.push(found.path.clone());
                }
                self.add_file(&found.path, &path, how, &before, xattrs(&source))?;
                break;
            }
            std::fs::remove_file(&path).doing("replace", &path)?;
        }
        self.remember_name(found);
        Ok(())
    }

    fn database(&mut self, found: &Found) -> Result<()> {
        if self.linked_to_first(found)? {
            return Ok(());
        }
        let path = self.target.join(&found.path);
        let left = self.deadline.saturating_duration_since(Instant::now());
        let Database { files, blocked } = match database(self.root, &found.path, &path, left) {
            Ok(database) => database,
            // A temporary database of a living application went away.
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    && matches!(self.root.stat(&found.path), Ok(None)) =>
            {
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        self.out.blocked = self.out.blocked.max(blocked);
        for part in files {
            let relative = sidecar(&found.path, part.suffix);
            let xattrs = match self.root.open_file(&relative) {
                Ok(file) => xattrs(&file),
                Err(_) => Vec::new(),
            };
            self.add_file(
                &relative,
                &sidecar(&path, part.suffix),
                part.how,
                &part.stat,
                xattrs,
            )?;
        }
        self.remember_name(found);
        Ok(())
    }

    fn add_file(
        &mut self,
        relative: &Path,
        copy: &Path,
        how: How,
        stat: &Stat,
        xattrs: Vec<Xattr>,
    ) -> Result<()> {
        let size_bytes = std::fs::metadata(copy).doing("look at", copy)?.len();
        self.out.size_bytes += size_bytes;
        if how == How::Copy {
            use std::os::unix::fs::MetadataExt as _;
            self.out.new_bytes += std::fs::metadata(copy).doing("look at", copy)?.blocks() * 512;
        }
        let source = Source {
            inode: stat.st_ino,
            mtime_ns: mtime_ns(stat),
            ctime_ns: ctime_ns(stat),
        };
        self.entry(
            relative,
            Kind::File {
                size_bytes,
                blake3: None,
                how,
                source,
            },
            stat,
            xattrs,
        );
        Ok(())
    }

    fn entry(&mut self, path: &Path, kind: Kind, stat: &Stat, xattrs: Vec<Xattr>) {
        let (mode, mtime_ns) = (stat.st_mode & 0o7777, mtime_ns(stat));
        self.out.entries.push(Entry {
            path: RelPath::from(path),
            kind,
            mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime_ns,
            xattrs,
        });
    }

    fn gap(&mut self, found: &Found, e: &io::Error) {
        self.out
            .gaps
            .push((found.path.clone(), format!("cannot be read: {e}")));
    }

    /// Gives the copy of a file with several names another name too, if it was copied already.
    fn linked_to_first(&mut self, found: &Found) -> Result<bool> {
        let inode = (found.stat.st_dev, found.stat.st_ino);
        let Some(first) = self.seen.get(&inode).cloned() else {
            return Ok(false);
        };
        let (from, to) = (self.target.join(&first), self.target.join(&found.path));
        std::fs::hard_link(&from, &to).doing("link", &to)?;
        self.entry(
            &found.path,
            Kind::HardLink { to: first.into() },
            &found.stat,
            Vec::new(),
        );
        Ok(true)
    }

    fn remember_name(&mut self, found: &Found) {
        if found.stat.st_nlink > 1 {
            self.seen
                .insert((found.stat.st_dev, found.stat.st_ino), found.path.clone());
        }
    }
}

/// Returns the attributes that belong to the data: the user's own, and access lists.
pub(crate) fn xattrs(fd: impl AsFd) -> Vec<Xattr> {
    let mut names = vec![0; 64 * 1024];
    let Ok(length) = flistxattr(&fd, &mut names) else {
        return Vec::new();
    };
    let names = names[..length]
        .split(|b| *b == 0)
        .filter_map(|n| std::str::from_utf8(n).ok());
    let mut found = Vec::new();
    for name in names.filter(|n| n.starts_with("user.") || n.starts_with("system.posix_acl_")) {
        let mut value = vec![0; 64 * 1024];
        if let Ok(length) = fgetxattr(&fd, name, &mut value) {
            found.push(Xattr {
                name: name.to_owned(),
                value_hex: to_hex(&value[..length]),
            });
        }
    }
    found
}

pub(crate) fn mtime_ns(stat: &Stat) -> i64 {
    nanoseconds(stat.st_mtime, stat.st_mtime_nsec)
}

pub(crate) fn ctime_ns(stat: &Stat) -> i64 {
    nanoseconds(stat.st_ctime, stat.st_ctime_nsec)
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "nanoseconds of a second are below 10^9"
)]
fn nanoseconds(seconds: i64, nanoseconds: u64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds as i64)
}
