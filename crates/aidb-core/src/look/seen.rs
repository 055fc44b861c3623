//! What of a look is worth remembering.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a healthy look at a store found; the part of it that is worth remembering.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Rows of each table.
    pub rows: BTreeMap<String, u64>,
    /// The schema's revision.
    pub revision: Vec<String>,
    /// Hashes of the names of the oldest rows.
    pub identity: Vec<String>,
    /// Sizes of the store's files added up.
    pub size_bytes: u64,
    /// How far the write-ahead log reached, if there was one.
    #[serde(default)]
    pub log: Option<LogMark>,
    /// The main file's content, where it can be told apart from a later legitimate one.
    pub content: Option<Content>,
    /// How far the database had counted as of its last commit.
    #[serde(default)]
    pub counters: Option<Counters>,
    /// When the main file was last written to, nanoseconds since 1970.
    #[serde(default)]
    pub written_ns: Option<i64>,
    /// BLAKE3 of the main file, whatever waited beside it.
    #[serde(default)]
    pub main_blake3: Option<String>,
    /// Parts of the schema that no check may run.
    #[serde(default)]
    pub unsafe_schema: Vec<String>,
}

impl Seen {
    /// Forgets what speaks of the files' bytes: they were replaced since.
    pub(crate) fn forget_bytes(&mut self) {
        self.log = None;
        self.content = None;
        self.counters = None;
        self.written_ns = None;
        self.main_blake3 = None;
    }
}

/// What a database counts for itself (SQLite file format, 1.3.6 and 1.3.9). In one file neither ever goes back: not by
/// VACUUM, a change of the journal mode, a checkpoint, or a restore through SQLite's backup interface. A file that was made
/// anew begins anew, but for the schema's count in what `VACUUM INTO` makes, which goes on from the source's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Counts transactions; in WAL mode only those that change the first page.
    pub change: u32,
    /// Counts changes of the schema.
    pub schema: u32,
}

impl Counters {
    /// Returns whether these are further back than `before`; the counters may wrap.
    #[must_use]
    pub fn went_back(self, before: Self) -> bool {
        let ahead =
            |now: u32, before: u32| now != before && now.wrapping_sub(before) <= u32::MAX / 2;
        let behind = |now: u32, before: u32| now != before && !ahead(now, before);
        behind(self.schema, before.schema)
            || (behind(self.change, before.change) && !ahead(self.schema, before.schema))
    }
}

/// A write-ahead log as of a look. Within one generation (the salts tell) it only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// The salts of its header.
    pub salts: [u32; 2],
    /// Frames up to the last commit.
    pub committed_frames: u64,
    /// Whether it held what the main file did not have yet; `None` if an older version of this program remembered it.
    #[serde(default)]
    pub waits: Option<bool>,
    /// During which run of the system that was; `None` if it was seen in a snapshot.
    #[serde(default)]
    pub boot: Option<String>,
}

/// A database's main file as of a change counter. Every rollback-mode transaction counts it up, so other bytes under
/// the same counter are damage (SQLite file format, 1.3.7), unless the file was made anew: in what `VACUUM INTO` makes, the
/// counter begins anew, and the schema cookie goes on from the source's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes 24 to 27 of the header.
    pub change_counter: u32,
    /// Bytes 40 to 43 of the header; `None` if an older version of this program remembered it.
    #[serde(default)]
    pub schema_cookie: Option<u32>,
    /// BLAKE3 of the main file.
    pub blake3: String,
}
