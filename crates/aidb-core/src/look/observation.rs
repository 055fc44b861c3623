//! What looking found: facts, without any word on what they mean.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::application::Application;
use super::fingerprint::{Fingerprint, FolderMark};
use super::seen::Counters;
use super::sqlite::values::ByTable;

/// How far a store was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checked {
    /// Not at all: it is not there, or could not be looked at.
    Nothing,
    /// Names, sizes, headers, the log's checksums, the schema.
    Bytes,
    /// And the structure, without indexes against tables.
    Quick,
    /// And everything that SQLite can check.
    Full,
    /// Unchanged since it was last checked in full.
    Standing,
}

/// What was found in one guard's data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardObservation {
    /// The data folder itself.
    pub folder: Place,
    /// Its stores, in the order of the settings. Empty if the folder could not be entered.
    pub stores: Vec<StoreObservation>,
    /// Whether a file lies here that Open WebUI would rename over its database at the next start.
    pub legacy_database: Option<PathBuf>,
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Absent,
    /// A folder.
    Folder,
    /// A regular file of this many bytes.
    File(u64),
    /// A symbolic link to this.
    Symlink(PathBuf),
    /// A pipe, socket or device.
    Special(&'static str),
    /// Something that may not be looked at, and why.
    Unreadable(String),
}

/// What was found of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreObservation {
    /// The store's name.
    pub name: String,
    /// Its main file or folder on the host.
    pub path: PathBuf,
    /// What lies there.
    pub place: Place,
    /// A companion of its database (`-wal`, `-shm`, `-journal`), relative to the data folder, that is there and no regular file.
    pub odd_companion: Option<(PathBuf, Place)>,
    /// Its database, for the kinds that have one.
    pub database: Option<Database>,
    /// What its application's own files say.
    pub application: Option<Application>,
    /// How far it was checked.
    pub checked: Checked,
    /// What could not be found out, and why.
    pub could_not: Option<String>,
    /// Why there was no room for a private copy, so that only bytes were read.
    pub no_room: Option<String>,
    /// Whether the time was not enough.
    pub deadline_hit: bool,
    /// What tells whether this look still stands later; `None` if it does not last.
    pub fingerprint: Option<Fingerprint>,
    /// The same for the folders of the files that its database names.
    pub folders: Vec<FolderMark>,
}

/// What was found of an SQLite database: on disk, and by opening a private copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// What the main file is.
    pub form: Form,
    /// Bytes of the main file, the log and the journal added up.
    pub size_bytes: u64,
    /// Pages as of the last commit.
    pub pages: u64,
    /// Pages that should be there and are not.
    pub missing_pages: u64,
    /// Bytes after the last page.
    pub trailing_bytes: u64,
    /// Whether the header says WAL mode.
    pub is_wal: bool,
    /// Bytes 24 to 27 of the header.
    pub change_counter: u32,
    /// Bytes 40 to 43 of the header.
    #[serde(default)]
    pub schema_cookie: u32,
    /// The same two as of the last commit, with the log laid over the main file.
    #[serde(default)]
    pub last_commit: Option<Counters>,
    /// When the main file was last written to, nanoseconds since 1970; absent where that was not asked of the original.
    #[serde(default)]
    pub written_ns: Option<i64>,
    /// During which run of the system the original was looked at; absent of a snapshot.
    #[serde(default)]
    pub boot: Option<String>,
    /// BLAKE3 of what the main file holds, where it was read whole and nothing waits in a log or journal; with free
    /// pages it begins with `live:` and leaves them out, and is no hash of the file.
    pub blake3: Option<String>,
    /// BLAKE3 of the main file, whatever lies beside it; absent if it was not read whole.
    #[serde(default)]
    pub main_blake3: Option<String>,
    /// BLAKE3 of a kept copy's main file with its log folded into it, where that was made while SQLite checked it.
    #[serde(skip)]
    pub folded_blake3: Option<String>,
    /// Real tables as of the last commit; `None` if the schema could not be read.
    pub tables: Option<Vec<String>>,
    /// Whether it never held a table, and nothing beside it does.
    pub never_initialised: bool,
    /// Whether it holds no table now, and held some once.
    pub was_emptied: bool,
    /// Why the schema could not be read.
    pub schema_problem: Option<String>,
    /// Parts of the schema that no check may run.
    pub unsafe_schema: Vec<String>,
    /// Commits that lie in the log only.
    pub log: Log,
    /// A rollback journal.
    pub journal: Journal,
    /// What SQLite said of a private copy.
    pub opened: Option<Opened>,
}

