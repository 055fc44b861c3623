//! What is protected: guards, their stores, and the contract that a healthy store shows.
//!
//! These are checked values: `settings` and `discover` make them, everything else only reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One protected data folder of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// Named like the container; a second folder of the same container is `NAME.PRESET`, and the folder of a database
    /// that a variable has moved `NAME.STORE`.
    pub name: String,
    /// The container's own name (`--name`).
    pub container: String,
    /// The systemd user unit that runs it, such as `podman-open-webui.service`.
    pub unit: Option<String>,
    /// The data folder on the host, absolute.
    pub data: PathBuf,
    /// Where the container sees the data folder, absolute.
    pub mount: Option<PathBuf>,
    /// The catalog entry that supplied stores, contracts and excludes.
    pub preset: Option<String>,
    /// Glob patterns, relative to the data folder, of what is not kept (caches).
    pub exclude: Vec<String>,
    /// The data stores inside the folder, by name.
    pub stores: Vec<Store>,
    /// What to do about findings.
    pub policy: Policy,
    /// Folders of migrations (`NNNN_name.sql`) on the host, absolute, by store.
    #[serde(default)]
    pub migrations: BTreeMap<String, PathBuf>,
    /// Other host folders that the container sees below `mount`: what is under that path in `data` is not what the
    /// container reads, and a copy of `data` does not hold it.
    #[serde(default)]
    pub nested: Vec<NestedMount>,
}

/// A mount below a guard's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NestedMount {
    /// Where the container sees it, relative to the guard's mount.
    pub below: PathBuf,
    /// The folder on the host, absolute; none if it has none (memory, an anonymous volume).
    pub host: Option<PathBuf>,
}

#[cfg(test)]
impl Guard {
    /// A guard of a folder with nothing said about it.
    pub(crate) fn of_folder(name: &str, data: &std::path::Path) -> Self {
        Self {
            name: name.into(),
            container: name.into(),
            unit: None,
            data: data.to_owned(),
            mount: None,
            preset: None,
            exclude: Vec::new(),
            stores: Vec::new(),
            policy: Policy::default(),
            migrations: BTreeMap::new(),
            nested: Vec::new(),
        }
    }

    /// The same with one database, `webui.db`.
    pub(crate) fn of_database(name: &str, data: &std::path::Path) -> Self {
        Self {
            stores: vec![Store {
                name: "chats".into(),
                kind: StoreKind::Sqlite,
                path: "webui.db".into(),
                optional: false,
                contract: Contract::default(),
            }],
            ..Self::of_folder(name, data)
        }
    }
}

impl Guard {
    /// Returns the absolute path of a store's main file or folder on the host.
    #[must_use]
    pub fn store_path(&self, store: &Store) -> PathBuf {
        if store.path == Path::new(".") {
            self.data.clone()
        } else {
            self.data.join(&store.path)
        }
    }
}

/// One data store inside a guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Store {
    /// Its name within the guard, such as `chats`.
    pub name: String,
    /// Which application's format it is.
    pub kind: StoreKind,
    /// Relative to the data folder; `.` is the folder itself.
    pub path: PathBuf,
    /// Whether a healthy guard may lack it (a vector database that is only made on first use).
    pub optional: bool,
    /// What it must show.
    pub contract: Contract,
}

/// The formats that `look` knows.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// One SQLite database file with its `-wal` or `-journal`.
    Sqlite,
    /// Chroma: `chroma.sqlite3` and a folder for each persisted vector segment.
    Chroma,
    /// Ollama: manifests and the blobs they name.
    Ollama,
    /// Qdrant: collections, shards, segments.
    Qdrant,
    /// Plain files.
    Files,
}

/// What a healthy store must show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// Tables (real ones, no views) without which the application has lost its data.
    pub tables: Vec<String>,
    /// Tables that must be there once another one is: key present implies all of the values.
    pub tables_when: BTreeMap<String, Vec<String>>,
    /// Tables that a finished migration leaves once another one is there; without them one has stopped half-way.
    #[serde(default)]
    pub expected_when: BTreeMap<String, Vec<String>>,
    /// Tables whose row count never falls below its high-water mark.
    pub never_shrink: Vec<String>,
    /// Tables whose row count may fall by at most this many percent of its high-water mark.
    pub max_shrink_percent: BTreeMap<String, u8>,
    /// Where the schema's revision is written.
    pub revision: Option<Column>,
    /// Revisions in the order in which the application went through them, oldest first; may be incomplete.
    pub known_revisions: Vec<String>,
    /// Tables that show that this application's migrations were at work here.
    pub migration_tables: Vec<String>,
    /// Names of tables (`*` matches any run of characters) that only an unfinished migration leaves.
    pub half_migrated: Vec<String>,
    /// The rows that tell this database from another one of the same application.
    pub identity: Option<Identity>,
    /// Whether healthy files of this application have no foreign-key violations.
    pub foreign_keys: bool,
    /// Table and column that name files (as the container sees them) which must exist.
    pub files: Option<Column>,
}

/// One column of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// The table's name.
    pub table: String,
    /// The column's name.
    pub column: String,
}

/// The rows that tell one database from another: the oldest few of a table that lives as long as the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The table's name.
    pub table: String,
    /// The column that names a row for good.
    pub column: String,
    /// The column by which the oldest rows come first.
    pub oldest_by: String,
}

/// What to do about what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// A database that never held a table, with no history.
    pub uninitialised: Uninitialised,
    /// A store that is gone although the ledger or the vault knows data.
    pub missing: Reaction,
    /// A store that cannot be read as what it is.
    pub damaged: Damaged,
    /// Rows lost, another database than before.
    pub shrunken: Reaction,
    /// A data path that is not the mount it should be.
    pub mount: Reaction,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            uninitialised: Uninitialised::Quarantine,
            missing: Reaction::Hold,
            damaged: Damaged::Hold,
            shrunken: Reaction::Warn,
            mount: Reaction::Hold,
        }
    }
}

/// What a start does about a never-initialised database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Uninitialised {
    /// Move it aside, then pass.
    Quarantine,
    /// Hold the start.
    Hold,
    /// Say it and pass.
    Warn,
}

/// What a start does about a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damaged {
    /// Hold the start.
    Hold,
    /// Restore the newest proven snapshot, then pass.
    Restore,
    /// Say it and pass.
    Warn,
}

/// Hold, or say it and pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// Hold.
    Hold,
    /// Say it and pass.
    Warn,
}
