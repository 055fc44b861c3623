//! Pass tokens: one-shot, named permissions to proceed past one held finding.

use jiff::Timestamp;
use rusqlite::params;

use super::Ledger;
use crate::error::Result;
use crate::finding::FindingId;

impl Ledger {
    /// Gives a one-shot permission to proceed past a held finding.
    pub fn give_token(&mut self, guard: &str, finding: FindingId, reason: &str) -> Result<()> {
        self.write(
            "insert into token (guard, finding, reason, given_at) values (?, ?, ?, ?)",
            params![
                guard,
                finding.as_str(),
                reason,
                Timestamp::now().to_string()
            ],
        )?;
        self.note_event(guard, "allow", &format!("{finding}: {reason}"))
    }

    /// Returns the findings of a guard for which an unused permission exists.
    pub fn tokens(&self, guard: &str) -> Result<Vec<FindingId>> {
        let findings: Vec<String> = self.rows(
            "select distinct finding from token where guard = ? and used_at is null",
            [guard],
            |r| r.get(0),
        )?;
        Ok(findings.iter().filter_map(|f| f.parse().ok()).collect())
    }

    /// Uses up one permission; returns whether there was one.
    pub fn use_token(&mut self, guard: &str, finding: FindingId) -> Result<bool> {
        let used = self.write(
            "update token set used_at = ?3 where id =
             (select min(id) from token where guard = ?1 and finding = ?2 and used_at is null)",
            params![guard, finding.as_str(), Timestamp::now().to_string()],
        )?;
        Ok(used == 1)
    }
}
