//! Walking a tree that a container can write: below its root only, following no link, opening nothing that could hang.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use globset::GlobSet;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, open, openat2, statat};
use rustix::io::Errno;

use crate::aside_name::is_ours;
use crate::error::{Error, IoContext, Result};
use crate::settings::paths::{exclude_set, excluded};

/// A data folder, held open.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

/// One name below a root.
#[derive(Debug)]
pub struct Found {
    /// Relative to the root.
    pub path: PathBuf,
    /// As `lstat` tells it.
    pub stat: Stat,
}

/// What a walk met.
#[derive(Debug, Default)]
pub struct Walk {
    /// Parents before their children, names in byte order.
    pub found: Vec<Found>,
    /// What was left out because it is excluded: the top of each excluded tree.
    pub excluded: Vec<PathBuf>,
    /// What could not be listed, and why.
    pub unreadable: Vec<(PathBuf, std::io::Error)>,
    /// What has a longer path than can be kept, with all below it.
    pub too_long: Vec<PathBuf>,
}

impl Walk {
    /// Sets what has a longer path than `most_bytes` apart. Of a folder only the folder itself is named.
    pub fn set_apart_longer_than(&mut self, most_bytes: usize) {
        let mut too_long: Vec<PathBuf> = Vec::new();
        let mut is_too_long = |path: &Path| {
            // Parents come before their children, and a folder's children before its next sibling.
            if too_long.last().is_some_and(|top| path.starts_with(top)) {
                return true;
            }
            let is = path.as_os_str().len() > most_bytes;
            if is {
                too_long.push(path.to_owned());
            }
            is
        };
        self.found.retain(|f| !is_too_long(&f.path));
        self.unreadable
            .retain(|(path, _)| !too_long.iter().any(|top| path.starts_with(top)));
        self.too_long = too_long;
    }
}

