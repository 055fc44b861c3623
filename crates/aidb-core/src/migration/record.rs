//! Which files were applied: in the ledger, and in a copy in the vault from which a lost ledger learns it again.
//!
//! A restore brings back a database from before some of them: those are then not applied any more.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext, Result};
use crate::guard::{Guard, Store};
use crate::ledger::{Applied, Event};

use crate::stack::Stack;
use crate::vault::publish::write_json;

/// The version of the copy's format.
const FORMAT: u32 = 1;

/// What is known of a store's migrations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    format: u32,
    /// By rising number.
    pub applied: Vec<Applied>,
    /// The file that is being applied: the written intent.
    pub pending: Option<Pending>,
}

/// A file that is being applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub file: String,
    /// What brings back the state before.
    pub snapshot: Option<String>,
    pub began_at: Timestamp,
    /// How many events of the guard there were: the clock may be set back, and their order stays.
    #[serde(default)]
    pub after: Option<usize>,
}

impl Record {
    /// Returns the file that was being applied when a migration of the store was killed.
    pub(crate) fn pending(
        stack: &mut Stack,
        guard: &Guard,
        store: &Store,
    ) -> Result<Option<Pending>> {
        // Most databases are never migrated by us.
        if !copy_path(stack, guard, store).exists() {
            return Ok(None);
        }
        Ok(Self::read(stack, guard, store)?.pending)
    }

    pub(crate) fn read(stack: &mut Stack, guard: &Guard, store: &Store) -> Result<Self> {
        let path = copy_path(stack, guard, store);
        let mut record = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Self>(&text)
                .map_err(std::io::Error::from)
                .doing("understand", &path)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(e) => return Err(e).doing("read", &path),
        };
        if record.format > FORMAT {
            return Err(Error::CouldNot {
                what: format!(
                    "`{}` was written by a newer version of aidb",
                    path.display()
                ),
                hint: None,
            });
        }
        let ledger = stack.ledger()?;
        let remembered = ledger.migrations(&guard.name, &store.name)?;
        // The copy is written first: it is never behind, unless it was lost.
        if record.applied.len() < remembered.len() {
            record.applied = remembered;
        }
        let events = ledger.events(&guard.name)?;
        let snapshots = stack.vault.snapshots(&guard.name)?;
        let restores = restores(&events, &store.path, |id| {
            let snapshot = snapshots.iter().find(|s| s.id() == id)?;
            Some(snapshot.summary.taken_at)
        });
        record.applied = in_effect(record.applied, &restores);
        record.pending = record
            .pending
            .filter(|p| !restores.iter().any(|r| r.is_later(p.began_at, p.after)))
            .filter(|p| p.snapshot.is_some() || guard.data.join(&store.path).exists());
        Ok(record)
    }

    pub(crate) fn write(&mut self, stack: &mut Stack, guard: &Guard, store: &Store) -> Result<()> {
        self.format = FORMAT;
        crate::folder::make(&stack.vault.guard_folder(&guard.name))?;
        write_json(&copy_path(stack, guard, store), self)?;
        stack
            .ledger()?
            .set_migrations(&guard.name, &store.name, &self.applied)
    }
}

fn copy_path(stack: &Stack, guard: &Guard, store: &Store) -> PathBuf {
    let name = format!("migrations-{}-{}.json", guard.name, store.name);
    stack.vault.guard_folder(&guard.name).join(name)
}

/// A restore that stands.
struct Restore {
    /// Its place among the events of the guard.
    index: usize,
    at: Timestamp,
    /// From when its snapshot is.
    taken: Timestamp,
}

impl Restore {
    /// Returns whether it was made after something that happened at a time, and after so many events. A ledger that was
    /// lost begins with none.
    fn is_later(&self, than: Timestamp, after: Option<usize>) -> bool {
        self.at > than || after.is_some_and(|after| self.index >= after)
    }
}

/// Returns the restores that stand.
fn restores(
    events: &[Event],
    database: &Path,
    taken_at: impl Fn(&str) -> Option<Timestamp>,
) -> Vec<Restore> {
    let mut standing = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match event.kind.as_str() {
            "restore" => {
                let id = event.detail.split(',').next().unwrap_or_default();
                if let Some((_, only)) = event.detail.split_once(", only ")
                    && !only.split(", ").any(|path| database.starts_with(path))
                {
                    // An undo of it counts, too.
                    standing.push(None);
                    continue;
                }
                // Of a snapshot that is gone only the name is left, which tells its time.
                let taken = taken_at(id).or_else(|| time_of(id));
                let at = event.at;
                standing.push(taken.map(|taken| Restore { index, at, taken }));
            }
            "undo" => {
                standing.pop();
            }
            _ => {}
        }
    }
    standing.into_iter().flatten().collect()
}

fn time_of(id: &str) -> Option<Timestamp> {
    let stamp = id.rsplit('/').next()?.split('-').nth(1)?;
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp).ok()?;
    let utc = time.to_zoned_datetime(jiff::tz::TimeZone::UTC).ok()?;
    Some(utc.timestamp())
}

/// Returns what is still applied after these restores.
fn in_effect(applied: Vec<Applied>, restores: &[Restore]) -> Vec<Applied> {
    let undone = |a: &Applied| {
        restores
            .iter()
            .any(|r| a.applied_at > r.taken && r.is_later(a.applied_at, a.after))
    };
    applied.into_iter().take_while(|a| !undone(a)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn event(second: i64, kind: &str, detail: &str) -> Event {
        Event {
            at: at(second),
            kind: kind.to_owned(),
            detail: detail.to_owned(),
        }
    }

    #[test]
    fn a_restore_takes_back_what_was_applied_after_its_snapshot_until_it_is_undone() {
        let applied: Vec<Applied> = [(1, 10), (2, 30)]
            .map(|(number, second)| Applied {
                number,
                name: String::new(),
                blake3: String::new(),
                applied_at: at(second),
                after: None,
            })
            .to_vec();
        let left = |events: &[Event]| {
            let restores = restores(events, Path::new("webui.db"), |_| Some(at(20)));
            in_effect(applied.clone(), &restores).len()
        };
        assert_eq!(left(&[]), 2);
        assert_eq!(left(&[event(40, "restore", "w/x")]), 1);
        assert_eq!(
            left(&[
                event(40, "restore", "w/x, by policy"),
                event(50, "undo", "p")
            ]),
            2
        );
        assert_eq!(left(&[event(25, "restore", "w/x")]), 2);
        // The clock was set back between the two: the order of things tells.
        let later = |after| {
            let restores = restores(
                &[event(25, "restore", "w/x")],
                Path::new("webui.db"),
                |_| Some(at(20)),
            );
            let known = applied.iter().cloned().map(|a| Applied { after, ..a });
            in_effect(known.collect(), &restores).len()
        };
        assert_eq!((later(Some(0)), later(Some(1))), (1, 2));
        assert_eq!(left(&[event(40, "restore", "w/x, only uploads")]), 2);
        assert_eq!(
            left(&[event(40, "restore", "w/x, only uploads, webui.db")]),
            1
        );
    }
}
