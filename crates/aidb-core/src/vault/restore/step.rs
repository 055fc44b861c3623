//! The changes to a filesystem that a restore makes, one function each, so that tests can let any one of them fail.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, RenameFlags, mkdirat, renameat_with};
use rustix::io::Errno;

use crate::error::{IoContext, Result};
#[cfg(test)]
pub(super) use crate::step::faults;
pub(super) use crate::step::step;
use crate::vault::publish;

/// Makes a folder for us alone.
pub(super) fn make_folder(parent: impl AsFd, name: impl rustix::path::Arg) -> Result<(), Errno> {
    step("make folder")?;
    mkdirat(parent, name, Mode::RWXU)
}

/// Renames to a name that must be free.
pub(super) fn rename(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
) -> std::result::Result<(), Errno> {
    step("rename")?;
    publish::rename_to_free_name(from, to)
}

/// Renames by path to a name that must be free.
pub(super) fn rename_path(from: &Path, to: &Path) -> Result<(), Errno> {
    rename((CWD, from.as_os_str()), (CWD, to.as_os_str()))
}

/// Lets two names change places, at one instant.
pub(super) fn exchange(a: &Path, b: &Path) -> Result<(), Errno> {
    step("exchange")?;
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)
}

/// Writes a small JSON file durably.
pub(super) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    step("write").doing("write", path)?;
    publish::write_json(path, value)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    step("sync folder").doing("sync the folder", folder)?;
    publish::sync_folder(folder)
}

/// Makes all that was written to a folder's filesystem durable.
pub(super) fn sync_filesystem(folder: &Path) -> Result<()> {
    step("sync filesystem").doing("sync the filesystem of", folder)?;
    std::fs::File::open(folder)
        .and_then(|f| Ok(rustix::fs::syncfs(f)?))
        .doing("sync the filesystem of", folder)
}

/// Removes one file of ours.
pub(super) fn remove_file(path: &Path) -> Result<(), Errno> {
    step("remove file")?;
    rustix::fs::unlink(path)
}

/// Removes an empty folder.
pub(super) fn remove_folder(path: &Path) -> Result<(), Errno> {
    step("remove folder")?;
    rustix::fs::rmdir(path)
}

/// Removes a half-made tree of ours.
pub(super) fn remove_staging(path: &Path) -> Result<()> {
    step("remove staging").doing("clear", path)?;
    match crate::folder::remove_tree(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.doing("clear", path),
    }
}