impl Root {
    /// Opens a data folder. Its own path is the user's word and may lead over links; nothing below it may.
    ///
    /// # Errors
    /// [`Error::Io`] if it does not exist, is no folder or may not be read.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).doing("open the data folder", path)?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Returns the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens what lies at `relative`, without following links and without waiting for a pipe's other end.
    pub fn open_at(&self, relative: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let waitless = if flags.contains(OFlags::PATH) {
            OFlags::empty()
        } else {
            OFlags::NONBLOCK | OFlags::NOCTTY
        };
        let flags = flags | waitless | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let relative = if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        };
        loop {
            match openat2(&self.fd, relative, flags, Mode::empty(), resolve) {
                // The kernel says so when a rename raced the look-up.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Opens a regular file for reading; a link is [`Errno::LOOP`], anything else [`Errno::INVAL`].
    pub fn open_file(&self, relative: &Path) -> Result<File, Errno> {
        // A device or pipe is not even opened: that alone can act on it.
        only_regular(&self.open_at(relative, OFlags::PATH)?)?;
        let file = File::from(self.open_at(relative, OFlags::RDONLY)?);
        only_regular(&file)?;
        Ok(file)
    }

    /// Returns what `lstat` tells of `relative`; `None` if there is no such name.
    pub fn stat(&self, relative: &Path) -> Result<Option<Stat>, Errno> {
        let probe = match self.open_at(relative, OFlags::PATH) {
            Ok(probe) => probe,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(e) => return Err(e),
        };
        rustix::fs::fstat(&probe).map(Some)
    }

    /// Returns where a symbolic link points.
    pub fn read_link(&self, relative: &Path) -> Result<PathBuf, Errno> {
        use std::os::unix::ffi::OsStringExt as _;
        let Some(name) = relative.file_name() else {
            return Err(Errno::INVAL);
        };
        let parent = self.open_at(
            relative.parent().unwrap_or(Path::new("")),
            OFlags::PATH | OFlags::DIRECTORY,
        )?;
        let target = rustix::fs::readlinkat(&parent, name, Vec::new())?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }

    /// Lists everything below the root that is not excluded.
    #[must_use]
    pub fn walk(&self, exclude: &Exclude) -> Walk {
        let mut walk = Walk::default();
        // Depth first with the stack on the heap: a tree of any depth is walked.
        let mut pending = vec![PathBuf::new()];
        while let Some(folder) = pending.pop() {
            let mut names = match self.list(&folder) {
                Ok(names) => names,
                Err(Errno::NOENT) => continue,
                Err(e) => {
                    walk.unreadable.push((folder, e.into()));
                    continue;
                }
            };
            names.sort_by(|a, b| a.path.cmp(&b.path));
            let mut folders = Vec::new();
            for found in names {
                if exclude.matches(&found.path) {
                    walk.excluded.push(found.path);
                    continue;
                }
                if FileType::from_raw_mode(found.stat.st_mode) == FileType::Directory {
                    folders.push(found.path.clone());
                }
                walk.found.push(found);
            }
            pending.extend(folders.into_iter().rev());
        }
        walk
    }

    /// Lists the data: all that is not excluded and not ours, as what restores put aside inside the folder is.
    #[must_use]
    pub fn walk_data(&self, exclude: &Exclude) -> Walk {
        let mut walk = self.walk(exclude);
        walk.found
            .retain(|f| f.path.iter().next().is_none_or(|top| !is_ours(top)));
        walk
    }

    fn list(&self, folder: &Path) -> Result<Vec<Found>, Errno> {
        use std::os::unix::ffi::OsStrExt as _;
        let fd = self.open_at(folder, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match statat(fd.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => {
                    let path = folder.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
                    found.push(Found { path, stat });
                }
                // It went away since it was listed: a temporary file of a living application.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }
}

fn only_regular(fd: impl AsFd) -> Result<(), Errno> {
    match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err(Errno::LOOP),
        _ => Err(Errno::INVAL),
    }
}

/// What of a data folder is not kept.
#[derive(Debug, Clone, Default)]
pub struct Exclude {
    globs: GlobSet,
}

impl Exclude {
    /// Returns the matcher of a guard's patterns.
    ///
    /// # Errors
    /// [`Error::Settings`] if a pattern is none.
    pub fn new(patterns: &[String]) -> Result<Self> {
        let globs = exclude_set(patterns).map_err(|what| Error::Settings {
            file: None,
            what,
            hint: None,
        })?;
        Ok(Self { globs })
    }

    /// Returns whether `relative` is left out.
    #[must_use]
    pub fn matches(&self, relative: &Path) -> bool {
        excluded(&self.globs, relative)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(walk: &Walk) -> Vec<String> {
        walk.found
            .iter()
            .map(|f| f.path.display().to_string())
            .collect()
    }

    #[test]
    fn links_pipes_and_excluded_trees_are_named_and_not_entered() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("cache/models")).unwrap();
        std::fs::create_dir_all(data.join("uploads")).unwrap();
        std::fs::write(data.join("uploads/a.pdf"), "a").unwrap();
        std::fs::write(data.join("cache/models/m"), "m").unwrap();
        std::fs::write(folder.path().join("secret"), "s").unwrap();
        symlink(folder.path(), data.join("out")).unwrap();
        symlink("out", data.join("loop")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            data.join("pipe"),
            FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();

        let root = Root::open(&data).unwrap();
        let walk = root.walk(&Exclude::new(&["cache/**".into()]).unwrap());
        assert_eq!(
            names(&walk),
            ["loop", "out", "pipe", "uploads", "uploads/a.pdf"]
        );
        assert_eq!(walk.excluded, [Path::new("cache")]);
        assert_eq!(
            root.open_file(Path::new("out/secret")).unwrap_err(),
            Errno::LOOP
        );
        assert_eq!(
            root.open_file(Path::new("../secret")).unwrap_err(),
            Errno::XDEV
        );
        assert_eq!(root.open_file(Path::new("pipe")).unwrap_err(), Errno::INVAL);
        assert_eq!(root.read_link(Path::new("loop")).unwrap(), Path::new("out"));
        assert!(root.stat(Path::new("out")).unwrap().is_some());
        assert!(root.stat(Path::new("absent")).unwrap().is_none());
    }

    #[test]
    fn a_tree_deeper_than_the_longest_path_is_reported_not_fatal() {
        let folder = tempfile::tempdir().unwrap();
        let mut fd = open(
            folder.path(),
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
        )
        .unwrap();
        let name = "d".repeat(200);
        for _ in 0..30 {
            rustix::fs::mkdirat(&fd, &name, Mode::RWXU).unwrap();
            fd = rustix::fs::openat(
                &fd,
                &name,
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )
            .unwrap();
        }
        let mut walk = Root::open(folder.path()).unwrap().walk(&Exclude::default());
        assert!(walk.found.len() >= 19, "{}", walk.found.len());
        assert_eq!(walk.unreadable.len(), 1);
        walk.set_apart_longer_than(1000);
        let (kept, top) = ([name.as_str(); 4].join("/"), [name.as_str(); 5]);
        assert_eq!(walk.found.last().unwrap().path, Path::new(&kept));
        assert_eq!(walk.too_long, [Path::new(&top.join("/"))]);
        assert!(walk.unreadable.is_empty());
    }
}
