//! Findings: judged facts with stable ids. The list is closed: ids are added, never renamed.

mod verdict;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::words::nearest;

pub use verdict::Verdict;

/// One judged fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The stable id.
    pub id: FindingId,
    /// How much it matters.
    pub severity: Severity,
    /// The store it was found in, if it is about one.
    pub store: Option<String>,
    /// The file or folder on the host, if it is about one.
    pub path: Option<PathBuf>,
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// What was seen: numbers with units, names, times.
    pub evidence: Option<String>,
    /// What to do next, in order of preference.
    pub next: Vec<Step>,
}

impl Finding {
    /// Returns a finding about a whole guard.
    #[must_use]
    pub fn of_guard(id: FindingId, severity: Severity, what: &str) -> Self {
        Self {
            id,
            severity,
            store: None,
            path: None,
            what: what.to_owned(),
            evidence: None,
            next: Vec::new(),
        }
    }

    /// Returns whether it says that something may not be read by whoever looks.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let denied = |text: &str| text.contains("ermission denied");
        self.id == FindingId::StoreUnreadable
            || (self.id == FindingId::CheckCouldNot
                && (denied(&self.what) || self.evidence.as_deref().is_some_and(denied)))
    }

    /// Returns what this finding alone would make the verdict.
    ///
    /// Not having been able to find out is no pass, and no hold either.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let could_not = matches!(
            self.id,
            FindingId::CheckCouldNot | FindingId::CheckDeadline | FindingId::StoreUnreadable
        );
        match self.severity {
            Severity::Warn if could_not => Verdict::Unknown,
            severity => severity.into(),
        }
    }
}

/// One next step: what it does, and the `aidb` arguments that do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What the command does, such as `bring it back`.
    pub purpose: String,
    /// The arguments after `aidb`; none where no command of ours does it.
    pub arguments: Vec<String>,
}

impl Step {
    /// Returns a step from its purpose and arguments.
    #[must_use]
    pub fn new(purpose: &str, arguments: &[&str]) -> Self {
        Self {
            purpose: purpose.to_owned(),
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        }
    }

    /// Returns a step that a person does, not a command of ours.
    #[must_use]
    pub fn by_hand(purpose: String) -> Self {
        Self {
            purpose,
            arguments: Vec::new(),
        }
    }

    /// Returns whether a command of ours does it.
    #[must_use]
    pub fn is_command(&self) -> bool {
        !self.arguments.is_empty()
    }
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Should be looked at.
    Warn,
    /// The container must not start on this.
    Hold,
}

macro_rules! ids {
    ($($variant:ident $name:literal $doc:literal),+ $(,)?) => {
        /// The closed list of finding ids.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum FindingId {
            $(#[doc = $doc] #[serde(rename = $name)] $variant,)+
        }

        impl FindingId {
            /// Every id, in the order of the README's list.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the id as users and programs know it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns what the id means, in one line.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }
            }
        }
    };
}

