//! What is mounted where, as `/proc/PID/mountinfo` tells it (proc(5)).

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// One mount of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its id within the namespace.
    pub id: u64,
    /// The filesystem: `major:minor`.
    pub device: String,
    /// Which folder of the filesystem is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
}

/// Returns the mounts of a process (`self`, or its number), in the order in which they lie over each other.
pub(crate) fn of_process(process: &str) -> std::io::Result<Vec<Mount>> {
    let text = std::fs::read(format!("/proc/{process}/mountinfo"))?;
    Ok(parse(&text))
}

/// Returns the mount that `path` (without links) lies on.
pub(crate) fn of_path<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    mounts
        .iter()
        .filter(|m| path.starts_with(&m.point))
        // Of equally long ones the last: it lies on top.
        .max_by_key(|m| m.point.components().count())
}

fn parse(text: &[u8]) -> Vec<Mount> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
        let root = unescape(fields.next()?);
        let point = unescape(fields.next()?);
        Some(Mount {
            id,
            device,
            root,
            point,
        })
    };
    text.split(|b| *b == b'\n').filter_map(line).collect()
}

/// Undoes the kernel's `\040` for space, tab, newline and backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let octal = tail.get(..3).and_then(|d| {
            let digits = std::str::from_utf8(d).ok()?;
            u8::from_str_radix(digits, 8).ok()
        });
        if let (b'\\', Some(byte)) = (first, octal) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    OsString::from_vec(bytes).into()
}

/// Returns `path` as the kernel writes it in `/proc/PID/maps`, where only a newline is escaped.
pub(crate) fn as_in_maps(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\n' => bytes.extend_from_slice(b"\\012"),
            other => bytes.push(*other),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes_and_the_topmost_mount_is_found() {
        let mounts = parse(
            b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
              36 21 0:31 /home/a\\040b /srv/a\\134b rw,noatime master:1 - btrfs /dev/x rw\n\
              37 36 0:40 / /srv/a\\134b rw - tmpfs none rw\nnonsense\n",
        );
        assert_eq!(mounts.len(), 3);
        assert_eq!(mounts[1].root, Path::new("/home/a b"));
        assert_eq!(mounts[1].point, Path::new("/srv/a\\b"));
        assert_eq!(of_path(&mounts, Path::new("/srv/a\\b/c")).unwrap().id, 37);
        assert_eq!(of_path(&mounts, Path::new("/srv/a")).unwrap().id, 21);
    }
}
