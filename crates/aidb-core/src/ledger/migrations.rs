//! Which migration files were applied to each store.

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::Ledger;
use crate::error::Result;

/// A migration file that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The number that its name begins with.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// BLAKE3 of its content as it was applied.
    pub blake3: String,
    /// When.
    pub applied_at: Timestamp,
    /// How many events of the guard there were: the clock may be set back, and their order stays.
    #[serde(default)]
    pub after: Option<usize>,
}

impl Ledger {
    /// Returns the migration files that were applied to a store, by rising number.
    pub fn migrations(&self, guard: &str, store: &str) -> Result<Vec<Applied>> {
        self.rows(
            "select number, name, blake3, applied_at from migration where guard = ? and store = ? order by number",
            [guard, store],
            |r| {
                Ok(Applied {
                    number: r.get(0)?,
                    name: r.get(1)?,
                    blake3: r.get(2)?,
                    applied_at: r
                        .get::<_, String>(3)?
                        .parse()
                        .unwrap_or(Timestamp::UNIX_EPOCH),
                    after: None,
                })
            },
        )
    }

    /// Makes this the list of migration files that were applied to a store.
    pub fn set_migrations(&mut self, guard: &str, store: &str, applied: &[Applied]) -> Result<()> {
        self.transaction(|transaction| {
            transaction.execute(
                "delete from migration where guard = ? and store = ?",
                [guard, store],
            )?;
            for a in applied {
                transaction.execute(
                    "insert into migration values (?, ?, ?, ?, ?, ?)",
                    params![
                        guard,
                        store,
                        a.number,
                        a.name,
                        a.blake3,
                        a.applied_at.to_string()
                    ],
                )?;
            }
            Ok(())
        })
    }
}
