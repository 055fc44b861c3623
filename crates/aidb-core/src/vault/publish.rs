//! Making things durable and visible, in the order that survives a power cut.
//!
//! Every new file is on disk before its folder is, and a folder is whole before its final name exists. Without that
//! order a power cut leaves a visible snapshot whose files have 0 bytes (seen on ext4 and XFS).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, RenameFlags, renameat, renameat_with, statat};
use rustix::io::Errno;

use crate::error::{Error, IoContext, Result};
use crate::step::step;

/// Writes a small file of ours alone so that after a power cut there is the old content or the new, whole.
pub fn write_durably(path: &Path, content: &[u8]) -> Result<()> {
    write_with_mode(path, content, 0o600)
}

/// Writes a small file for others to read, whole or not at all: with the mode that the user's mask leaves, and durably.
///
/// # Errors
/// [`Error::Io`] if the folder does not exist or cannot be written to.
pub fn write_for_others(path: &Path, content: &[u8]) -> Result<()> {
    write_with_mode(path, content, 0o666)
}

fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    step("write").doing("write", path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(folder)
        .doing("make a file in", folder)?;
    file.write_all(content).doing("write", path)?;
    file.as_file().sync_all().doing("sync", path)?;
    file.persist(path)
        .map_err(|e| e.error)
        .doing("rename to", path)?;
    sync_folder(folder)
}

/// Writes a value as JSON for people to read, durably.
pub fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    write_durably(path, &pretty(path, value)?)
}

/// Writes a file into a folder that is staged: [`publish`] syncs it with all that lies there, before the folder gets its
/// name.
pub fn stage(path: &Path, content: &[u8]) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    step("write").doing("write", path)?;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .doing("write", path)
}

fn pretty<T: serde::Serialize>(path: &Path, value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(std::io::Error::other)
        .doing("render", path)?;
    text.push(b'\n');
    Ok(text)
}

/// Syncs a folder: names that were made, renamed or removed in it survive a power cut.
pub fn sync_folder(folder: &Path) -> Result<()> {
    step("sync folder").doing("sync the folder", folder)?;
    File::open(folder)
        .and_then(|f| f.sync_all())
        .doing("sync the folder", folder)
}

/// Syncs every file and folder below and including `root`, children first.
pub fn sync_tree(root: &Path) -> Result<()> {
    for entry in std::fs::read_dir(root).doing("list", root)? {
        let entry = entry.doing("list", root)?;
        let kind = entry.file_type().doing("look at", &entry.path())?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            step("sync").doing("sync", &entry.path())?;
            File::open(entry.path())
                .and_then(|f| f.sync_all())
                .doing("sync", &entry.path())?;
        }
    }
    sync_folder(root)
}

/// So many files are synced one by one; more of them by one `syncfs`, which also waits for what others wrote.
const FEW_FILES: usize = 16;

/// Among so many entries the few new ones are not looked for: a link to a file of an earlier snapshot is synced with
/// the rest, and 100,000 of them take a second.
const FEW_ENTRIES: usize = 500;

/// How much is staged.
#[derive(Debug, Clone, Copy)]
pub struct Staged {
    /// Files that no earlier snapshot holds.
    pub new_files: usize,
    /// Files and folders, new or not.
    pub entries: usize,
}

impl Staged {
    /// Returns the measure of a folder that holds nothing but so many new files.
    #[must_use]
    pub fn new(new_files: usize) -> Self {
        Self {
            new_files,
            entries: new_files,
        }
    }
}

/// Returns whether a path lies on Btrfs.
pub(crate) fn is_btrfs(path: &Path) -> bool {
    const MAGIC: i64 = 0x9123_683E;
    rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == MAGIC)
}

/// Syncs all that was staged. Names and folders are on disk with it.
fn sync_staged(staged: &Path, size: Staged) -> Result<()> {
    // Each sync of a file writes a log of its own on Btrfs: four of them take 27 ms, and one `syncfs` 8.
    if size.new_files <= FEW_FILES && size.entries <= FEW_ENTRIES && !is_btrfs(staged) {
        return sync_tree(staged);
    }
    step("sync filesystem").doing("sync the filesystem of", staged)?;
    let folder = File::open(staged).doing("open the folder", staged)?;
    rustix::fs::syncfs(&folder).doing("sync the filesystem of", staged)
}

/// Renames to a name that must be free.
///
/// # Errors
/// `EXIST` if it is not.
pub(crate) fn rename_to_free_name(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
) -> std::result::Result<(), Errno> {
    match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
        // A filesystem without that flag (NFS): the guard's lock keeps our own kind away, and nobody else uses the folder.
        Err(Errno::INVAL | Errno::NOSYS) => match statat(to.0, to.1, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => renameat(from.0, from.1, to.0, to.1),
            Ok(_) => Err(Errno::EXIST),
            Err(e) => Err(e),
        },
        other => other,
    }
}

/// Gives a staged folder its final name, once everything in it was synced.
///
/// # Errors
/// [`Error::CouldNot`] if the name is taken.
pub fn publish(staged: &Path, target: &Path, size: Staged) -> Result<()> {
    sync_staged(staged, size)?;
    step("rename").doing("publish as", target)?;
    match rename_to_free_name((CWD, staged.as_os_str()), (CWD, target.as_os_str())) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            return Err(Error::CouldNot {
                what: format!("`{}` exists already", target.display()),
                hint: None,
            });
        }
        Err(e) => return Err(e).doing("publish as", target),
    }
    for path in [target.parent(), staged.parent()].into_iter().flatten() {
        sync_folder(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (staged, target) = (folder.path().join("staged"), folder.path().join("target"));
        std::fs::create_dir(&staged).unwrap();
        std::fs::create_dir(&target).unwrap();
        assert!(matches!(
            publish(&staged, &target, Staged::new(1)),
            Err(Error::CouldNot { .. })
        ));
        assert!(staged.exists());
        std::fs::remove_dir(&target).unwrap();
        publish(&staged, &target, Staged::new(100)).unwrap();
        assert!(target.exists() && !staged.exists());
    }
}