/// What a main file is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// It has no bytes.
    #[default]
    Empty,
    /// Something else, which looks like this.
    Other(String),
    /// A database that this SQLite cannot read, and why.
    Unsupported(String),
    /// A database whose header contradicts itself.
    BadHeader(String),
    /// A database.
    Database,
}

/// A write-ahead log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Frames that are part of a commit.
    pub committed_frames: u64,
    /// What its frames carry, to tell one generation from the next.
    pub salts: [u32; 2],
    /// Whether it holds what the main file does not have yet.
    #[serde(default)]
    pub waits: bool,
    /// Why it cannot belong to this database, though it would be applied.
    pub foreign: Option<String>,
    /// What of it cannot be used.
    pub torn: Option<String>,
}

/// A rollback journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Whether a transaction waits to be rolled back.
    pub is_hot: bool,
    /// Why it cannot belong to this database, though it would be applied.
    pub foreign: Option<String>,
    /// What of it cannot be used.
    pub torn: Option<String>,
    /// The super-journal that it names, as the application sees it, and where in the journal the name begins.
    pub super_journal: Option<(String, u64)>,
}

/// What SQLite said of a private copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Why the copy could not be opened or read as a database.
    pub refused: Option<String>,
    /// Problems of the structure.
    pub damaged: Vec<String>,
    /// Indexes, constraints and their rows that disagree.
    pub disagrees: Vec<String>,
    /// Foreign-key violations, where healthy files have none: how many, and the first.
    pub foreign_keys: Option<(u64, String)>,
    /// Rows of each table that could be counted.
    pub rows: BTreeMap<String, u64>,
    /// Values of the revision column.
    pub revision: Vec<String>,
    /// Hashes of the names of the oldest rows.
    pub identity: Vec<String>,
    /// What the columns hold that the application's files are compared with; emptied once they were.
    pub values: ByTable,
}

impl StoreObservation {
    /// Returns what is worth remembering of a healthy look that went deep enough.
    #[must_use]
    pub fn seen(&self) -> Option<crate::look::seen::Seen> {
        match &self.database {
            Some(database) => database.opened.as_ref().map(|_| database.seen()),
            None => self.application.as_ref()?.seen(),
        }
    }
}

impl Database {
    /// Returns whether something is wrong that a moment of somebody's write could also have shown.
    #[must_use]
    pub fn shows_damage(&self) -> bool {
        !matches!(self.form, Form::Database | Form::Empty)
            || self.missing_pages > 0
            || self.schema_problem.is_some()
            || self.log.foreign.is_some()
            || self.journal.foreign.is_some()
            || self.opened.as_ref().is_some_and(|o| {
                o.refused.is_some() || !o.damaged.is_empty() || !o.disagrees.is_empty()
            })
    }

    /// Returns the tables as of the last commit, as SQLite or our own reader saw them.
    #[must_use]
    pub fn table_names(&self) -> &[String] {
        self.tables.as_deref().unwrap_or_default()
    }

    /// Returns the rows of a table, if they were counted.
    #[must_use]
    pub fn rows(&self, table: &str) -> Option<u64> {
        self.opened.as_ref()?.rows.get(table).copied()
    }

    /// Returns what is worth remembering of a healthy look.
    #[must_use]
    pub fn seen(&self) -> crate::look::seen::Seen {
        let opened = self.opened.clone().unwrap_or_default();
        let quiet = !self.is_wal && self.log.committed_frames == 0 && !self.journal.is_hot;
        let content = self.blake3.clone().filter(|_| quiet);
        crate::look::seen::Seen {
            rows: opened.rows,
            revision: opened.revision,
            identity: opened.identity,
            size_bytes: self.size_bytes,
            log: (self.log.committed_frames > 0).then_some(crate::look::seen::LogMark {
                salts: self.log.salts,
                committed_frames: self.log.committed_frames,
                waits: Some(self.log.waits),
                boot: self.boot.clone(),
            }),
            counters: self.last_commit,
            written_ns: self.written_ns,
            main_blake3: self.main_blake3.clone(),
            unsafe_schema: self.unsafe_schema.clone(),
            content: content.map(|blake3| crate::look::seen::Content {
                change_counter: self.change_counter,
                schema_cookie: Some(self.schema_cookie),
                blake3,
            }),
        }
    }
}
