//! What differs between two states of a guard: files, and rows of its stores.
//!
//! A state is a snapshot, an archive, or the present data, which is looked at without touching it. Content is compared
//! by hash; what was captured from a file that shows the same inode and times since is the same unread.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FileType, Stat};

use super::archive::Archive;
use super::layout::Snapshot;
use super::proof::Proof;
use crate::aside_name::is_ours;
use crate::capture::Root;
use crate::capture::pin::{COMPANIONS, sidecar};
use crate::capture::walk::Exclude;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::look::observation::GuardObservation;
use crate::look::scan::database_file;
use crate::manifest::{DatabaseSource, Entry, How, Kind, LogSource, RelPath, Source};
use crate::userns::IdMap;

/// A file that was written so shortly before it was captured may have been written again in the same tick.
const SAME_TICK_NS: i128 = 2_000_000_000;

/// One state of a guard.
#[derive(Debug)]
pub struct State {
    entries: BTreeMap<PathBuf, Entry>,
    /// Rows by store and table; `None` for a store that was not opened.
    rows: BTreeMap<(String, String), u64>,
    /// The stores whose rows are known.
    opened: BTreeSet<String>,
    /// Where the files lie, to read what has no hash.
    data: Option<Root>,
    /// When it was captured; now, for the present data.
    at: Timestamp,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// Files, folders and links, by path.
    pub files: Vec<FileChange>,
    /// How many are the same.
    pub same: u64,
    /// Tables of stores that both states opened.
    pub tables: Vec<TableChange>,
    /// Stores of which only one state knows the rows.
    pub unknown: Vec<String>,
}

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Below the data folder.
    pub path: RelPath,
    /// How.
    pub what: Change,
    /// Its length in the first state, if it is a file there.
    pub before_bytes: Option<u64>,
    /// Its length in the second one.
    pub after_bytes: Option<u64>,
}

/// How a path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is in the second state only.
    Added,
    /// It is in the first state only.
    Removed,
    /// It has another content, or is another kind of thing.
    Changed,
    /// It has another mode or owner, and the same content.
    Attributes,
}

/// One table that has another number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableChange {
    /// The store.
    pub store: String,
    /// The table.
    pub table: String,
    /// Its rows in the first state; `None` if there is no such table.
    pub before: Option<u64>,
    /// Its rows in the second one.
    pub after: Option<u64>,
}

impl State {
    /// Returns the state that a snapshot holds.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if its manifest cannot be read.
    pub fn of_snapshot(snapshot: &Snapshot) -> Result<Self> {
        let manifest = snapshot.manifest()?;
        let proof = snapshot.proof.as_ref().or(snapshot.refused.as_ref());
        let mut state = Self::new(manifest.entries, manifest.summary.taken_at, proof);
        state.data = Some(Root::open(&snapshot.data())?);
        Ok(state)
    }

    /// Returns the state that an archive holds.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if its beginning cannot be read.
    pub fn of_archive(archive: &Archive) -> Result<Self> {
        let (manifest, proof) = archive.manifest()?;
        Ok(Self::new(
            manifest.entries,
            manifest.summary.taken_at,
            Some(&proof),
        ))
    }

    /// Returns the present state of a guard, of which `seen` was found by looking at its stores.
    ///
    /// # Errors
    /// [`Error::Io`] if the data folder cannot be opened or listed.
    pub fn present(guard: &Guard, seen: &GuardObservation) -> Result<Self> {
        let root = Root::open(&guard.data)?;
        let walk = root.walk(&Exclude::new(&guard.exclude)?);
        if let Some((path, e)) = walk.unreadable.into_iter().next() {
            return Err(e).doing("list", &guard.data.join(path));
        }
        // A database's log is part of it: captures fold it in.
        let databases: Vec<PathBuf> = guard.stores.iter().filter_map(database_file).collect();
        let companions: BTreeSet<PathBuf> = databases
            .iter()
            .flat_map(|main| COMPANIONS.map(|suffix| sidecar(main, suffix)))
            .collect();
        let ids = IdMap::of_this_process();
        let mut entries = Vec::new();
        for found in walk.found {
            let ours = found.path.iter().next().is_some_and(is_ours);
            if !ours && !companions.contains(&found.path) {
                entries.push(entry(&root, &ids, &found.path, &found.stat)?);
            }
        }
        let mut state = Self::new(entries, Timestamp::now(), None);
        state.data = Some(root);
        for store in &seen.stores {
            let rows = match &store.database {
                Some(database) => database.opened.as_ref().map(|_| database.seen().rows),
                None => store.seen().map(|seen| seen.rows),
            };
            state.add_rows(&store.name, rows);
        }
        Ok(state)
    }

