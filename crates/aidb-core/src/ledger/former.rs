//! Where the data of a guard lay before its path was changed: until it is found at the new one, that is where it is.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::params;

use super::Ledger;
use crate::error::Result;
use crate::guard::Guard;

/// The path that a guard had when its data was last found.
pub(super) const TABLE: &str = "
    create table if not exists former (guard text primary key, data text not null, changed_at text not null) strict;
";

impl Ledger {
    /// Returns where a guard's data lay before its path was changed, if it was not found at the new one since.
    pub fn former_data(&self, guard: &Guard) -> Result<Option<PathBuf>> {
        let noted = self.noted_former(&guard.name)?;
        let former = match noted {
            Some(noted) => Some(noted),
            None => self.known_data(&guard.name)?,
        };
        Ok(former.filter(|data| *data != guard.data))
    }

    /// Notes that a guard's path is another one than before. Of several changes the first counts: in between no data was
    /// found. A path that cannot be written as text is not remembered.
    pub(super) fn note_former(&mut self, guard: &Guard) -> Result<()> {
        match self.noted_former(&guard.name)? {
            Some(former) if former == guard.data => self.forget_former(&guard.name),
            Some(_) => Ok(()),
            None => {
                let known = self.known_data(&guard.name)?;
                let Some(known) = known.filter(|data| *data != guard.data) else {
                    return Ok(());
                };
                let Some(text) = known.to_str() else {
                    return Ok(());
                };
                let now = Timestamp::now().to_string();
                let insert = "insert or ignore into former values (?, ?, ?)";
                self.write(insert, params![guard.name, text, now])?;
                Ok(())
            }
        }
    }

    /// Forgets it: the data was found where the guard says that it is.
    pub fn forget_former(&mut self, guard: &str) -> Result<()> {
        // A write that changes nothing would still wait for another tool's.
        if self.noted_former(guard)?.is_some() {
            self.write("delete from former where guard = ?", [guard])?;
        }
        Ok(())
    }

    fn noted_former(&self, guard: &str) -> Result<Option<PathBuf>> {
        let query = "select data from former where guard = ?";
        let found: Vec<String> = self.rows(query, [guard], |r| r.get(0))?;
        Ok(found.into_iter().next().map(PathBuf::from))
    }

    /// Returns the path in the ledger's copy of a guard's settings.
    fn known_data(&self, guard: &str) -> Result<Option<PathBuf>> {
        let query = "select settings from guard where name = ?";
        let found: Vec<String> = self.rows(query, [guard], |r| r.get(0))?;
        let known = found.first().and_then(|s| serde_json::from_str(s).ok());
        Ok(known.map(|guard: Guard| guard.data))
    }
}
