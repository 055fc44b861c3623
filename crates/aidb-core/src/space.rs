//! How much of a disk is free for copies: never all of it, because applications write there too.

use std::path::Path;

use rustix::fs::StatVfs;

use crate::error::{Error, Result};
use crate::mounts;

/// What stays free: this part of the disk,
const FLOOR_PART: u64 = 20;
/// and so much, bytes,
const FLOOR_BYTES: u64 = 1 << 30;
/// but of a small disk no more than this part.
const FLOOR_MOST_PART: u64 = 10;

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

/// Returns how many bytes of a filesystem are to stay free.
#[must_use]
pub fn floor_bytes(stat: &StatVfs) -> u64 {
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    (total / FLOOR_PART).max(FLOOR_BYTES.min(total / FLOOR_MOST_PART))
}

/// Returns how many bytes may be written until the floor is reached.
#[must_use]
pub fn above_floor(stat: &StatVfs) -> u64 {
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    free.saturating_sub(floor_bytes(stat))
}

/// Refuses if `need` bytes do not fit where `folder` lies, with the floor kept.
///
/// # Errors
/// [`Error::CouldNot`], with what is needed and what was found.
pub fn make_sure_of_room(folder: &Path, need: u64, what: &str, hint: &str) -> Result<()> {
    let Ok(stat) = rustix::fs::statvfs(folder) else {
        // What cannot be asked shows itself when it is written to.
        return Ok(());
    };
    let room = above_floor(&stat);
    if need <= room {
        return Ok(());
    }
    Err(Error::CouldNot {
        what: format!(
            "need {} MiB for {what} in `{}`, found {} MiB beside the {} MiB that stay free",
            need.div_ceil(1 << 20),
            folder.display(),
            room >> 20,
            floor_bytes(&stat) >> 20
        ),
        hint: Some(hint.to_owned()),
    })
}

/// Returns whether an error says that a disk, or somebody's share of it, is full.
#[must_use]
pub fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, Error::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}

/// Says how much is free where a write failed for lack of space.
pub(crate) fn tell_full_disk(error: Error, path: &Path) -> Error {
    if !is_full(&error) {
        return error;
    }
    let folder = path.parent().unwrap_or(path);
    let room = found_free(folder);
    Error::CouldNot {
        what: format!(
            "the disk of `{}` has no room left{room}; nothing was written, and nothing was lost",
            folder.display()
        ),
        hint: Some("free some space, or name another disk".into()),
    }
}

/// Returns the words for how much is free where `path` lies.
pub(crate) fn found_free(path: &Path) -> String {
    space(path).map_or_else(String::new, |space| {
        format!(", found {} MiB free", space.free_bytes >> 20)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_stays_free_or_a_gigabyte_but_never_more_than_a_tenth() {
        let mut stat = rustix::fs::statvfs("/").unwrap();
        stat.f_frsize = 1 << 20;
        for (total_mib, floor_mib) in [(100 << 10, 5 << 10), (12 << 10, 1 << 10), (100, 10)] {
            stat.f_blocks = total_mib;
            stat.f_bavail = floor_mib + 3;
            assert_eq!(floor_bytes(&stat), floor_mib << 20);
            assert_eq!(above_floor(&stat), 3 << 20);
            stat.f_bavail = 1;
            assert_eq!(above_floor(&stat), 0);
        }
    }

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
