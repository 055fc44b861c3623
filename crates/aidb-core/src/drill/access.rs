//! Whether an application opened the files of its data folder, told afterwards by the files themselves.
//!
//! Before the start each file is marked as never read (its access time is the epoch, which both `relatime` and `strictatime`
//! replace at the first read or mapping; a filesystem that is mounted `noatime` tells of changes only).

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_OMIT, utimensat};

use crate::error::{IoContext as _, Result};

/// The regular files of a folder, as they were before an application ran on it.
#[derive(Debug)]
pub(super) struct Marks {
    data: PathBuf,
    files: BTreeMap<PathBuf, Mark>,
}

/// What of a file changes when it is read, written or put in another one's place. A change of owner is none of that.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    inode: u64,
    size_bytes: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    accessed: (i64, i64),
}

impl Marks {
    /// Marks every regular file below a folder of ours as never read.
    pub(super) fn set(data: &Path) -> Result<Self> {
        const NEVER: Timestamps = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            last_modification: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
        };
        for path in files(data)?.keys() {
            utimensat(CWD, path, &NEVER, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(std::io::Error::from)
                .doing("set the access time of", path)?;
        }
        Ok(Self {
            data: data.to_owned(),
            files: files(data)?,
        })
    }

    /// Returns whether a file was read, changed, made or removed since. A folder that cannot be listed any more was ours when
    /// it was marked: the application took it.
    pub(super) fn were_touched(&self) -> bool {
        files(&self.data).map_or(true, |now| now != self.files)
    }
}

fn files(data: &Path) -> Result<BTreeMap<PathBuf, Mark>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![data.to_owned()];
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).doing("list", &folder)? {
            let path = entry.doing("list", &folder)?.path();
            let seen = path.symlink_metadata().doing("look at", &path)?;
            if seen.is_dir() {
                pending.push(path);
            } else if seen.is_file() {
                let mark = Mark {
                    inode: seen.ino(),
                    size_bytes: seen.size(),
                    modified: (seen.mtime(), seen.mtime_nsec()),
                    accessed: (seen.atime(), seen.atime_nsec()),
                };
                found.insert(path, mark);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rustix::fs::StatVfsMountFlags;

    use super::*;

    type Touch = fn(&Path);

    #[test]
    fn to_read_a_file_to_change_it_and_to_make_one_are_told_and_to_list_them_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let file = data.join("below/app.db");
        let lay = || {
            let _ = std::fs::remove_dir_all(&data);
            std::fs::create_dir_all(data.join("below")).unwrap();
            std::fs::write(&file, "rows").unwrap();
            Marks::set(&data).unwrap()
        };
        let marks = lay();
        let listed = std::fs::read_dir(data.join("below")).unwrap().count();
        assert!(listed == 1 && file.metadata().is_ok() && !marks.were_touched());

        let touches: [(&str, Touch); 4] = [
            ("written", |file| std::fs::write(file, "ROWS").unwrap()),
            ("made", |file| {
                std::fs::write(file.with_extension("db-wal"), "").unwrap();
            }),
            ("removed", |file| std::fs::remove_file(file).unwrap()),
            ("replaced", |file| {
                let other = file.with_extension("other");
                std::fs::copy(file, &other).unwrap();
                std::fs::rename(other, file).unwrap();
            }),
        ];
        for (name, touch) in touches {
            let marks = lay();
            touch(&file);
            assert!(marks.were_touched(), "{name}");
        }
        let marks = lay();
        assert_eq!(std::fs::read(&file).unwrap(), b"rows");
        let mount = rustix::fs::statvfs(&data).unwrap();
        let tells = !mount.f_flag.contains(StatVfsMountFlags::NOATIME);
        assert_eq!(marks.were_touched(), tells, "read");
    }
}