    fn new(entries: Vec<Entry>, at: Timestamp, proof: Option<&Proof>) -> Self {
        let entries = entries
            .into_iter()
            .map(|e| (e.path.as_path().to_owned(), e));
        let mut state = Self {
            entries: entries.collect(),
            rows: BTreeMap::new(),
            opened: BTreeSet::new(),
            data: None,
            at,
        };
        for store in proof.iter().flat_map(|p| &p.stores) {
            let rows = (store.checked != "bytes").then(|| store.seen.rows.clone());
            state.add_rows(&store.name, rows);
        }
        state
    }

    fn add_rows(&mut self, store: &str, rows: Option<BTreeMap<String, u64>>) {
        let Some(rows) = rows else { return };
        self.opened.insert(store.to_owned());
        for (table, count) in rows {
            self.rows.insert((store.to_owned(), table), count);
        }
    }

    fn hash(&self, path: &Path) -> Result<String> {
        let root = self.data.as_ref().ok_or_else(|| Error::CouldNot {
            what: format!("the hash of `{}` is not known", path.display()),
            hint: None,
        })?;
        let at = root.path().join(path);
        let file = root.open_file(path).doing("open", &at)?;
        let hash = crate::hash::of_file(&file, |_| true).doing("read", &at)?;
        Ok(hash.unwrap_or_default())
    }
}

