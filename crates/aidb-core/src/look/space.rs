//! How much room there is, and whether two folders lie on one disk.

use std::path::Path;

use crate::vault::restore::mounts;
use crate::vault::space::floor_bytes;

/// The room on a filesystem, as an ordinary user has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What she may still write, bytes.
    pub free_bytes: u64,
    /// What there is in all, bytes.
    pub total_bytes: u64,
    /// What is to stay free, bytes.
    pub floor_bytes: u64,
}

/// Returns the room where `path`, or the closest folder above it that exists, lies.
#[must_use]
pub fn space(path: &Path) -> Option<Space> {
    let stat = path.ancestors().find_map(|p| rustix::fs::statvfs(p).ok())?;
    Some(Space {
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        floor_bytes: floor_bytes(&stat),
    })
}

/// Returns whether two paths lie on one filesystem; `None` if it cannot be told. Subvolumes of Btrfs have numbers of their
/// own in `st_dev` and in `f_fsid`, but not in `mountinfo`.
#[must_use]
pub fn is_same_filesystem(a: &Path, b: &Path) -> Option<bool> {
    let mounts = mounts::of_process("self").ok()?;
    let device = |path: &Path| {
        let path = path.ancestors().find_map(|p| p.canonicalize().ok())?;
        mounts::of_path(&mounts, &path).map(|m| m.device.clone())
    };
    Some(device(a)? == device(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_one_that_does_not_exist_yet_below_it_are_on_one_filesystem() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("not/yet");
        assert_eq!(is_same_filesystem(folder.path(), &below), Some(true));
        assert_eq!(
            is_same_filesystem(folder.path(), Path::new("/proc/self")),
            Some(false)
        );
        let room = space(&below).unwrap();
        assert!(
            room.free_bytes <= room.total_bytes && room.total_bytes > 0,
            "{room:?}"
        );
    }
}
