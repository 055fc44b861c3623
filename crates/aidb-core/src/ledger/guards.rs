//! Copies of guards' settings, for units that outlive the settings that made them.

use jiff::Timestamp;
use rusqlite::params;

use super::Ledger;
use crate::error::Result;
use crate::guard::Guard;

impl Ledger {
    /// Keeps a copy of a guard's settings, for hooks of a unit that outlives them.
    pub fn note_guard(&mut self, guard: &Guard) -> Result<()> {
        let settings = serde_json::to_string(guard).expect("a guard has only string keys");
        self.write(
            "insert or replace into guard values (?, ?, ?)",
            params![guard.name, settings, Timestamp::now().to_string()],
        )?;
        Ok(())
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
