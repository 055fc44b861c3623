//! Btrfs subvolumes: a data folder that is one comes back as one, so that whatever works by subvolume (snapper, btrbk,
//! quotas) goes on covering it.
//!
//! The `btrfs` program makes them, for which no privilege is needed. Without it a plain folder is restored, and said.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;

use super::step::step;
use crate::error::{Error, IoContext, Result};
use crate::program::Program;
use crate::vault::publish::is_btrfs;

/// The inode of every subvolume's own folder, and of no other (`BTRFS_FIRST_FREE_OBJECTID` of the disk format).
const ROOT_INODE: u64 = 256;

/// How long one may take to be made.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns whether a folder is a subvolume.
pub(super) fn is_subvolume(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|m| m.ino() == ROOT_INODE) && is_btrfs(folder)
}

/// Returns what tells a subvolume from all others of its filesystem, also after it was mounted anew: the kernel mixes
/// its number into the filesystem's. Their inodes are all the same.
pub(super) fn id(folder: &Path) -> Result<u64, Errno> {
    Ok(rustix::fs::statvfs(folder)?.f_fsid)
}

/// Makes a subvolume for us alone.
///
/// # Errors
/// [`Error::CouldNot`] with what the program complains about.
pub(super) fn make(path: &Path, btrfs: &Path) -> Result<()> {
    step("make subvolume").doing("make the subvolume", path)?;
    let ran = Program::new(btrfs, PATIENCE)
        .args(["subvolume".as_ref(), "create".as_ref(), path.as_os_str()])
        .run()?;
    if !ran.status.success() {
        return Err(Error::CouldNot {
            what: format!("`{}` says: {}", btrfs.display(), ran.first_complaint()),
            hint: None,
        });
    }
    // It is empty still: nobody has seen anything of it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).doing("protect", path)
}
