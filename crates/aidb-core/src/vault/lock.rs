//! Locks of the vault: `flock` on a file of ours, never a pid file. The kernel lets go when the process ends, however it ends.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::layout::Vault;
use crate::error::{Error, IoContext, Result};
use crate::step::step;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// For whom else there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Others may read too.
    Shared,
    /// Nobody else.
    Exclusive,
}

impl Lock {
    /// Takes a guard's lock, waiting up to `patience`.
    ///
    /// # Errors
    /// [`Error::Busy`] if it was held for all that time.
    pub fn guard(vault: &Vault, guard: &str, mode: Mode, patience: Duration) -> Result<Self> {
        let folder = vault.guard_folder(guard);
        Vault::make_folder(&folder)?;
        Self::on(
            &folder.join(".lock"),
            mode,
            patience,
            &format!("guard `{guard}`"),
        )
    }

    /// Takes the lock on one snapshot: shared by whoever reads it for longer than a guard may be held, exclusive to
    /// remove it. It does not wait.
    ///
    /// # Errors
    /// [`Error::Busy`] if it is held; [`Error::Io`] if the snapshot is gone.
    pub fn snapshot(path: &Path, mode: Mode) -> Result<Self> {
        let folder = File::open(path).doing("open", path)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&folder, operation) {
            Ok(()) => Ok(Self { _file: folder }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy {
                what: format!("`{}`", path.display()),
                waited: Duration::ZERO,
            }),
            Err(e) => Err(e).doing("lock", path),
        }
    }

    /// Takes the lock on a file, made if it is absent. On a read-only mount one that is there can be held as well.
    pub(crate) fn on(path: &Path, mode: Mode, patience: Duration, what: &str) -> Result<Self> {
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .or_else(|e| match e.kind() {
                ErrorKind::ReadOnlyFilesystem => File::open(path).map_err(|_| e),
                _ => Err(e),
            })
            .doing("open the lock", path)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let began = Instant::now();
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).doing("lock", path),
            }
            let waited = began.elapsed();
            if waited >= patience {
                return Err(Error::Busy {
                    what: what.to_owned(),
                    waited,
                });
            }
            std::thread::sleep(Duration::from_millis(20).min(patience.saturating_sub(waited)));
        }
    }
}

/// A folder of half-made things, ours until dropped, then removed. The next run clears what a killed one left.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    _lock: Lock,
}

impl Staging {
    /// Makes a staging folder in `.staging`, after clearing those that no lock holds.
    pub fn new(vault: &Vault, purpose: &str) -> Result<Self> {
        let root = vault.staging_folder();
        Vault::make_folder(&root)?;
        // Whoever makes or clears folders here does it under this lock, so that a folder is never seen without its own.
        let _gate = Lock::on(
            &root.join(".lock"),
            Mode::Exclusive,
            Duration::from_secs(5),
            "the vault's staging folder",
        )?;
        clear_abandoned(&root)?;
        let mut number = 0;
        let path = loop {
            let path = root.join(format!("{purpose}-{}-{number}", std::process::id()));
            step("make folder").doing("make the folder", &path)?;
            match rustix::fs::mkdir(&path, rustix::fs::Mode::RWXU) {
                Ok(()) => break path,
                Err(rustix::io::Errno::EXIST) => number += 1,
                Err(e) => return Err(e).doing("make the folder", &path),
            }
        };
        let lock = Lock::on(
            &path.join(".lock"),
            Mode::Exclusive,
            Duration::ZERO,
            "a new staging folder",
        )?;
        Ok(Self { path, _lock: lock })
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Failing here loses nothing: the next run clears it.
        let _ = remove_tree(&self.path);
    }
}

/// Removes the staging folders whose maker is gone.
fn clear_abandoned(root: &Path) -> Result<()> {
    for entry in std::fs::read_dir(root).doing("list", root)? {
        let path = entry.doing("list", root)?.path();
        if path.is_dir()
            && Lock::on(
                &path.join(".lock"),
                Mode::Exclusive,
                Duration::ZERO,
                "staging",
            )
            .is_ok()
        {
            remove_tree(&path).doing("clear", &path)?;
        }
    }
    Ok(())
}

/// Removes a tree of ours, in which folders may be read-only. What is gone already is removed: the maker of a staging
/// folder and whoever clears up may be at it at once.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    step("remove")?;
    match remove_all(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn remove_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return std::fs::remove_file(path);
    }
    if metadata.permissions().mode() & 0o700 != 0o700 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    for entry in std::fs::read_dir(path)? {
        remove_tree(&entry?.path())?;
    }
    std::fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_that_it_is_busy_and_comes_in_when_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        let first = Lock::guard(&vault, "webui", Mode::Exclusive, Duration::ZERO).unwrap();
        let second = Lock::guard(&vault, "webui", Mode::Shared, Duration::from_millis(1));
        assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
        drop(first);
        let readers: Vec<_> = (0..2)
            .map(|_| Lock::guard(&vault, "webui", Mode::Shared, Duration::ZERO).unwrap())
            .collect();
        assert_eq!(readers.len(), 2);
    }

    #[test]
    fn what_is_gone_already_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        remove_tree(&folder.path().join("gone")).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_cleared_and_what_a_living_one_holds_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        let living = Staging::new(&vault, "take").unwrap();
        std::fs::write(living.path().join("half"), "x").unwrap();
        let dead = vault.staging_folder().join("take-1-0");
        std::fs::create_dir_all(dead.join("data")).unwrap();
        std::fs::write(dead.join("data/half"), "x").unwrap();
        let next = Staging::new(&vault, "take").unwrap();
        assert!(living.path().join("half").exists());
        assert!(!dead.exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
