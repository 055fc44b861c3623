//! Copies of guards' settings, for units that outlive the settings that made them.

use jiff::Timestamp;
use rusqlite::params;

use super::Ledger;
use crate::error::Result;
use crate::guard::Guard;

impl Ledger {
    /// Keeps a copy of a guard's settings, for hooks of a unit that outlives them.
    pub fn note_guard(&mut self, guard: &Guard) -> Result<()> {
        // One whose path is no UTF-8 cannot be written down, and is not remembered.
        let Ok(settings) = serde_json::to_string(guard) else {
            return Ok(());
        };
        // Every check comes here: a write is synced, and takes longer than all the rest of a look that stands.
        let query = "select settings from guard where name = ?";
        let known: Vec<String> = self.rows(query, [&guard.name], |r| r.get(0))?;
        if known.first() == Some(&settings) {
            return Ok(());
        }
        self.note_former(guard)?;
        self.write(
            "insert or replace into guard values (?, ?, ?)",
            params![guard.name, settings, Timestamp::now().to_string()],
        )?;
        Ok(())
    }

    /// Returns whether anything of a guard's stores is remembered.
    pub fn remembers(&self, guard: &str) -> Result<bool> {
        let query = "select 1 from baseline where guard = ? limit 1";
        Ok(!self.rows(query, [guard], |_| Ok(()))?.is_empty())
    }

    /// Gives all that is remembered of a guard to another name. Its settings stay under the former one as well: a unit
    /// that was made before may still call it so.
    pub fn rename(&mut self, former: &str, name: &str) -> Result<()> {
        self.transaction(|transaction| {
            // Every table that speaks of guards does so in a column of this name.
            let tables: Vec<String> = transaction
                .prepare(
                    "select m.name from sqlite_schema m, pragma_table_info(m.name) c
                     where m.type = 'table' and c.name = 'guard'",
                )?
                .query_map([], |r| r.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            for table in tables {
                let update =
                    format!("update or ignore \"{table}\" set guard = ?2 where guard = ?1");
                transaction.execute(&update, [former, name])?;
            }
            Ok(())
        })?;
        self.note_event(name, "rename", former)
    }

    /// Returns the guards that were known at any time, by name.
    pub fn guards(&self) -> Result<Vec<Guard>> {
        let settings: Vec<String> =
            self.rows("select settings from guard order by name", [], |r| r.get(0))?;
        Ok(settings
            .iter()
            .filter_map(|s| serde_json::from_str(s).ok())
            .collect())
    }
}
