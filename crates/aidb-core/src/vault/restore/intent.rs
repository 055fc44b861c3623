//! `restore.intent`: the written promise to replace entries of a data folder, kept in the guard's folder of the vault
//! until it is fulfilled.
//!
//! It is written once everything new is staged and on disk. From then on where each entry lies tells what is done, so
//! that it can be fulfilled from any point, any number of times: an old entry that is not yet in the put-aside moves
//! there; then a new entry that is still staged moves in. Nothing of it overwrites or deletes.

use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, Notes};
use super::put_aside::{self, CONTENT, Contents, LATE};
use super::select::{Moves, SIDECARS};
use super::stage::parent_in;
use super::step::{make_folder, remove_file, rename, sync_filesystem, sync_folder, write_json};
use crate::capture::pin::sidecar;
use crate::capture::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::manifest::RelPath;
use crate::vault::Vault;

/// The version of the file that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// The promise.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Intent {
    format: u32,
    guard: String,
    /// When it was written.
    at: Timestamp,
    /// The data folder, without links.
    data: RelPath,
    /// The folder that the new entries come from.
    staging: RelPath,
    /// Ours, to be removed in the end if nothing but empty folders is left: the staging, or the put-aside of `undo`.
    spent: RelPath,
    /// The put-aside that receives the old entries.
    aside: RelPath,
    /// Its description, written when all entries are where they belong.
    contents: Contents,
    out: Vec<RelPath>,
    r#in: Vec<RelPath>,
    databases: Vec<RelPath>,
}

/// The folders of an intent.
pub(super) struct Folders {
    pub data: PathBuf,
    pub staging: PathBuf,
    pub spent: PathBuf,
    pub aside: PathBuf,
}

impl Intent {
    /// Makes the promise; nothing is written yet.
    pub fn new(guard: &Guard, folders: Folders, contents: Contents, moves: Moves) -> Self {
        let list = |paths: Vec<PathBuf>| paths.into_iter().map(RelPath::from).collect();
        Self {
            format: FORMAT,
            guard: guard.name.clone(),
            at: Timestamp::now(),
            data: folders.data.into(),
            staging: folders.staging.into(),
            spent: folders.spent.into(),
            aside: folders.aside.into(),
            contents,
            out: list(moves.out),
            r#in: list(moves.r#in),
            databases: list(moves.databases),
        }
    }

    /// Returns where a guard's intent is kept.
    pub fn file(vault: &Vault, guard: &Guard) -> PathBuf {
        vault.guard_folder(&guard.name).join("restore.intent")
    }