/// Returns what differs from `before` to `after`.
///
/// # Errors
/// [`Error::Io`] if a file without a known hash cannot be read.
pub fn diff(before: &State, after: &State) -> Result<Diff> {
    let mut files = Vec::new();
    let mut same = 0;
    let paths: BTreeSet<&PathBuf> = before.entries.keys().chain(after.entries.keys()).collect();
    for path in paths {
        let (old, new) = (before.entries.get(path), after.entries.get(path));
        let what = match (old, new) {
            (Some(old), Some(new)) => {
                let Some(what) = compare(before, old, after, new)? else {
                    same += 1;
                    continue;
                };
                what
            }
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        files.push(FileChange {
            path: path.clone().into(),
            what,
            before_bytes: old.and_then(bytes),
            after_bytes: new.and_then(bytes),
        });
    }
    let both = |store: &str| before.opened.contains(store) && after.opened.contains(store);
    let tables: BTreeSet<_> = before.rows.keys().chain(after.rows.keys()).collect();
    let tables = tables.into_iter().filter(|(store, _)| both(store));
    let tables = tables.map(|key| TableChange {
        store: key.0.clone(),
        table: key.1.clone(),
        before: before.rows.get(key).copied(),
        after: after.rows.get(key).copied(),
    });
    let unknown = before.opened.symmetric_difference(&after.opened);
    Ok(Diff {
        files,
        same,
        tables: tables.filter(|t| t.before != t.after).collect(),
        unknown: unknown.cloned().collect(),
    })
}

fn bytes(entry: &Entry) -> Option<u64> {
    match entry.kind {
        Kind::File { size_bytes, .. } => Some(size_bytes),
        _ => None,
    }
}

fn compare(before: &State, old: &Entry, after: &State, new: &Entry) -> Result<Option<Change>> {
    let same = match (&old.kind, &new.kind) {
        (Kind::File { size_bytes: a, .. }, Kind::File { size_bytes: b, .. }) => {
            same_source(before, old, new) || a == b && same_content(before, old, after, new)?
        }
        // Which of its names a file is kept under does not matter; what it holds is compared under one of them.
        (Kind::HardLink { .. }, Kind::HardLink { .. } | Kind::File { .. })
        | (Kind::File { .. }, Kind::HardLink { .. }) => true,
        (a, b) => a == b,
    };
    if !same {
        return Ok(Some(Change::Changed));
    }
    let is_link = matches!(old.kind, Kind::Symlink { .. });
    let attributes = |e: &Entry| (if is_link { 0 } else { e.mode }, e.uid, e.gid);
    Ok((attributes(old) != attributes(new)).then_some(Change::Attributes))
}

/// Returns whether the second one is the very file that the first was captured from, and was not written to since; of a
/// database its log too.
fn same_source(before: &State, old: &Entry, new: &Entry) -> bool {
    let (Kind::File { source: a, .. }, Kind::File { source: b, .. }) = (&old.kind, &new.kind)
    else {
        return false;
    };
    let newest = a.database.and_then(|d| d.log).map(|log| log.mtime_ns);
    let newest = newest.unwrap_or(a.mtime_ns).max(a.mtime_ns);
    let settled = before.at.as_nanosecond() - i128::from(newest) > SAME_TICK_NS;
    let times = |s: &Source| (s.inode, s.mtime_ns, s.ctime_ns);
    settled && a.inode != 0 && times(a) == times(b) && log_of(a) == log_of(b)
}

/// Returns the log of a database that holds something.
fn log_of(source: &Source) -> Option<LogSource> {
    source.database?.log.filter(|log| log.size_bytes > 0)
}

fn same_content(before: &State, old: &Entry, after: &State, new: &Entry) -> Result<bool> {
    let (Kind::File { blake3: a, .. }, Kind::File { blake3: b, .. }) = (&old.kind, &new.kind)
    else {
        return Ok(false);
    };
    let hash = |state: &State, entry: &Entry, known: &Option<String>| match known {
        Some(known) => Ok(known.clone()),
        None => state.hash(entry.path.as_path()),
    };
    Ok(hash(before, old, a)? == hash(after, new, b)?)
}

/// Returns a present file as a manifest would name it, but for its hash.
fn entry(root: &Root, ids: &IdMap, path: &Path, stat: &Stat) -> Result<Entry> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile => Kind::File {
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            blake3: None,
            how: How::Copy,
            source: Source {
                inode: stat.st_ino,
                mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
                ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
                size_bytes: u64::try_from(stat.st_size).ok(),
                database: log(root, path)?,
            },
        },
        FileType::Symlink => {
            let target = root.read_link(path).doing("read the link", path)?;
            Kind::Symlink {
                target: target.into(),
            }
        }
        FileType::Fifo => special("fifo"),
        FileType::Socket => special("socket"),
        FileType::BlockDevice => special("block-device"),
        FileType::CharacterDevice => special("character-device"),
        FileType::Unknown => special("unknown"),
    };
    let (uid, gid) = ids.to_container(stat.st_uid, stat.st_gid);
    Ok(Entry {
        path: path.into(),
        kind,
        mode: stat.st_mode & 0o7777,
        uid,
        gid,
        mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        xattrs: Vec::new(),
    })
}

/// Returns the log beside a file, if there is one.
fn log(root: &Root, path: &Path) -> Result<Option<DatabaseSource>> {
    let path = sidecar(path, "-wal");
    let stat = root.stat(&path).doing("look at", &path)?;
    let log = stat.map(|stat| LogSource {
        inode: stat.st_ino,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
        ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
    });
    Ok(log.map(|log| DatabaseSource { log: Some(log) }))
}

fn special(what: &str) -> Kind {
    Kind::Special { what: what.into() }
}

fn nanoseconds(seconds: i64, nanoseconds: u64) -> i64 {
    let fraction = i64::try_from(nanoseconds).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(fraction)
}
