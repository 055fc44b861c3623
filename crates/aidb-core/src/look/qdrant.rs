//! Qdrant in its own terms: collections, shards, segments, logs; their structure and sizes, never their content.
//!
//! Qdrant loads much of what is broken without a word: a segment without `version.info` is deleted, a vector file that
//! was cut off is read as far as it goes. What a crash leaves of a segment that never held a point is no damage.

mod segment;

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::tour::{Content, Entry, Kind, MOST_FILE_BYTES, Several, Tour};

/// What was found of the collections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Qdrant {
    /// Collections.
    pub collections: u64,
    /// Shards.
    pub shards: u64,
    /// Segments, those that Qdrant is about to delete left out.
    pub segments: u64,
    /// JSON files that cannot be read, or that are missing where Qdrant would pass over the data beside them.
    pub bad_json: Several,
    /// Segments that are incomplete or have files that are too short.
    pub bad_segments: Several,
    /// Logs that are missing, or are none.
    pub bad_logs: Several,
    /// Logs that do not say how far they were applied.
    pub unmarked_logs: Several,
}

/// Looks at a storage folder, or at a single shard.
pub(super) fn look(tour: &mut Tour, folder: &Path) -> Qdrant {
    let mut look = Look {
        tour,
        top: folder,
        found: Qdrant::default(),
    };
    look.storage();
    look.found
}

struct Look<'a, 'b> {
    tour: &'a mut Tour<'b>,
    top: &'a Path,
    found: Qdrant,
}

#[derive(Deserialize)]
struct ReplicaState {
    #[serde(default)]
    is_local: bool,
}

#[derive(Deserialize)]
struct FirstIndex {
    ack_index: u64,
}

impl Look<'_, '_> {
    fn list(&mut self, below: &Path) -> Option<Vec<Entry>> {
        self.tour.list(&self.top.join(below))
    }

    fn storage(&mut self) {
        let Some(entries) = self.list(Path::new("")) else {
            return;
        };
        self.jsons(Path::new(""), &entries);
        if is_folder(&entries, "aliases")
            && let Some(aliases) = self.list(Path::new("aliases"))
        {
            self.jsons(Path::new("aliases"), &aliases);
        }
        if self.enters(
            Path::new(""),
            "collections",
            kind_of(&entries, "collections"),
        ) {
            let collections = self.list(Path::new("collections")).unwrap_or_default();
            for collection in &collections {
                if self.enters(
                    Path::new("collections"),
                    collection.text(),
                    Some(collection.kind),
                ) {
                    self.collection(&Path::new("collections").join(&collection.name));
                }
            }
        }
        let is_shard = ["edge_config.json", "shard_config.json"]
            .iter()
            .any(|name| kind_of(&entries, name).is_some());
        if kind_of(&entries, "segments").is_some() || is_shard {
            self.shard(Path::new(""), &entries);
        }
    }

    /// Returns whether a name is a folder to go into; says so if it is a link.
    fn enters(&mut self, below: &Path, name: &str, kind: Option<Kind>) -> bool {
        match kind {
            Some(Kind::Folder) => !name.starts_with('.') && !name.ends_with(".deleted"),
            Some(Kind::Symlink) => {
                let path = self.top.join(below).join(name);
                self.tour
                    .blocked(&path, "a symbolic link, which is not followed");
                false
            }
            _ => false,
        }
    }

    fn collection(&mut self, below: &Path) {
        let Some(entries) = self.list(below) else {
            return;
        };
        self.found.collections += 1;
        self.jsons(below, &entries);
        let mut has_data = false;
        for shard in &entries {
            let name = shard.text();
            let is_shard = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
            if is_shard && self.enters(below, name, Some(shard.kind)) {
                let path = below.join(name);
                if let Some(entries) = self.list(&path) {
                    self.jsons(&path, &entries);
                    has_data |= self.shard(&path, &entries);
                }
            }
        }
        if has_data && kind_of(&entries, "config.json").is_none() && self.tour.ended.is_none() {
            let path = below.join("config.json");
            let told = format!(
                "`{}` is gone: Qdrant passes over the collection",
                path.display()
            );
            self.found.bad_json.add(told);
        }
    }

    /// Looks at a shard; returns whether it holds points.
    fn shard(&mut self, below: &Path, entries: &[Entry]) -> bool {
        self.found.shards += 1;
        let is_local = self
            .parse::<ReplicaState>(&below.join("replica_state.json"))
            .is_some_and(|s| s.is_local);
        let mut holds_points = false;
        let mut segments = 0_u32;
        let mut all_seen;
        if self.enters(below, "segments", kind_of(entries, "segments")) {
            let folder = below.join("segments");
            let names = self.list(&folder);
            all_seen = names.is_some();
            let names = names.unwrap_or_default();
            for segment in &names {
                if self.enters(&folder, segment.text(), Some(segment.kind)) {
                    segments += 1;
                    match self.segment(&folder.join(&segment.name)) {
                        Some(holds) => holds_points |= holds,
                        None => all_seen = false,
                    }
                } else {
                    all_seen &= segment.kind != Kind::Symlink;
                }
            }
        } else {
            all_seen = kind_of(entries, "segments") != Some(Kind::Symlink);
        }
        if !all_seen || self.tour.ended.is_some() {
            return holds_points;
        }
        let acked = self.log(below, entries, holds_points);
        // A local shard has a segment from its first moment on.
        if segments == 0 && (is_local || acked > 0) {
            let path = below.join("segments");
            self.found
                .bad_segments
                .add(format!("`{}` holds no segment", path.display()));
        }
        holds_points || acked > 0
    }

