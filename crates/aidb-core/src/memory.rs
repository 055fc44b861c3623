//! What is known of a store from before: the baseline that drift is judged against.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::look::seen::Seen;
use crate::look::standing::Standing;

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
    /// When we ourselves last replaced the state: what was captured before speaks of another one.
    #[serde(default)]
    pub replaced_at: Option<Timestamp>,
    /// Whether that was a restore, and nothing was looked at since. The next healthy look is all that is known then: what
    /// a person chose to bring back is no loss.
    #[serde(default)]
    pub begins_anew: bool,
    /// What the main file was at earlier healthy looks, oldest first.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
}

/// A main file as it was at an earlier look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// BLAKE3 of it.
    pub blake3: String,
    /// When.
    pub seen_at: Timestamp,
}

/// How many earlier states of a main file are remembered.
const MOST_EARLIER: usize = 32;

impl Baseline {
    /// Returns a baseline that knows nothing but this look.
    #[must_use]
    pub fn from_look(seen: Seen, at: Timestamp) -> Self {
        Self {
            most_rows: seen.rows.clone(),
            last: seen,
            seen_at: at,
            accepted_at: None,
            replaced_at: None,
            begins_anew: false,
            earlier: Vec::new(),
        }
    }

    /// Notes that we replaced the state: by a restore, or by undoing one, which brings back what was known before.
    pub fn replace(&mut self, at: Timestamp, by_restore: bool) {
        self.last.forget_bytes();
        self.earlier.clear();
        self.replaced_at = Some(at);
        self.begins_anew = by_restore;
    }

    /// Returns what may be said against a capture. What was looked at later had counted and written further.
    #[must_use]
    pub fn before_capture(&self, taken_at: Timestamp) -> Self {
        let mut known = self.clone();
        if taken_at < known.seen_at {
            known.last.forget_bytes();
            known.earlier.clear();
        }
        known
    }

    /// Adds what a capture showed that was proven later. It may be older than what is known.
    pub fn remember_capture(&mut self, seen: Seen, taken_at: Timestamp) {
        if self.replaced_at.is_some_and(|at| taken_at < at) {
            return;
        }
        if taken_at < self.seen_at {
            self.raise(&seen);
        } else {
            self.remember(seen, taken_at);
        }
    }

    /// Adds a later healthy look.
    pub fn remember(&mut self, seen: Seen, at: Timestamp) {
        if std::mem::take(&mut self.begins_anew) {
            self.most_rows.clear();
            self.last.identity.clear();
        }
        self.raise(&seen);
        if let Some(blake3) = self.last.main_blake3.take()
            && seen.main_blake3.as_ref() != Some(&blake3)
        {
            self.earlier.retain(|e| e.blake3 != blake3);
            let seen_at = self.seen_at;
            self.earlier.push(Earlier { blake3, seen_at });
            let surplus = self.earlier.len().saturating_sub(MOST_EARLIER);
            self.earlier.drain(..surplus);
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

    fn raise(&mut self, seen: &Seen) {
        for (table, rows) in &seen.rows {
            let most = self.most_rows.entry(table.clone()).or_default();
            *most = (*most).max(*rows);
        }
    }

    /// Returns whether the store was ever seen with data in a table.
    #[must_use]
    pub fn knows_data(&self) -> bool {
        self.last.size_bytes > 0 || !self.most_rows.is_empty()
    }
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
    /// What was rescued of a store from its container's layer, and holds tables; by the store's name.
    pub rescued: BTreeMap<String, KnownRescue>,
    /// When the system was started, if that is known.
    pub booted_at: Option<Timestamp>,
    /// Which run of the system this is.
    pub boot: Option<String>,
    /// Where its data lay, if its path was changed and it was not found at the new one since.
    pub former: Option<Former>,
    /// Why nothing may be concluded from the absence of memories, if that is so.
    pub unknown: Option<String>,
}

/// A data folder that a guard had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// On the host.
    pub data: PathBuf,
    /// Whether the folder is still there.
    pub is_there: bool,
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

/// A rescue as findings speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRescue {
    /// `GUARD/rescue/NAME`.
    pub id: String,
    /// Its place among the guard's rescues.
    pub sequence: u64,
    /// When it was kept.
    pub taken_at: Timestamp,
    /// How many tables its database has; unknown if that could not be read.
    pub tables: Option<u64>,
}

impl Memory {
    /// Returns what is known of a store from before.
    #[must_use]
    pub fn of(&self, store: &str) -> Option<&Baseline> {
        self.stores.get(store)
    }

    /// Returns what may be said against a capture that is proven now.
    #[must_use]
    pub fn before_capture(&self, taken_at: Timestamp) -> Self {
        let stores = self.stores.iter();
        Self {
            stores: stores
                .map(|(name, baseline)| (name.clone(), baseline.before_capture(taken_at)))
                .collect(),
            ..self.clone()
        }
    }

    /// Returns what was rescued of a store since its state was last accepted.
    #[must_use]
    pub fn rescued_of(&self, store: &str) -> Option<&KnownRescue> {
        let accepted_at = self.of(store).and_then(|b| b.accepted_at);
        let rescued = self.rescued.get(store)?;
        accepted_at
            .is_none_or(|at| rescued.taken_at > at)
            .then_some(rescued)
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
        in_vault
            || unproven
            || self.rescued_of(store).is_some()
            || baseline.is_some_and(Baseline::knows_data)
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
