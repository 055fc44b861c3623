//! Writing the files of a snapshot into a folder of ours, checked against the manifest while they are written.
//!
//! A manifest may come from elsewhere: every entry stays below the staging folder, nothing is written over a link or
//! into a name that exists. Folders get their mode and time last, when nothing is written into them any more.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatVfs, fstatvfs, linkat, openat, symlinkat};
use rustix::io::Errno;

use super::CHOOSE_ANOTHER;
use super::attributes::{Attributes, Notes};
use super::step::{make_folder, step};
use crate::aside_name::is_ours;
use crate::capture::copy::transfer;
use crate::capture::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::manifest::{Entry, Kind, Manifest, RelPath};
use crate::progress::Work;
use crate::userns::IdMap;
use crate::words::first_paths;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub files: u64,
    pub size_bytes: u64,
    /// Regular files whose hash the manifest does not know: only their size was compared.
    pub unhashed: u64,
    /// Pipes, sockets and devices that the manifest names.
    pub special_skipped: Vec<PathBuf>,
    pub notes: Notes,
}

/// A staging folder that is being filled.
pub(super) struct Stage<'m> {
    source: Root,
    target: Root,
    manifest: &'m Manifest,
    ids: IdMap,
    /// Folders and what they are to look like, parents before their children.
    folders: Vec<(PathBuf, Attributes)>,
    /// Where the content of each file now stands, by its path in the manifest.
    placed: HashMap<&'m Path, PathBuf>,
    differing: Vec<PathBuf>,
    /// The files for which it was not yet asked whether there is room.
    unasked: Vec<&'m Path>,
    pub written: Written,
}

impl<'m> Stage<'m> {
    /// Begins to fill the empty folder `target` from the folder `source` of a snapshot.
    pub fn new(source: &Path, target: &Path, manifest: &'m Manifest) -> Result<Self> {
        Ok(Self {
            source: Root::open(source)?,
            target: Root::open(target)?,
            manifest,
            ids: IdMap::of_this_process(),
            folders: Vec::new(),
            placed: HashMap::new(),
            differing: Vec::new(),
            unasked: Vec::new(),
            written: Written::default(),
        })
    }

    /// Returns the folder that is being filled.
    pub fn target(&self) -> &Root {
        &self.target
    }

    /// Writes the entries, which come parents first.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if files differ from the manifest, if the manifest leads out of the folder, or if there is
    /// no room.
    pub fn write(&mut self, entries: &[&'m Entry], work: &Work<'_>) -> Result<()> {
        let files = entries
            .iter()
            .filter(|e| matches!(e.kind, Kind::File { .. }));
        self.unasked = files.map(|e| e.path.as_path()).collect();
        check_paths(entries)?;
        for entry in entries {
            self.entry(entry)?;
            if let Kind::File { size_bytes, .. } = entry.kind {
                work.advance(size_bytes);
            }
        }
        if self.differing.is_empty() {
            return Ok(());
        }
        Err(differ(&self.differing, self.written.files))
    }

    fn entry(&mut self, entry: &'m Entry) -> Result<()> {
        let path = entry.path.as_path();
        // A capture that did not yet know our names would bring an old put-aside back.
        if path.iter().next().is_some_and(is_ours) {
            return Ok(());
        }
        let attributes = Attributes::of_entry(entry, self.manifest.summary.numbering, &self.ids);
        match &entry.kind {
            Kind::Folder => {
                self.make_folder(path).doing("make the folder", path)?;
                self.folders.push((path.to_owned(), attributes));
            }
            Kind::File { .. } => self.file(path, path, entry, &attributes)?,
            Kind::HardLink { to } => self.hard_link(path, to.as_path(), &attributes)?,
            Kind::Symlink { target } => {
                let (parent, name) = self.parent_of(path)?;
                step("symlink").doing("make the link", path)?;
                symlinkat(target.as_path(), &parent, name).doing("make the link", path)?;
                attributes
                    .apply_to_link(&parent, name, path, &mut self.written.notes)
                    .doing("set the owner and time of", path)?;
            }
            Kind::Special { .. } => self.written.special_skipped.push(path.to_owned()),
        }
        Ok(())
    }

    fn hard_link(&mut self, path: &'m Path, to: &'m Path, attributes: &Attributes) -> Result<()> {
        if let Some(first) = self.placed.get(to).cloned() {
            let (old_parent, old_name) = self.parent_of(&first)?;
            let (parent, name) = self.parent_of(path)?;
            step("hard link").doing("link", path)?;
            linkat(&old_parent, old_name, &parent, name, AtFlags::empty()).doing("link", path)?;
            return Ok(());
        }
        // Its first name is not part of what is restored: the content is, under this one.
        let original = self
            .manifest
            .entries
            .iter()
            .find(|e| e.path.as_path() == to);
        match original {
            Some(entry) if matches!(entry.kind, Kind::File { .. }) => {
                self.file(to, path, entry, attributes)
            }
            _ => Err(damaged(&format!(
                "`{}` is a name of `{}`, which is no file in it",
                path.display(),
                to.display()
            ))),
        }
    }

    /// Writes the content of the manifest's file `from` to `path`.
    fn file(
        &mut self,
        from: &'m Path,
        path: &Path,
        entry: &Entry,
        attributes: &Attributes,
    ) -> Result<()> {
        let Kind::File {
            size_bytes, blake3, ..
        } = &entry.kind
        else {
            return Ok(());
        };
        self.written.files += 1;
        self.written.size_bytes += size_bytes;
        let source = match self.source.open_file(from) {
            Ok(source) => source,
            // It is there no longer, or is something else now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::INVAL) => {
                self.differing.push(from.to_owned());
                return Ok(());
            }
            Err(e) => return Err(e).doing("open", &self.source.path().join(from)),
        };
        let (parent, name) = self.parent_of(path)?;
        step("make file").doing("make the file", path)?;
        let target = create(&parent, name).doing("make the file", path)?;
        step("copy").doing("copy", path)?;
        let length = source.metadata().doing("look at", path)?.len();
        if length != *size_bytes {
            self.differing.push(from.to_owned());
            return Ok(());
        }
        self.copy(&source, &target, path)?;
        match blake3 {
            Some(expected) => {
                if hash(&target).doing("read back", path)? != *expected {
                    self.differing.push(from.to_owned());
                }
            }
            None => self.written.unhashed += 1,
        }
        attributes
            .apply(&target, path, &mut self.written.notes)
            .doing("set the mode and time of", path)?;
        self.placed.insert(from, path.to_owned());
        Ok(())
    }

