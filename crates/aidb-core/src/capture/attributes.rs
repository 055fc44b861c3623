//! What a file shows beside its content, as a manifest has it.

use std::os::fd::AsFd;

use rustix::fs::{Stat, fgetxattr, flistxattr};
use rustix::io::Errno;

use crate::hex::to_hex;
use crate::manifest::Xattr;

/// Returns the attributes that belong to the data: the user's own, and access lists.
pub fn xattrs(fd: impl AsFd) -> Vec<Xattr> {
    // Most files have none, or few with short names.
    let mut names = vec![0; 256];
    let mut length = flistxattr(&fd, &mut names);
    if length == Err(Errno::RANGE) {
        names.resize(64 * 1024, 0);
        length = flistxattr(&fd, &mut names);
    }
    let Ok(length) = length else {
        return Vec::new();
    };
    let names = names[..length]
        .split(|b| *b == 0)
        .filter_map(|n| std::str::from_utf8(n).ok());
    let mut found = Vec::new();
    for name in names.filter(|n| n.starts_with("user.") || n.starts_with("system.posix_acl_")) {
        let mut value = vec![0; 64 * 1024];
        if let Ok(length) = fgetxattr(&fd, name, &mut value) {
            found.push(Xattr {
                name: name.to_owned(),
                value_hex: to_hex(&value[..length]),
            });
        }
    }
    found
}

/// Returns a file's modification time, nanoseconds since 1970.
#[must_use]
pub fn mtime_ns(stat: &Stat) -> i64 {
    nanoseconds(stat.st_mtime, stat.st_mtime_nsec)
}

/// Returns a file's change time, nanoseconds since 1970.
#[must_use]
pub fn ctime_ns(stat: &Stat) -> i64 {
    nanoseconds(stat.st_ctime, stat.st_ctime_nsec)
}

/// Returns a file's length.
#[must_use]
pub fn size_bytes(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "nanoseconds of a second are below 10^9"
)]
fn nanoseconds(seconds: i64, nanoseconds: u64) -> i64 {
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds as i64)
}
