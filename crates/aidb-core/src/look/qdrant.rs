//! Qdrant in its own terms: collections, shards, segments, logs; their structure and sizes, never their content.
//!
//! Qdrant loads much of what is broken without a word: a segment without `version.info` is deleted, a vector file that
//! was cut off is read as far as it goes. What a crash leaves of a segment that never held a point is no damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::tour::{Content, Entry, Kind, MOST_FILE_BYTES, Several, Tour};

/// How deep the folders of a segment are nested at most.
const SEGMENT_DEPTH: usize = 8;

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

/// The parts of `segment.json` that tell which folders must be there.
#[derive(Deserialize, Default)]
struct SegmentState {
    #[serde(default)]
    config: SegmentConfig,
}

#[derive(Deserialize, Default)]
struct SegmentConfig {
    #[serde(default)]
    vector_data: BTreeMap<String, VectorConfig>,
    #[serde(default)]
    payload_storage_type: Option<PayloadType>,
}

#[derive(Deserialize, Default)]
struct VectorConfig {
    #[serde(default)]
    storage_type: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct PayloadType {
    #[serde(default)]
    r#type: String,
}

/// The sizes in a `config.json` beside mapped files.
#[derive(Deserialize, Default)]
struct Sizes {
    #[serde(default)]
    chunk_size_bytes: Option<u64>,
    #[serde(default)]
    chunk_size_vectors: Option<u64>,
    #[serde(default)]
    page_size_bytes: Option<u64>,
}

/// Everything in a segment's folder, by path below it, and what of its JSON cannot be read.
struct Files {
    path: PathBuf,
    kinds: BTreeMap<PathBuf, Kind>,
    bad_json: Several,
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

    /// Looks at a segment; returns whether it holds points, `None` if not all of it could be seen.
    fn segment(&mut self, path: &Path) -> Option<bool> {
        let files = self.files(path)?;
        let holds_points = self.holds_points(&files);
        let has_version = matches!(files.kind("version.info"), Some(Kind::File(1..)));
        if !has_version && !holds_points {
            // A crash while it was being made: Qdrant removes it, and nothing with it.
            return Some(false);
        }
        self.found.segments += 1;
        let name = path.display();
        let state = self.parse::<SegmentState>(&path.join("segment.json"));
        let mut problems = Vec::new();
        if !has_version {
            problems.push("`version.info` is missing: Qdrant deletes the segment".to_owned());
        }
        if files.kind("segment.json").is_none() {
            problems.push("`segment.json` is missing".to_owned());
        }
        if holds_points {
            problems.extend(files.lacks_id_tracker());
            problems.extend(files.lacks_folders(state.as_ref()));
        }
        self.mapped_files(&files, &mut problems);
        for problem in problems {
            self.found.bad_segments.add(format!("`{name}`: {problem}"));
        }
        self.found.bad_json.append(files.bad_json);
        Some(holds_points)
    }

    /// Collects what lies in a segment's folder; `None` if not all of it could be seen.
    fn files(&mut self, path: &Path) -> Option<Files> {
        let mut files = Files {
            path: path.to_owned(),
            kinds: BTreeMap::new(),
            bad_json: Several::default(),
        };
        let mut folders = vec![(PathBuf::new(), 1)];
        let mut all_seen = true;
        while let Some((below, depth)) = folders.pop() {
            let Some(entries) = self.list(&path.join(&below)) else {
                all_seen = false;
                continue;
            };
            for entry in entries {
                let name = below.join(&entry.name);
                match entry.kind {
                    Kind::Folder if depth < SEGMENT_DEPTH => {
                        folders.push((name.clone(), depth + 1));
                    }
                    Kind::Symlink => {
                        let path = self.top.join(path).join(&name);
                        self.tour
                            .blocked(&path, "a symbolic link, which is not followed");
                        all_seen = false;
                    }
                    Kind::File(_) | Kind::Special(_) if is_json(&name) => {
                        if let Some(why) = self.json(&path.join(&name)) {
                            files.bad_json.add(why);
                        }
                    }
                    _ => {}
                }
                files.kinds.insert(name, entry.kind);
            }
        }
        (all_seen && self.tour.ended.is_none()).then_some(files)
    }

    /// Returns whether anything in a segment's folder shows that it holds points.
    fn holds_points(&mut self, files: &Files) -> bool {
        let paths: Vec<PathBuf> = files.kinds.keys().cloned().collect();
        paths.iter().any(|path| {
            let Some(Kind::File(size @ 1..)) = files.kinds.get(path) else {
                return false;
            };
            let in_vectors = path
                .iter()
                .next()
                .is_some_and(|first| first.to_string_lossy().starts_with("vector_storage"));
            match path.to_string_lossy().as_ref() {
                "mutable_id_tracker.mappings" | "id_tracker.mappings" => true,
                // A file of RocksDB, in which old versions kept everything.
                _ if path.components().count() == 1 => path.extension().is_some_and(|e| e == "sst"),
                // Its first 4 bytes name the format.
                name if in_vectors && name.ends_with("/matrix.dat") => *size > 4,
                name if in_vectors && name.ends_with("/vectors/status.dat") => {
                    self.vector_count(files, path) > Some(0)
                }
                _ => false,
            }
        })
    }

