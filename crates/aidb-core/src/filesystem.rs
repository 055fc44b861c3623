//! Which filesystems keep no promise that snapshots rest on.

use std::path::Path;

use rustix::fs::statfs;

/// Filesystems whose other side is another machine or another program, by the number that the kernel gives them
/// (`linux/magic.h`). Locks may be seen there by nobody else, and what was synced may be nowhere.
const REMOTE: [(i64, &str); 7] = [
    (0x6969, "NFS"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9p"),
    (0xFF53_4D42, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
];

/// Returns what the filesystem of `path` is called, if it is one of those.
#[must_use]
pub fn remote(path: &Path) -> Option<&'static str> {
    name(statfs(path).ok()?.f_type)
}

fn name(number: i64) -> Option<&'static str> {
    REMOTE
        .iter()
        .find(|(n, _)| *n == number)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_filesystem_is_none_of_them_and_the_kernels_numbers_are_known() {
        assert_eq!(remote(&std::env::temp_dir()), None);
        assert_eq!(remote(Path::new("/proc")), None);
        for (number, expected) in [(0x6969, Some("NFS")), (0xEF53, None)] {
            assert_eq!(name(number), expected);
        }
    }
}
