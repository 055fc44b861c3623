//! What is known of a store from before: the baseline that drift is judged against.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::guard::Contract;
use crate::look::fingerprint::Fingerprint;
use crate::look::observation::Database;

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
}

/// A write-ahead log as of a look. Within one generation (the salts tell) it only grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogMark {
    /// The salts of its header.
    pub salts: [u32; 2],
    /// Frames up to the last commit.
    pub committed_frames: u64,
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

/// What is remembered of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// The last healthy look.
    pub last: Seen,
    /// The most rows that each table had since the state was last accepted. Against it, not against the last look:
    /// else a loss of half, and half of that, would pass.
    pub most_rows: BTreeMap<String, u64>,
    /// When the last healthy look was.
    pub seen_at: Timestamp,
    /// When a person said that the state is right, if one did: older snapshots no longer speak against it.
    #[serde(default)]
    pub accepted_at: Option<Timestamp>,
}

impl Baseline {
    /// Returns a baseline that knows nothing but this look.
    #[must_use]
    pub fn from_look(seen: Seen, at: Timestamp) -> Self {
        Self {
            most_rows: seen.rows.clone(),
            last: seen,
            seen_at: at,
            accepted_at: None,
        }
    }

    /// Adds a later healthy look.
    pub fn remember(&mut self, seen: Seen, at: Timestamp) {
        for (table, rows) in &seen.rows {
            let most = self.most_rows.entry(table.clone()).or_default();
            *most = (*most).max(*rows);
        }
        // A database that was emptied keeps the identity that it had.
        let identity = if seen.identity.is_empty() {
            std::mem::take(&mut self.last.identity)
        } else {
            seen.identity.clone()
        };
        self.last = Seen { identity, ..seen };
        self.seen_at = at;
    }

    /// Returns whether the store was ever seen with data in a table.
    #[must_use]
    pub fn knows_data(&self) -> bool {
        self.last.size_bytes > 0 || !self.most_rows.is_empty()
    }
}

/// A full look against which nothing stood. While the files' fingerprint is the same, it need not be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What was asked of it: another contract asks anew.
    pub contract: Contract,
    /// Of the files that were looked at.
    pub fingerprint: Fingerprint,
    /// What was found.
    pub database: Database,
    /// When.
    pub at: Timestamp,
}

/// Everything that judging may remember about one guard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// By the store's name.
    pub stores: BTreeMap<String, Baseline>,
    /// Looks that may still stand, by the store's name.
    pub standing: BTreeMap<String, Standing>,
    /// The newest proven snapshot that is not suspicious.
    pub proven: Option<KnownSnapshot>,
    /// Stores of which a snapshot that nobody has proven holds tables.
    pub kept_unproven: BTreeSet<String>,
    /// Why nothing may be concluded from the absence of memories, if that is so.
    pub unknown: Option<String>,
}

/// A snapshot as findings speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSnapshot {
    /// `GUARD/NAME`.
    pub id: String,
    /// When it was captured.
    pub taken_at: Timestamp,
    /// Sizes of its files added up.
    pub size_bytes: u64,
    /// Which stores it holds, with the rows of their tables.
    pub stores: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Memory {
    /// Returns what is known of a store from before.
    #[must_use]
    pub fn of(&self, store: &str) -> Option<&Baseline> {
        self.stores.get(store)
    }

    /// Returns whether a store is known, by the ledger or the vault, to have held data.
    #[must_use]
    pub fn knows_data(&self, store: &str) -> bool {
        let baseline = self.of(store);
        let accepted_at = baseline.and_then(|b| b.accepted_at);
        let in_vault = self.proven.as_ref().is_some_and(|s| {
            s.stores.contains_key(store) && accepted_at.is_none_or(|at| s.taken_at > at)
        });
        let unproven = accepted_at.is_none() && self.kept_unproven.contains(store);
        in_vault || unproven || baseline.is_some_and(Baseline::knows_data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(chats: u64) -> Seen {
        Seen {
            rows: [("chat".to_owned(), chats)].into(),
            identity: vec!["a".into()],
            ..Seen::default()
        }
    }

    #[test]
    fn the_high_water_mark_stays_when_the_water_falls() {
        let mut baseline = Baseline::from_look(seen(40), Timestamp::UNIX_EPOCH);
        for chats in [60, 31, 20] {
            baseline.remember(seen(chats), Timestamp::UNIX_EPOCH);
        }
        assert_eq!(
            (baseline.most_rows["chat"], baseline.last.rows["chat"]),
            (60, 20)
        );
    }

    #[test]
    fn an_emptied_database_keeps_its_identity() {
        let mut baseline = Baseline::from_look(seen(1), Timestamp::UNIX_EPOCH);
        baseline.remember(
            Seen {
                identity: Vec::new(),
                ..seen(0)
            },
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(baseline.last.identity, ["a"]);
    }
}
