//! Half-made archives: written under a name of their own beside the final one, and cleared by a later run when theirs was
//! killed.
//!
//! Whoever writes one holds its `flock`, which the kernel lets go of however the process ends. In a guard's own folder of
//! archives the folder's lock says the same.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use super::format::{NEW, SUFFIX};
use crate::error::{IoContext, Result};
use crate::lock::{Lock, Mode};
use crate::vault::Vault;

/// A file that is being written, removed when dropped unless it was published.
#[derive(Debug)]
pub(super) struct HalfMade {
    path: PathBuf,
    file: File,
}

impl HalfMade {
    /// Makes it, empty and locked, where nothing of that name may be.
    pub fn make(path: &Path) -> Result<Self> {
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(path)
                .doing("make the file", path)?;
            let made = Self {
                path: path.to_owned(),
                file,
            };
            // Where there are no such locks nobody clears up. Where there are, somebody may have in the moment before.
            let _ = flock(&made.file, FlockOperation::LockExclusive);
            if made.file.metadata().doing("look at", path)?.nlink() > 0 {
                return Ok(made);
            }
        }
    }

    /// Returns where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file, to be written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives it its final name, which must be free.
    pub fn publish(mut self, name: &Path) -> Result<(), Errno> {
        renameat_with(CWD, &self.path, CWD, name, RenameFlags::NOREPLACE)?;
        self.path = PathBuf::new();
        Ok(())
    }
}

impl Drop for HalfMade {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // Failing here loses nothing: the next run clears it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the name under which a file of that name is written by this process.
pub(super) fn name_for(name: &str) -> String {
    format!("{NEW}{}-{name}", std::process::id())
}

/// Removes what killed exports left in a folder of somebody's, and returns what it was: files of ours, by name and
/// owner, that nobody holds. What cannot be looked at stays.
pub(super) fn clear_exports(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|e| e.file_name().to_str().is_some_and(is_export));
    ours.map(|e| e.path()).filter(|p| clear(p)).collect()
}

/// Returns whether a name is one that [`name_for`] makes.
fn is_export(name: &str) -> bool {
    let parts = name.strip_prefix(NEW).and_then(|n| n.split_once('-'));
    parts.is_some_and(|(pid, name)| pid.parse::<u32>().is_ok() && name.ends_with(SUFFIX))
}

/// Removes a file that nobody writes; returns whether it did.
fn clear(path: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::options()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path);
    let Ok(file) = file else { return false };
    let is_ours = file.metadata().is_ok_and(|m| {
        m.is_file() && m.nlink() == 1 && m.uid() == rustix::process::geteuid().as_raw()
    });
    is_ours
        && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        && std::fs::remove_file(path).is_ok()
}

/// Removes what killed runs left among a guard's archives, and returns what it was; nothing while one is being made.
///
/// # Errors
/// [`crate::Error::Io`] if the folder cannot be listed or cleared.
pub fn clear_half_made(vault: &Vault, guard: &str) -> Result<Vec<PathBuf>> {
    let folder = vault.archive_folder(guard);
    if half_made(&folder)?.is_empty() {
        return Ok(Vec::new());
    }
    let what = format!("the archive of `{guard}`");
    match Lock::on(
        &folder.join(".lock"),
        Mode::Exclusive,
        Duration::ZERO,
        &what,
    ) {
        Ok(_lock) => clear_in(&folder),
        Err(crate::Error::Busy { .. }) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Removes what killed runs left in a folder of archives, of which the caller holds the lock.
pub(super) fn clear_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let left = half_made(folder)?;
    for path in &left {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).doing("remove", path),
            _ => {}
        }
    }
    Ok(left)
}

fn half_made(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.doing("list", folder)?,
    };
    let mut left = Vec::new();
    for entry in entries {
        let entry = entry.doing("list", folder)?;
        if entry.file_name().to_string_lossy().starts_with(NEW) {
            left.push(entry.path());
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_or_only_looks_like_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let living = HalfMade::make(&at(&name_for("a.tar.xz"))).unwrap();
        let others = [
            ".new-x-a.tar.xz",
            ".new-1-a.txt",
            "a.tar.xz",
            ".new-a.tar.xz",
        ];
        for name in others.iter().chain(&[".new-1-a.tar.xz"]) {
            std::fs::write(at(name), "x").unwrap();
        }
        std::os::unix::fs::symlink("a.tar.xz", at(".new-2-a.tar.xz")).unwrap();
        std::fs::create_dir(at(".new-3-a.tar.xz")).unwrap();
        assert_eq!(clear_exports(folder.path()), [at(".new-1-a.tar.xz")]);
        for name in others {
            assert!(at(name).exists(), "{name}");
        }
        assert!(living.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }
}
