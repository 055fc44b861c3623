//! Which migration files were applied to each store.

use jiff::Timestamp;
use rusqlite::params;

use super::Ledger;
use crate::error::Result;
use crate::migrate::Applied;

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
