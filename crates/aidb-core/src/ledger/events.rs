//! What was done to guards, in the order in which it was done.

use jiff::Timestamp;
use rusqlite::params;

use super::Ledger;
use crate::error::Result;

/// Something that was done to a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `quarantine`, `restore`, `undo`, `accept`, `allow`, `rename`.
    pub kind: String,
    /// What, in one line.
    pub detail: String,
}

impl Ledger {
    /// Notes that something was done.
    pub fn note_event(&mut self, guard: &str, kind: &str, detail: &str) -> Result<()> {
        self.write(
            "insert into event (guard, at, kind, detail) values (?, ?, ?, ?)",
            params![guard, Timestamp::now().to_string(), kind, detail],
        )?;
        Ok(())
    }

    /// Returns what was done to a guard, oldest first.
    pub fn events(&self, guard: &str) -> Result<Vec<Event>> {
        let events = self.rows(
            "select at, kind, detail from event where guard = ? order by id",
            [guard],
            |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?)),
        )?;
        Ok(events
            .into_iter()
            .filter_map(|(at, kind, detail)| {
                Some(Event {
                    at: at.parse().ok()?,
                    kind,
                    detail,
                })
            })
            .collect())
    }
}