ids! {
    StoreMissing "store.missing" "the store's file or folder does not exist",
    StoreUnreadable "store.unreadable" "the store exists but may not be read",
    StoreSpecialFile "store.special-file" "a folder, pipe, socket or device stands where a file belongs",
    StoreSymlink "store.symlink" "a symbolic link stands where a file belongs; it is not followed",
    SqliteEmptyFile "sqlite.empty-file" "the database file has 0 bytes: to SQLite a valid, empty database",
    SqliteNoTables "sqlite.no-tables" "a valid database without a single table",
    SqliteNotSqlite "sqlite.not-sqlite" "the file is not an SQLite database",
    SqliteTruncated "sqlite.truncated" "the file is shorter than its header says",
    SqliteDamaged "sqlite.damaged" "the database's structure is damaged",
    SqliteIndexDisagrees "sqlite.index-disagrees" "an index and its table, or a constraint and its rows, disagree",
    SqliteForeignKey "sqlite.foreign-key" "rows refer to rows that do not exist",
    SqliteUnsafeSchema "sqlite.unsafe-schema" "the schema holds code that no check may run",
    SqliteWalForeign "sqlite.wal-foreign" "the write-ahead log belongs to another database and would be applied",
    SqliteWalTorn "sqlite.wal-torn" "the write-ahead log ends in frames that cannot be used",
    SqliteWalMissing "sqlite.wal-missing" "a write-ahead log that held commits is gone",
    SqliteJournalHot "sqlite.journal-hot" "an interrupted transaction waits to be rolled back",
    SqliteJournalForeign "sqlite.journal-foreign" "the rollback journal does not belong to this database",
    SqliteJournalSuper "sqlite.journal-super" "the rollback journal is part of a commit over several databases",
    SqliteUnsupported "sqlite.unsupported" "the database needs a newer SQLite than this one",
    ContractTableMissing "contract.table-missing" "a table is missing without which the application has lost its data",
    ContractRowsShrunk "contract.rows-shrunk" "a table has far fewer rows than it had",
    ContractOtherDatabase "contract.other-database" "this is another database than the one known before",
    ContractOlderCopy "contract.older-copy" "the database is an older state than the one known before",
    ContractHalfMigrated "contract.half-migrated" "a schema migration stopped half-way",
    ContractRevisionUnknown "contract.revision-unknown" "the schema's revision is ambiguous or unknown",
    ChromaIndexMissing "chroma.index-missing" "a persisted vector segment has no index on disk",
    ChromaIndexTruncated "chroma.index-truncated" "a vector index file is shorter than its own header says",
    OllamaBlobMissing "ollama.blob-missing" "a manifest names a blob that does not exist",
    OllamaBlobSize "ollama.blob-size" "a blob has another size than its manifest says",
    OllamaBlobHash "ollama.blob-hash" "a blob's content does not match its name",
    OllamaManifestBad "ollama.manifest-bad" "a manifest cannot be read",
    OllamaNoManifests "ollama.no-manifests" "blobs without a manifest: the server deletes them at its next start",
    QdrantSegmentBad "qdrant.segment-bad" "a segment is incomplete or has files of the wrong size",
    QdrantJsonBad "qdrant.json-bad" "a JSON file of the store cannot be parsed",
    QdrantWalBad "qdrant.wal-bad" "a shard's write-ahead log is missing or not one",
    UploadsFileMissing "uploads.file-missing" "the database names uploaded files that do not exist",
    OpenwebuiLegacyDb "openwebui.legacy-db" "an `ollama.db` here would be renamed over `webui.db` at the next start",
    MountAbsent "mount.absent" "the data path is on no volume: it would be written to the container's own layer",
    MountOther "mount.other" "the container's data path is another folder than the one guarded",
    ImageOlderThanData "image.older-than-data" "the image is older than the schema of the data",
    LayerWrites "layer.writes" "the container wrote outside its volumes",
    LayerDatabase "layer.database" "a database lies in the container's own layer and goes with it",
    ContainerRecreated "container.recreated" "the container was recreated unexpectedly",
    ContainerMissing "container.missing" "the container should run and does not exist",
    ContainerCrashLoop "container.crash-loop" "the container fails and is started again and again",
    UnitFailed "unit.failed" "the unit that runs it, or one of aidb's own, failed",
    SnapshotNoneProven "snapshot.none-proven" "there is no proven snapshot",
    SnapshotStale "snapshot.stale" "the newest proven snapshot is old",
    SnapshotHash "snapshot.hash" "a snapshot's files differ from its manifest",
    SnapshotNoSecondCopy "snapshot.no-second-copy" "every copy lies on the same disk",
    RestoreUnfinished "restore.unfinished" "a restore was interrupted",
    SpaceLow "space.low" "too little space is free to keep snapshots",
    SpaceGrowth "space.growth" "the data would fill its filesystem at the pace at which it grows",
    CheckDeadline "check.deadline" "the time was not enough to find out",
    CheckCouldNot "check.could-not" "it could not be found out",
}

impl std::fmt::Display for FindingId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for FindingId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|id| id.as_str() == text)
            .ok_or_else(|| {
                let near = nearest(text, Self::ALL.iter().map(|id| id.as_str()));
                let hint = near
                    .map(|n| format!(", did you mean `{n}`?"))
                    .unwrap_or_default();
                format!("no finding is called `{text}`{hint}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_every_finding_with_its_meaning() {
        let readme = include_str!("../../../../README.md");
        for id in FindingId::ALL {
            let line = format!("| `{id}` | {} |", id.meaning());
            assert!(readme.contains(&line), "README.md lacks: {line}");
        }
    }

    #[test]
    fn a_mistyped_finding_is_answered_with_the_nearest() {
        let told = "sqlite.no-table".parse::<FindingId>().unwrap_err();
        assert_eq!(
            told,
            "no finding is called `sqlite.no-table`, did you mean `sqlite.no-tables`?"
        );
    }
}
