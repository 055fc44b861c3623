//! What the tests work on: a vault, a data folder, snapshots of it, and ways to see what a folder holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{CWD, FileType, fgetxattr};

use crate::capture::walk::{Exclude, Root};
use crate::hex::to_hex;
use crate::look::sqlite::Examiner;
use crate::manifest::{Entry, FORMAT, How, Kind, Manifest, Pairing, Source, Summary, Xattr};
use crate::memory::Memory;
use crate::vault::restore::*;
use crate::vault::{SnapshotName, prove};

/// A vault, a data folder and the guard of it.
pub struct Bench {
    pub folder: tempfile::TempDir,
    pub vault: Vault,
    pub guard: Guard,
}

pub fn bench() -> Bench {
    bench_in(&std::env::temp_dir())
}

/// Makes a bench that lies in `folder`.
pub fn bench_in(folder: &Path) -> Bench {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let at = folder.path().canonicalize().unwrap();
    let guard = guard(&at.join("home/open-webui"));
    std::fs::create_dir_all(&guard.data).unwrap();
    Bench {
        vault: Vault::at(&at.join("vault")),
        folder,
        guard,
    }
}

pub fn guard(data: &Path) -> Guard {
    Guard {
        exclude: vec!["cache/**".into()],
        ..Guard::of_folder("open-webui", data)
    }
}

impl Bench {
    pub fn data(&self) -> &Path {
        &self.guard.data
    }

    pub fn put(&self, path: &str, content: &str) {
        put(self.data(), path, content);
    }

    /// Takes a snapshot of the data folder as it is.
    pub fn take(&self, sequence: u64) -> Snapshot {
        take(&self.vault, &self.guard, sequence)
    }

    /// Proves a snapshot that was taken; it must stand that.
    pub fn prove(&self, sequence: u64) -> Snapshot {
        const WAIT: Duration = Duration::from_secs(5);
        let request = prove::Request {
            examiner: &Examiner::Here,
            memory: &Memory::default(),
            patience: WAIT,
            deadline: WAIT,
        };
        let all = self.vault.snapshots(&self.guard.name).unwrap();
        let taken = all.into_iter().find(|s| s.name.sequence == sequence);
        let snapshot = prove::prove(&self.vault, &taken.unwrap(), &request).unwrap();
        assert!(snapshot.is_proven(), "{:?}", snapshot.refused);
        snapshot
    }

    pub fn restore(&self, snapshot: &Snapshot, only: &[&str]) -> Result<Restored> {
        let options = Options {
            only: only.iter().map(PathBuf::from).collect(),
            ..Options::default()
        };
        restore(&self.vault, &self.guard, snapshot, &options)
    }

    pub fn undo(&self) -> Result<Undone> {
        undo(&self.vault, &self.guard, false)
    }
}

