//! The data folder as the filesystem has it: where it really lies, and in which way it can be replaced.

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::aside_name::Name;
use crate::error::{Error, IoContext, Result};
use crate::mounts;

/// In which way the present state is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// There is no data folder: the restored one gets its name.
    Rename,
    /// The restored folder and the present one change places, at one instant.
    Exchange,
    /// Old entries move out and new ones in, one after the other, under a written intent.
    EntryByEntry,
}

/// A data folder, present or not, at its real path.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Without links.
    pub data: PathBuf,
    /// Its folder, which may be absent if the data is.
    pub parent: PathBuf,
    /// Its last part.
    pub name: OsString,
    /// Whether it exists.
    pub present: bool,
}

impl Place {
    /// Finds the data folder. A link to a folder stands for that folder.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if something other than a folder stands there, or a link leads nowhere.
    pub fn of(data: &Path) -> Result<Self> {
        let refuse = |what: &str, hint: Option<&str>| {
            Err(Error::CouldNot {
                what: format!("`{}` {what}", data.display()),
                hint: hint.map(str::to_owned),
            })
        };
        let (real, present) = match std::fs::symlink_metadata(data) {
            Ok(at) if at.is_dir() => (data.canonicalize().doing("resolve", data)?, true),
            Ok(at) if at.is_symlink() => match data.canonicalize() {
                Ok(target) if target.is_dir() => (target, true),
                Ok(_) => return refuse("is a link to something that is no folder", None),
                Err(e) if e.kind() == ErrorKind::NotFound => {
                    return refuse(
                        "is a link that leads nowhere",
                        Some("mount what it points to, or remove the link"),
                    );
                }
                Err(e) => return Err(e).doing("resolve", data),
            },
            Ok(_) => {
                return refuse(
                    "is no folder",
                    Some("move it away, then restore again: the folder will be made"),
                );
            }
            Err(e) if e.kind() == ErrorKind::NotFound => (resolve_absent(data)?, false),
            Err(e) => return Err(e).doing("look at", data),
        };
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return refuse("cannot be replaced: it has no parent folder", None);
        };
        Ok(Self {
            parent: parent.to_owned(),
            name: name.to_owned(),
            present,
            data: real,
        })
    }

    /// Returns a place at which nothing was looked for.
    pub fn absent(data: &Path) -> Self {
        Self {
            data: data.canonicalize().unwrap_or_else(|_| data.to_owned()),
            parent: PathBuf::new(),
            name: OsString::new(),
            present: false,
        }
    }

    /// Returns the path that `name` has beside the data folder.
    pub fn beside(&self, name: &Name) -> PathBuf {
        self.parent.join(name.beside(&self.name))
    }

    /// Returns the path that `name` has inside the data folder.
    pub fn inside(&self, name: &Name) -> PathBuf {
        self.data.join(name.inside())
    }

    /// Returns the way that should work, as far as it can be told without trying.
    pub fn method(&self) -> Method {
        if !self.present {
            return Method::Rename;
        }
        let on_its_own = mounts::of_process("self").is_ok_and(|mounts| {
            mounts::of_path(&mounts, &self.data).is_some_and(|m| m.point == self.data)
        });
        if on_its_own || !self.parent_is_writable() {
            Method::EntryByEntry
        } else {
            Method::Exchange
        }
    }

    /// Returns whether entries can be renamed between the data folder and folders beside it.
    pub fn moves_beside(&self) -> bool {
        let device = |path: &Path| std::fs::metadata(path).map(|m| m.dev()).ok();
        let same_mount = mounts::of_process("self").is_ok_and(|mounts| {
            let id = |path| mounts::of_path(&mounts, path).map(|m| m.id);
            id(&self.data) == id(&self.parent)
        });
        same_mount && device(&self.data) == device(&self.parent) && self.parent_is_writable()
    }

    /// Refuses if anything is mounted below the data folder: it would move along with the old one.
    pub fn nothing_mounted_below(&self) -> Result<()> {
        let mounts = mounts::of_process("self").unwrap_or_default();
        let below = mounts
            .iter()
            .find(|m| m.point != self.data && m.point.starts_with(&self.data));
        match below {
            None => Ok(()),
            Some(mount) => Err(Error::CouldNot {
                what: format!(
                    "`{}` is mounted inside the data folder",
                    mount.point.display()
                ),
                hint: Some(format!(
                    "unmount it first: umount {}",
                    mount.point.display()
                )),
            }),
        }
    }

    /// Makes the folder that the data folder is to stand in.
    pub fn make_parent(&self) -> Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.parent)
            .doing("make the folder", &self.parent)
    }

    /// Returns the names of ours beside the data folder, with their paths.
    pub fn names_beside(&self) -> Result<Vec<(Name, PathBuf)>> {
        names_in(&self.parent, |name| Name::parse_beside(name, &self.name))
    }

    /// Returns the names of ours inside the data folder, with their paths.
    pub fn names_inside(&self) -> Result<Vec<(Name, PathBuf)>> {
        names_in(&self.data, Name::parse_inside)
    }

    fn parent_is_writable(&self) -> bool {
        access(&self.parent, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }
}

/// Returns the folders in `folder` whose names `parse` knows; none if it does not exist.
fn names_in(folder: &Path, parse: impl Fn(&OsStr) -> Option<Name>) -> Result<Vec<(Name, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        // A parent that may be passed but not listed holds nothing that we made.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => return Ok(Vec::new()),
        Err(e) => return Err(e).doing("list", folder),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.doing("list", folder)?;
        let Some(name) = parse(&entry.file_name()) else {
            continue;
        };
        if entry.file_type().doing("look at", &entry.path())?.is_dir() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

/// Resolves the part of an absent path that exists.
fn resolve_absent(path: &Path) -> Result<PathBuf> {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        match at.canonicalize() {
            Ok(real) => return Ok(rest.iter().rev().fold(real, |p, part| p.join(part))),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e).doing("resolve", at),
        }
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return Err(Error::CouldNot {
                what: format!("`{}` is no absolute path to a folder", path.display()),
                hint: None,
            });
        };
        rest.push(name);
        at = parent;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_stands_for_its_folder_and_what_is_no_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        std::fs::create_dir(at.join("real")).unwrap();
        std::fs::write(at.join("file"), "x").unwrap();
        symlink("real", at.join("link")).unwrap();
        symlink("gone", at.join("broken")).unwrap();
        let place = Place::of(&at.join("link")).unwrap();
        assert_eq!(place.data, at.join("real"));
        assert_eq!(place.method(), Method::Exchange);
        let absent = Place::of(&at.join("a/b")).unwrap();
        assert_eq!((absent.parent, absent.present), (at.join("a"), false));
        for bad in ["file", "broken"] {
            let error = Place::of(&at.join(bad)).unwrap_err();
            assert!(matches!(error, Error::CouldNot { .. }), "{error:?}");
        }
        assert!(Place::of(Path::new("/")).is_err());
    }
}