    /// Reads a guard's intent, if there is one.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if it is there and cannot be understood.
    pub fn read(vault: &Vault, guard: &Guard) -> Result<Option<Self>> {
        let file = Self::file(vault, guard);
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).doing("read", &file),
        };
        let unusable = |why: String| Error::CouldNot {
            what: format!("`{}`, an unfinished restore, {why}", file.display()),
            hint: Some("use the version of aidb that began it, or a newer one".into()),
        };
        let intent: Self = serde_json::from_slice(&bytes)
            .map_err(|e| unusable(format!("cannot be understood: {e}")))?;
        if intent.format > FORMAT {
            let format = intent.format;
            return Err(unusable(format!(
                "has format {format}, this program knows up to {FORMAT}"
            )));
        }
        let mut paths = intent
            .out
            .iter()
            .chain(&intent.r#in)
            .chain(&intent.databases);
        if !paths.all(RelPath::stays_below) {
            return Err(unusable("names a path that is not below its folder".into()));
        }
        Ok(Some(intent))
    }

    /// Returns the data folder that it speaks of.
    pub fn data(&self) -> &Path {
        self.data.as_path()
    }

    /// Returns the put-aside that it makes.
    pub fn aside(&self) -> &Path {
        self.aside.as_path()
    }

    /// Writes it down and fulfils it. If a step fails, everything is moved back and the intent withdrawn; if even
    /// that fails, the intent stays for [`super::finish`].
    pub fn carry_through(&self, vault: &Vault, guard: &Guard) -> Result<()> {
        let file = Self::file(vault, guard);
        crate::folder::make(&vault.guard_folder(&guard.name))?;
        self.check_movable()?;
        if let Err(error) = write_json(&file, self) {
            // It may stand all the same, and nothing has moved yet.
            let _ = remove_file(&file);
            return Err(error);
        }
        if let Err(error) = self.move_all() {
            self.move_back()?;
            self.withdraw(&file)?;
            return Err(error);
        }
        self.conclude(&file)
    }

    /// Fulfils an intent that was found.
    pub fn resume(&self, vault: &Vault, guard: &Guard) -> Result<()> {
        self.move_all()?;
        self.conclude(&Self::file(vault, guard))
    }

    /// Refuses before anything moves what the system would refuse half-way: a folder of somebody else's.
    fn check_movable(&self) -> Result<()> {
        let data = Root::open(self.data())?;
        for path in paths(&self.out) {
            let Some(stat) = data.stat(path).doing("look at", path)? else {
                continue;
            };
            let foreign = FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                && stat.st_uid != rustix::process::geteuid().as_raw()
                && rustix::fs::access(self.data().join(path), rustix::fs::Access::WRITE_OK)
                    .is_err();
            if foreign {
                return Err(Error::CouldNot {
                    what: format!(
                        "the folder `{}` belongs to user {} and cannot be moved",
                        self.data().join(path).display(),
                        stat.st_uid
                    ),
                    hint: Some("run the same command inside `podman unshare`".into()),
                });
            }
        }
        Ok(())
    }

    fn move_all(&self) -> Result<()> {
        let aside = self.aside.as_path();
        let staged = self.staged()?;
        // It is only cleared when all is done: else this is not the disk on which it began.
        if staged.is_none() && !put_aside::is_described(aside) {
            return Err(Error::CouldNot {
                what: format!(
                    "an unfinished restore needs `{}`, which is not there",
                    self.staging.as_path().display()
                ),
                hint: Some(format!(
                    "mount the disk that holds `{}`, then try again",
                    self.data().display()
                )),
            });
        }
        for folder in [aside.to_owned(), aside.join(CONTENT)] {
            match make_folder(rustix::fs::CWD, &folder) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e).doing("make the folder", &folder),
            }
        }
        let data = Root::open(self.data())?;
        let old = Root::open(&aside.join(CONTENT))?;
        for path in paths(&self.out) {
            if !exists(&old, path)? && exists(&data, path)? {
                shift(&data, &old, path)?;
            }
        }
        if let Some(new) = staged {
            self.clear_the_way(&data, &new)?;
            for path in paths(&self.r#in) {
                if exists(&new, path)? {
                    shift(&new, &data, path)?;
                }
            }
        }
        sync_filesystem(self.data())?;
        write_json(&aside.join(put_aside::DESCRIPTION), &self.contents)?;
        sync_folder(aside.parent().unwrap_or(aside))
    }

    /// Opens the staging folder; `None` if it was already cleared, after everything had moved in.
    fn staged(&self) -> Result<Option<Root>> {
        match Root::open(self.staging.as_path()) {
            Ok(root) => Ok(Some(root)),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Moves aside what stands where a new entry belongs although the old one has gone: an application was started in
    /// between. A `-wal` of that kind beside the new database would damage it.
    fn clear_the_way(&self, data: &Root, new: &Root) -> Result<()> {
        let companions = paths(&self.databases)
            .filter(|main| exists(new, main).unwrap_or(false))
            .flat_map(|main| SIDECARS.map(|suffix| sidecar(main, suffix)))
            // What is not staged any more and belongs in is what has moved in already.
            .filter(|path| !paths(&self.r#in).any(|new| new == path));
        let entries = paths(&self.r#in).map(Path::to_owned);
        let mut late = None;
        for path in entries
            .filter(|path| exists(new, path).unwrap_or(false))
            .chain(companions)
        {
            if !exists(data, &path)? {
                continue;
            }
            if late.is_none() {
                late = Some(self.late_folder()?);
            }
            if let Some(late) = &late {
                shift(data, late, &path)?;
            }
        }
        Ok(())
    }

    /// Makes the next of the folders `late-1`, `late-2`, … of the put-aside.
    fn late_folder(&self) -> Result<Root> {
        let mut number = 1;
        loop {
            let folder = self.aside().join(format!("{LATE}-{number}"));
            match make_folder(rustix::fs::CWD, &folder) {
                Ok(()) => return Root::open(&folder),
                Err(Errno::EXIST) => number += 1,
                Err(e) => return Err(e).doing("make the folder", &folder),
            }
        }
    }

    /// Undoes [`Self::move_all`] of this process, in reverse.
    fn move_back(&self) -> Result<()> {
        let data = Root::open(self.data())?;
        if let Some(new) = self.staged()? {
            for path in paths(&self.r#in).rev() {
                if !exists(&new, path)? && exists(&data, path)? {
                    shift(&data, &new, path)?;
                }
            }
        }
        let content = self.aside().join(CONTENT);
        match Root::open(&content) {
            Ok(old) => {
                for path in paths(&self.out).rev() {
                    if exists(&old, path)? && !exists(&data, path)? {
                        shift(&old, &data, path)?;
                    }
                }
            }
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        sync_filesystem(self.data())
    }

    fn withdraw(&self, file: &Path) -> Result<()> {
        remove_file(file).doing("remove", file)?;
        sync_folder(file.parent().unwrap_or(file))?;
        put_aside::remove_if_empty(self.aside())
    }

    /// Clears what is spent and takes the intent away.
    fn conclude(&self, file: &Path) -> Result<()> {
        put_aside::remove_if_empty(self.spent.as_path())?;
        match remove_file(file) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e).doing("remove", file),
        }
        sync_folder(file.parent().unwrap_or(file))
    }
}

fn paths(list: &[RelPath]) -> impl DoubleEndedIterator<Item = &Path> {
    list.iter().map(RelPath::as_path)
}

fn exists(root: &Root, path: &Path) -> Result<bool> {
    let stat = root.stat(path).doing("look at", &root.path().join(path))?;
    Ok(stat.is_some())
}

/// Moves an entry to the same path below another root, whose folders are made like those it comes from.
fn shift(from: &Root, to: &Root, path: &Path) -> Result<()> {
    let full = from.path().join(path);
    make_parents(from, to, path).doing("make the folder for", &full)?;
    let moved = || -> Result<(), Errno> {
        let (old_parent, old_name) = parent_in(from, path)?;
        let (new_parent, new_name) = parent_in(to, path)?;
        let go = || {
            rename(
                (old_parent.as_fd(), old_name),
                (new_parent.as_fd(), new_name),
            )
        };
        match go() {
            // A folder that may not be written cannot change its parent: lift that for the moment.
            Err(Errno::ACCESS) => {
                let folder = from.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
                let mode = Mode::from_raw_mode(fstat(&folder)?.st_mode & 0o7777);
                fchmod(&folder, mode | Mode::WUSR)?;
                let went = go();
                fchmod(&folder, mode)?;
                went
            }
            other => other,
        }
    };
    moved().doing("move", &full)
}

fn make_parents(from: &Root, to: &Root, path: &Path) -> Result<(), Errno> {
    let parents: Vec<&Path> = path.ancestors().skip(1).collect();
    for parent in parents.into_iter().rev() {
        if parent.as_os_str().is_empty() || to.stat(parent)?.is_some() {
            continue;
        }
        let (folder, name) = parent_in(to, parent)?;
        make_folder(&folder, name)?;
        let like = from.open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let made = to.open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Attributes::of_file(&like)?.apply(&made, parent, &mut Notes::default())?;
    }
    Ok(())
}