pub fn put(folder: &Path, path: &str, content: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Copies the data folder into the vault and writes its manifest, as a capture would.
pub fn take(vault: &Vault, guard: &Guard, sequence: u64) -> Snapshot {
    let at: Timestamp = "2026-11-23T06:03:11Z".parse().unwrap();
    let name = SnapshotName::new(sequence, at, "test");
    let path = vault.guard_folder(&guard.name).join(name.to_string());
    let data = path.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let root = Root::open(&guard.data).unwrap();
    let mut first_names = BTreeMap::new();
    let mut entries = Vec::new();
    for found in root.walk(&Exclude::new(&guard.exclude).unwrap()).found {
        let stat = found.stat;
        let relative = &found.path;
        let (from, to) = (guard.data.join(relative), data.join(relative));
        let mut xattrs = Vec::new();
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                std::fs::create_dir(&to).unwrap();
                Kind::Folder
            }
            FileType::Symlink => Kind::Symlink {
                target: std::fs::read_link(&from).unwrap().into(),
            },
            FileType::RegularFile => {
                if let Some(first) = first_names.get(&stat.st_ino) {
                    Kind::HardLink {
                        to: PathBuf::clone(first).into(),
                    }
                } else {
                    first_names.insert(stat.st_ino, relative.clone());
                    let source = root.open_file(relative).unwrap();
                    let target = std::fs::File::options()
                        .read(true)
                        .write(true)
                        .create_new(true)
                        .open(&to)
                        .unwrap();
                    crate::capture::copy::transfer(&source, &target).unwrap();
                    let mut value = [0; 64];
                    if let Ok(length) = fgetxattr(&source, "user.note", &mut value[..]) {
                        xattrs.push(Xattr {
                            name: "user.note".into(),
                            value_hex: to_hex(&value[..length]),
                        });
                    }
                    Kind::File {
                        size_bytes: u64::try_from(stat.st_size).unwrap(),
                        blake3: Some(stage::hash(&target).unwrap()),
                        how: How::Copy,
                        source: Source::default(),
                    }
                }
            }
            _ => Kind::Special {
                what: "fifo".into(),
            },
        };
        entries.push(Entry {
            path: relative.clone().into(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime_ns: attributes::mtime_ns(&stat),
            xattrs,
        });
    }
    let manifest = Manifest {
        summary: Summary {
            format: FORMAT,
            sequence,
            guard: guard.name.clone(),
            reason: "test".into(),
            taken_at: at,
            local_date: "2026-11-23".parse().unwrap(),
            gaps: Vec::new(),
            unsteady: Vec::new(),
            local_offset: "+00:00".into(),
            invocation: None,
            pairing: Pairing::default(),
            suspicious: None,
            files: 0,
            size_bytes: 0,
            new_bytes: 0,
            blocked_ms: 0,
            frozen_ms: 0,
            numbering: crate::manifest::Numbering::Host,
            took_ms: 0,
            imported: false,
            tool_version: "0".into(),
        },
        settings: guard.clone(),
        root: None,
        entries,
    };
    rewrite(&path, &manifest);
    Snapshot::open(name, path).unwrap().unwrap()
}

pub fn rewrite(snapshot: &Path, manifest: &Manifest) {
    let text = serde_json::to_vec(manifest).unwrap();
    std::fs::write(snapshot.join("manifest.json"), text).unwrap();
}

/// Returns what a tree shows, but for the times of folders and our own names inside it.
pub fn show(folder: &Path) -> BTreeMap<PathBuf, String> {
    let root = Root::open(folder).unwrap();
    let walk = root.walk(&Exclude::default());
    assert!(walk.unreadable.is_empty());
    let ours = |path: &Path| put_aside::is_ours(path.iter().next().unwrap());
    let found = walk.found.into_iter().filter(|f| !ours(&f.path));
    found
        .map(|found| {
            let stat = found.stat;
            let mtime = attributes::mtime_ns(&stat);
            let mode = stat.st_mode;
            let at = folder.join(&found.path);
            let text = match FileType::from_raw_mode(mode) {
                FileType::RegularFile => {
                    let file = std::fs::File::open(at).unwrap();
                    let hash = stage::hash(&file).unwrap();
                    format!("{mode:o} {mtime} {} {hash}", stat.st_nlink)
                }
                FileType::Symlink => {
                    let target = std::fs::read_link(at).unwrap();
                    format!("{mode:o} {mtime} {}", target.display())
                }
                _ => format!("{mode:o}"),
            };
            (found.path, text)
        })
        .collect()
}

/// Returns names and contents of the regular files: what must never be lost.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names = show(folder).into_keys();
    let files = names.filter(|n| folder.join(n).is_file());
    files
        .map(|n| (n.clone(), std::fs::read(folder.join(n)).unwrap()))
        .collect()
}

pub fn set_time(path: &Path, ns: i64) {
    use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, utimensat};
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: ns.div_euclid(1_000_000_000),
            tv_nsec: ns.rem_euclid(1_000_000_000),
        },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

pub fn could_not(result: Result<Restored>) -> String {
    match result {
        Err(Error::CouldNot { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}
