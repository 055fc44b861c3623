//! The fingerprint of a database's files: while it is the same, nothing was written to them, and the last look stands.
//!
//! Times of change alone do not tell: a commit may go into the log only, two writes may share a tick of the clock, and
//! after a power cut a file may have its new times and its old bytes.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Stat, statvfs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::boot;
use crate::capture::Root;
use crate::capture::pin::sidecar;
use crate::runs::read_up_to;

/// Times younger than this may hide a later write.
const SETTLED_NS: i128 = 2_000_000_000;

/// What tells that a database's files are as they were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The system's boot: times and bytes may disagree after a crash.
    boot: String,
    /// The filesystem, by its own id: Btrfs numbers devices anew at each mount.
    filesystem: u64,
    /// Main file, `-wal`, `-journal`: what is there of them.
    files: [Option<File>; 3],
}

/// What tells that one file is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    inode: u64,
    size_bytes: i64,
    mtime_ns: i128,
    ctime_ns: i128,
    /// Of a main file its change counter and what it is valid for, of a log its header; else nothing.
    head_hex: String,
}

impl Fingerprint {
    /// Returns the fingerprint of the database at `relative`; `None` if it cannot be had, or its files were written to
    /// so recently that a later write could look the same.
    #[must_use]
    pub fn of(root: &Root, relative: &Path) -> Option<Self> {
        Self::settled_for(root, relative, SETTLED_NS)
    }

    fn settled_for(root: &Root, relative: &Path, settled_ns: i128) -> Option<Self> {
        let boot = boot::id()?;
        let filesystem = statvfs(root.path()).ok()?.f_fsid;
        let now = now_ns()?;
        let mut files = [None, None, None];
        for (slot, suffix) in files.iter_mut().zip(["", "-wal", "-journal"]) {
            let file = match root.open_file(&sidecar(relative, suffix)) {
                Ok(file) => file,
                Err(Errno::NOENT) => continue,
                Err(_) => return None,
            };
            let stat = rustix::fs::fstat(&file).ok()?;
            let (mtime_ns, ctime_ns) = times(&stat);
            if now - mtime_ns.max(ctime_ns) < settled_ns {
                return None;
            }
            let mut head = [0; 100];
            let got = read_up_to(&file, &mut head, 0).ok()?;
            let telling: &[&[u8]] = match suffix {
                "" if got == head.len() => &[&head[24..28], &head[92..100]],
                "-wal" => &[&head[..got.min(32)]],
                _ => &[],
            };
            *slot = Some(File {
                inode: stat.st_ino,
                size_bytes: stat.st_size,
                mtime_ns,
                ctime_ns,
                head_hex: crate::hex::to_hex(&telling.concat()),
            });
        }
        files[0].is_some().then_some(Self {
            boot,
            filesystem,
            files,
        })
    }
}

/// What tells that nothing came into a folder, or went out of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderMark {
    /// Relative to the data folder.
    path: PathBuf,
    /// Inode and times; `None` if there was no such folder.
    state: Option<(u64, i128, i128)>,
}

impl FolderMark {
    /// Returns the marks of folders as they are now; `None` if one cannot be looked at, or something came or went so
    /// shortly before `began` that the look may have missed it.
    pub fn of<'a>(
        root: &Root,
        folders: impl IntoIterator<Item = &'a PathBuf>,
        began: SystemTime,
    ) -> Option<Vec<Self>> {
        let began_ns = since_1970_ns(began)?;
        let mark = |path: &PathBuf| {
            let state = match root.stat(path).ok()? {
                Some(stat) => {
                    let (mtime_ns, ctime_ns) = times(&stat);
                    if began_ns - mtime_ns.max(ctime_ns) < SETTLED_NS {
                        return None;
                    }
                    Some((stat.st_ino, mtime_ns, ctime_ns))
                }
                None => None,
            };
            let path = path.clone();
            Some(Self { path, state })
        };
        folders.into_iter().map(mark).collect()
    }

    /// Returns whether the folder is as it was.
    #[must_use]
    pub fn stands(&self, root: &Root) -> bool {
        let now = root.stat(&self.path).map(|stat| {
            stat.map(|stat| {
                let (mtime_ns, ctime_ns) = times(&stat);
                (stat.st_ino, mtime_ns, ctime_ns)
            })
        });
        now == Ok(self.state)
    }
}

fn times(stat: &Stat) -> (i128, i128) {
    let ns = |seconds: i64, nanoseconds: u64| {
        i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
    };
    (
        ns(stat.st_mtime, stat.st_mtime_nsec),
        ns(stat.st_ctime, stat.st_ctime_nsec),
    )
}

fn now_ns() -> Option<i128> {
    since_1970_ns(SystemTime::now())
}

fn since_1970_ns(time: SystemTime) -> Option<i128> {
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i128::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn what_was_just_written_has_no_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        Connection::open(folder.path().join("db"))
            .unwrap()
            .execute_batch("create table t(x)")
            .unwrap();
        let root = Root::open(folder.path()).unwrap();
        assert_eq!(Fingerprint::of(&root, Path::new("db")), None);
        assert_eq!(Fingerprint::of(&root, Path::new("absent")), None);
    }

    #[test]
    fn every_way_to_change_a_database_changes_its_fingerprint() {
        for mode in ["wal", "delete"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("db");
            let db = Connection::open(&path).unwrap();
            db.pragma_update(None, "journal_mode", mode).unwrap();
            db.execute_batch("create table t(x); insert into t values (1)")
                .unwrap();
            let root = Root::open(folder.path()).unwrap();
            let now = || Fingerprint::settled_for(&root, Path::new("db"), i128::MIN).unwrap();
            let mut before = now();
            assert_eq!(before, now());
            let changes: [&dyn Fn(); 4] = [
                &|| db.execute_batch("insert into t values (2)").unwrap(),
                &|| db.execute_batch("vacuum").unwrap(),
                &|| {
                    std::fs::copy(&path, folder.path().join("other")).unwrap();
                    std::fs::rename(folder.path().join("other"), &path).unwrap();
                },
                &|| {
                    let _ = std::fs::remove_file(folder.path().join("db-wal"));
                    std::fs::write(folder.path().join("db-journal"), "x").unwrap();
                },
            ];
            for (n, change) in changes.iter().enumerate() {
                change();
                let after = now();
                assert_ne!(before, after, "{mode}, change {n}");
                before = after;
            }
        }
    }
}
