//! What is known of each store from before: baselines, and full looks that may still stand.

use jiff::Timestamp;
use rusqlite::OptionalExtension as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Ledger;
use crate::error::Result;
use crate::look::seen::Seen;
use crate::look::standing::Standing;
use crate::memory::Baseline;

impl Ledger {
    /// Returns what is known of a store from before.
    pub fn baseline(&self, guard: &str, store: &str) -> Result<Option<Baseline>> {
        self.document("baseline", guard, store)
    }

    /// Adds a healthy look to what is known of a store.
    pub fn remember(&mut self, guard: &str, store: &str, seen: Seen, at: Timestamp) -> Result<()> {
        let baseline = match self.baseline(guard, store)? {
            Some(mut baseline) => {
                baseline.remember(seen, at);
                baseline
            }
            None => Baseline::from_look(seen, at),
        };
        self.put_document("baseline", guard, store, &baseline)
    }

    /// Adds what a capture showed that was proven later.
    pub fn remember_capture(
        &mut self,
        guard: &str,
        store: &str,
        seen: Seen,
        taken_at: Timestamp,
    ) -> Result<()> {
        let baseline = match self.baseline(guard, store)? {
            Some(mut baseline) => {
                baseline.remember_capture(seen, taken_at);
                baseline
            }
            None => Baseline::from_look(seen, taken_at),
        };
        self.put_document("baseline", guard, store, &baseline)
    }

    /// Makes a look the whole of what is known: the present state is right.
    pub fn accept(&mut self, guard: &str, store: &str, seen: Seen, at: Timestamp) -> Result<()> {
        let baseline = Baseline {
            accepted_at: Some(at),
            ..Baseline::from_look(seen, at)
        };
        self.put_document("baseline", guard, store, &baseline)
    }

    /// Notes that the data was replaced by another state, by a `restore` or an `undo`: what was known of bytes was of
    /// the former one. The new one may come to the same change counter by other transactions, and that is no damage.
    pub fn note_replaced(&mut self, guard: &str, kind: &str, detail: &str) -> Result<()> {
        self.note_replaced_in(guard, kind, detail, |_| true)
    }

    /// The same, where only some of the stores were replaced.
    pub fn note_replaced_in(
        &mut self,
        guard: &str,
        kind: &str,
        detail: &str,
        is_of: impl Fn(&str) -> bool,
    ) -> Result<()> {
        self.note_event(guard, kind, detail)?;
        let now = Timestamp::now();
        let stores: Vec<String> =
            self.rows("select store from baseline where guard = ?", [guard], |r| {
                r.get(0)
            })?;
        for store in stores.into_iter().filter(|s| is_of(s)) {
            if let Some(mut baseline) = self.baseline(guard, &store)? {
                baseline.replace(now, kind == "restore");
                self.put_document("baseline", guard, &store, &baseline)?;
            }
        }
        Ok(())
    }

    /// Keeps a whole look.
    pub fn note_standing(&mut self, guard: &str, store: &str, standing: &Standing) -> Result<()> {
        self.put_document("standing", guard, store, standing)
    }

    /// Returns a look that may still stand.
    pub fn standing(&self, guard: &str, store: &str) -> Result<Option<Standing>> {
        self.document("standing", guard, store)
    }

    /// Reads a document of a store; one that cannot be read is forgotten: the next healthy look writes it anew.
    fn document<T: DeserializeOwned>(
        &self,
        table: &str,
        guard: &str,
        store: &str,
    ) -> Result<Option<T>> {
        let query = format!("select document from {table} where guard = ? and store = ?");
        let text: Option<String> = self
            .db
            .query_row(&query, [guard, store], |r| r.get(0))
            .optional()
            .map_err(self.doing("read"))?;
        Ok(text.and_then(|t| serde_json::from_str(&t).ok()))
    }

    fn put_document(
        &mut self,
        table: &str,
        guard: &str,
        store: &str,
        document: &impl Serialize,
    ) -> Result<()> {
        let document =
            serde_json::to_string(document).expect("documents of the ledger have only string keys");
        let insert = format!("insert or replace into {table} values (?, ?, ?)");
        self.write(&insert, [guard, store, &document])?;
        Ok(())
    }
}