    /// Returns how many vectors a `status.dat` counts: its first 8 bytes.
    fn vector_count(&mut self, files: &Files, path: &Path) -> Option<u64> {
        let start = self
            .tour
            .start::<8>(&self.top.join(&files.path).join(path))?;
        Some(u64::from_le_bytes(start.try_into().ok()?))
    }

    /// Compares mapped files with the sizes in the `config.json` beside them.
    fn mapped_files(&mut self, files: &Files, problems: &mut Vec<String>) {
        let configs: Vec<PathBuf> = files
            .kinds
            .iter()
            .filter(|(path, kind)| matches!(kind, Kind::File(_)) && path.ends_with("config.json"))
            .map(|(path, _)| path.clone())
            .collect();
        for config in configs {
            let Some(sizes) = self.parse::<Sizes>(&files.path.join(&config)) else {
                continue;
            };
            let folder = config.parent().unwrap_or(Path::new(""));
            if let Some(expected) = sizes.page_size_bytes {
                if !files.kinds.contains_key(&folder.join("page_0.dat")) {
                    problems.push(format!(
                        "`{}` is missing",
                        folder.join("page_0.dat").display()
                    ));
                }
                problems.extend(files.short(folder, "page_", ".dat", expected).1);
            }
            if let Some(expected) = sizes.chunk_size_bytes {
                let (chunks, short) = files.short(folder, "chunk_", ".mmap", expected);
                problems.extend(short);
                let status = folder.join("status.dat");
                if let Some(Kind::File(0..8)) = files.kinds.get(&status) {
                    problems.push(format!("`{}` is cut off", status.display()));
                } else if let (Some(Kind::File(_)), Some(per_chunk @ 1..)) =
                    (files.kinds.get(&status), sizes.chunk_size_vectors)
                    && let Some(count) = self.vector_count(files, &status)
                    && chunks < count.div_ceil(per_chunk)
                {
                    problems.push(format!(
                        "`{}` has {chunks} of {} chunks for {count} vectors",
                        folder.display(),
                        count.div_ceil(per_chunk)
                    ));
                }
            }
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

impl Files {
    fn kind(&self, name: &str) -> Option<Kind> {
        self.kinds.get(Path::new(name)).copied()
    }

    /// Returns whether old versions' `RocksDB` lies here, which holds what has no file of its own.
    fn has_rocksdb(&self) -> bool {
        self.kind("CURRENT").is_some()
    }

    fn lacks_id_tracker(&self) -> Option<String> {
        for tracker in ["mutable_id_tracker", "id_tracker"] {
            let has = |part: &str| {
                matches!(
                    self.kind(&format!("{tracker}.{part}")),
                    Some(Kind::File(1..))
                )
            };
            match (has("mappings"), has("versions")) {
                (true, true) => return None,
                (true, false) => return Some(format!("`{tracker}.versions` is missing or empty")),
                (false, true) => return Some(format!("`{tracker}.mappings` is missing or empty")),
                (false, false) => {}
            }
        }
        (!self.has_rocksdb()).then(|| "the files that tell its points are missing".to_owned())
    }

    fn lacks_folders(&self, state: Option<&SegmentState>) -> Vec<String> {
        let has_folder = |name: &str| self.kind(name) == Some(Kind::Folder);
        let Some(SegmentState { config }) = state else {
            return Vec::new();
        };
        let mut lacks: Vec<String> = config
            .vector_data
            .iter()
            .filter(|(_, vector)| match &vector.storage_type {
                Some(serde_json::Value::String(kind)) => kind != "Memory",
                Some(_) => true,
                None => !self.has_rocksdb(),
            })
            .map(|(name, _)| match name.as_str() {
                "" => "vector_storage".to_owned(),
                name => format!("vector_storage-{name}"),
            })
            .filter(|folder| !has_folder(folder))
            .collect();
        let in_files = config
            .payload_storage_type
            .as_ref()
            .is_some_and(|t| matches!(t.r#type.as_str(), "mmap" | "in_ram_mmap"));
        if in_files && !has_folder("payload_storage") {
            lacks.push("payload_storage".to_owned());
        }
        lacks
            .iter()
            .map(|folder| format!("`{folder}` is missing"))
            .collect()
    }

    /// Returns how many files of a name with a number there are, and which of them are shorter than expected.
    fn short(&self, folder: &Path, start: &str, end: &str, expected: u64) -> (u64, Vec<String>) {
        let mut count = 0;
        let mut short = Vec::new();
        let numbered = self.kinds.iter().filter(|(path, _)| {
            path.parent() == Some(folder)
                && path
                    .file_name()
                    .and_then(|n| n.to_str())
                    .and_then(|n| n.strip_prefix(start)?.strip_suffix(end))
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        });
        for (path, kind) in numbered {
            count += 1;
            match kind {
                Kind::File(size) if *size >= expected => {}
                Kind::File(size) => short.push(format!(
                    "`{}` has {size} of {expected} bytes",
                    path.display()
                )),
                _ => short.push(format!("`{}` is no regular file", path.display())),
            }
        }
        (count, short)
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