    /// Looks at a shard's log; returns how many operations it says were applied.
    fn log(&mut self, below: &Path, entries: &[Entry], holds_points: bool) -> u64 {
        let folder = below.join("wal");
        let told = |what: &str| format!("`{}` {what}", folder.display());
        match kind_of(entries, "wal") {
            Some(Kind::Folder) => {}
            Some(Kind::Symlink) => {
                self.tour
                    .blocked(&self.top.join(&folder), "a symbolic link, not followed");
                return 0;
            }
            _ if holds_points => {
                self.found.bad_logs.add(told("is gone"));
                return 0;
            }
            _ => return 0,
        }
        let Some(names) = self.list(&folder) else {
            return 0;
        };
        let mut files = 0_u32;
        for entry in &names {
            let name = entry.text();
            if !name.starts_with("open-") && !name.starts_with("closed-") {
                continue;
            }
            files += 1;
            let path = folder.join(name);
            match entry.kind {
                Kind::File(_) => {
                    if let Some(start) = self.tour.start::<4>(&self.top.join(&path))
                        && start != *b"wal\0"
                    {
                        let told = format!("`{}` is no segment of a log", path.display());
                        self.found.bad_logs.add(told);
                    }
                }
                Kind::Symlink => self
                    .tour
                    .blocked(&self.top.join(&path), "a symbolic link, not followed"),
                Kind::Absent | Kind::Folder | Kind::Special(_) => {
                    let told = format!("`{}` is no regular file", path.display());
                    self.found.bad_logs.add(told);
                }
            }
        }
        if files == 0 && holds_points && self.tour.ended.is_none() {
            self.found.bad_logs.add(told("holds no log"));
        }
        let mark = folder.join("first-index");
        match kind_of(&names, "first-index") {
            // It is written when a flush confirms the first operation.
            None if holds_points && files > 0 && self.tour.ended.is_none() => {
                self.found
                    .unmarked_logs
                    .add(format!("`{}` is gone", mark.display()));
                0
            }
            None => 0,
            Some(_) => match self.tour.read(&self.top.join(&mark), MOST_FILE_BYTES) {
                Content::Bytes(bytes) => match serde_json::from_slice::<FirstIndex>(&bytes) {
                    Ok(first) => first.ack_index,
                    Err(e) => {
                        let told = format!("`{}` ({} bytes): {e}", mark.display(), bytes.len());
                        self.found.bad_logs.add(told);
                        0
                    }
                },
                Content::Other(why) | Content::TooLong(why) => {
                    let told = format!("`{}` {why}", mark.display());
                    self.found.bad_logs.add(told);
                    0
                }
                Content::Absent | Content::Blocked => 0,
            },
        }
    }

    /// Checks the JSON files of a folder.
    fn jsons(&mut self, below: &Path, entries: &[Entry]) {
        for entry in entries {
            let path = below.join(&entry.name);
            match entry.kind {
                Kind::File(_) | Kind::Special(_) if is_json(&path) => {
                    if let Some(why) = self.json(&path) {
                        self.found.bad_json.add(why);
                    }
                }
                Kind::Symlink if is_json(&path) => self.tour.blocked(
                    &self.top.join(&path),
                    "a symbolic link, which is not followed",
                ),
                _ => {}
            }
        }
    }

    /// Returns why a JSON file is none.
    fn json(&mut self, path: &Path) -> Option<String> {
        let told = path.display();
        match self.tour.read(&self.top.join(path), MOST_FILE_BYTES) {
            Content::Bytes(bytes) if bytes.is_empty() => Some(format!("`{told}` has 0 bytes")),
            Content::Bytes(bytes) => serde_json::from_slice::<IgnoredAny>(&bytes)
                .err()
                .map(|e| format!("`{told}`: {e}")),
            Content::Other(why) => Some(format!("`{told}` {why}")),
            Content::TooLong(why) => {
                self.tour.blocked(path, &why);
                None
            }
            Content::Absent | Content::Blocked => None,
        }
    }

    /// Returns what a JSON file says, if it is there and can be read.
    fn parse<T: serde::de::DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        match self.tour.read(&self.top.join(path), MOST_FILE_BYTES) {
            Content::Bytes(bytes) => serde_json::from_slice(&bytes).ok(),
            _ => None,
        }
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "json")
}

fn kind_of(entries: &[Entry], name: &str) -> Option<Kind> {
    entries.iter().find(|e| e.name == name).map(|e| e.kind)
}

fn is_folder(entries: &[Entry], name: &str) -> bool {
    kind_of(entries, name) == Some(Kind::Folder)
}
