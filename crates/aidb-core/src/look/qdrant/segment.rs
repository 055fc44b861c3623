//! One segment: the folders and files that it must have, and how long they must be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Look, is_json};
use crate::look::tour::{Kind, Several};

/// How deep the folders of a segment are nested at most.
const SEGMENT_DEPTH: usize = 8;

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
    /// Looks at a segment; returns whether it holds points, `None` if not all of it could be seen.
    pub(super) fn segment(&mut self, path: &Path) -> Option<bool> {
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