    /// Copies; before the first copy that needs room, makes sure that all the rest has it.
    fn copy(&mut self, source: &File, target: &File, path: &Path) -> Result<()> {
        if rustix::fs::ioctl_ficlone(target, source).is_ok() {
            return Ok(());
        }
        let unasked = std::mem::take(&mut self.unasked);
        if !unasked.is_empty() {
            // What a file takes up on the disk, holes left out.
            let size = |path: &Path| match self.source.stat(path) {
                Ok(Some(stat)) => u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
                _ => 0,
            };
            let need: u64 = unasked.into_iter().map(size).sum();
            let space = fstatvfs(target).doing("ask for free space at", path)?;
            make_sure_of_room(need, &space)?;
        }
        transfer(source, target).doing("copy", path)?;
        Ok(())
    }

    /// Makes a folder in the staging folder.
    pub fn make_folder(&self, path: &Path) -> Result<(), Errno> {
        let (parent, name) = self.parent_fd(path)?;
        make_folder(&parent, name)
    }

    /// Lets a folder look like this in the end.
    pub fn finish_folder_as(&mut self, path: &Path, attributes: Attributes) {
        self.folders.push((path.to_owned(), attributes));
    }

    /// Gives all folders their modes and times, children first.
    pub fn finish_folders(&mut self) -> Result<()> {
        self.folders.sort_by(|a, b| a.0.cmp(&b.0));
        for (path, attributes) in self.folders.iter().rev() {
            let fd = self
                .target
                .open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
                .doing("open the folder", path)?;
            attributes
                .apply(&fd, path, &mut self.written.notes)
                .doing("set the mode and time of", path)?;
        }
        self.folders.clear();
        Ok(())
    }

    /// Opens the staging folder's folder that holds `path`, without following links, and returns it with the last name.
    pub fn parent_fd<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
        parent_in(&self.target, path)
    }

    fn parent_of<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        self.parent_fd(path).doing("open the folder of", path)
    }
}

/// Opens the folder of `root` that holds `path`, without following links.
pub(super) fn parent_in<'p>(root: &Root, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Errno> {
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let fd = root.open_at(parent, OFlags::PATH | OFlags::DIRECTORY)?;
    Ok((fd, name))
}

/// Makes a new file for us alone; a name that exists, be it a link, is an error.
pub(super) fn create(parent: &OwnedFd, name: &OsStr) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
}

/// Refuses if that much does not fit. A hundredth stays free: a full disk harms the applications that run.
fn make_sure_of_room(need: u64, space: &StatVfs) -> Result<()> {
    let free = space
        .f_bavail
        .saturating_sub(space.f_blocks / 100)
        .saturating_mul(space.f_frsize);
    if need <= free {
        return Ok(());
    }
    Err(Error::CouldNot {
        what: format!(
            "need {} for the restored files, found {}",
            mib(need),
            mib(free)
        ),
        hint: Some(
            "remove put-asides that are no longer needed, or restore with `--to` to another disk"
                .into(),
        ),
    })
}

/// Refuses paths that lead out of the folder, or that stand twice.
fn check_paths(entries: &[&Entry]) -> Result<()> {
    let mut seen = HashSet::new();
    for entry in entries {
        let below = |path: &RelPath| {
            if path.stays_below() {
                Ok(())
            } else {
                Err(damaged(&format!(
                    "`{}` is not below the data folder",
                    path.as_path().display()
                )))
            }
        };
        below(&entry.path)?;
        if let Kind::HardLink { to } = &entry.kind {
            below(to)?;
        }
        if !seen.insert(entry.path.as_path()) {
            let path = entry.path.as_path().display();
            return Err(damaged(&format!("`{path}` stands twice in it")));
        }
    }
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::CouldNot {
        what: format!("the manifest cannot be used: {what}"),
        hint: Some(CHOOSE_ANOTHER.into()),
    }
}

fn differ(paths: &[PathBuf], files: u64) -> Error {
    Error::CouldNot {
        what: format!(
            "{} of {files} files differ from the manifest: {}",
            paths.len(),
            first_paths(paths)
        ),
        hint: Some(CHOOSE_ANOTHER.into()),
    }
}

/// Returns the BLAKE3 of a file's content, hexadecimal.
pub(super) fn hash(file: &File) -> std::io::Result<String> {
    Ok(crate::hash::of_file(file, |_| true)?.unwrap_or_default())
}

/// Returns a size in MiB, for people.
fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}
