//! The ledger: the memory of guards, baselines, pass tokens and what was done, in an SQLite database of our own.
//!
//! It is never the only place of anything that matters: if it is lost, it is rebuilt from the vault. A version that
//! this program does not know is "could not", never a hold and never a rewrite.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::judge::FindingId;
use crate::memory::{Baseline, KnownSnapshot, Memory, Seen, Standing};
use crate::migrate::Applied;
use crate::vault::{Snapshot, Vault};

/// The version that this program writes, in `user_version`.
const VERSION: i64 = 1;

/// How long to wait for another tool that is writing.
const PATIENCE: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    create table guard (name text primary key, settings text not null, seen_at text not null) strict;
    create table baseline (
        guard text not null, store text not null, document text not null, primary key (guard, store)
    ) strict;
    create table standing (
        guard text not null, store text not null, document text not null, primary key (guard, store)
    ) strict;
    create table token (
        id integer primary key, guard text not null, finding text not null, reason text not null,
        given_at text not null, used_at text
    ) strict;
    create table migration (
        guard text not null, store text not null, number integer not null, name text not null, blake3 text not null,
        applied_at text not null, primary key (guard, store, number)
    ) strict;
    create table event (
        id integer primary key, guard text not null, at text not null, kind text not null, detail text not null
    ) strict;
";

/// The memory of what was seen and done.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
    path: PathBuf,
    /// What had to be done to open it, for the user to know.
    pub notice: Option<String>,
}

/// Something that was done to a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `quarantine`, `restore`, `undo`, `accept`, `allow`.
    pub kind: String,
    /// What, in one line.
    pub detail: String,
}

impl Ledger {
    /// Opens the ledger in the state folder; makes it, or makes it anew from the vault, if it is absent or broken.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if a newer version of this program wrote it; [`Error::Io`] and [`Error::Sqlite`] if it
    /// cannot be read or written.
    pub fn open(state: &Path, vault: &Vault) -> Result<Self> {
        Vault::make_folder(state)?;
        let path = state.join("ledger.db");
        let is_new = !path.exists();
        match Self::connect(&path) {
            Ok(mut ledger) => {
                if is_new {
                    ledger.rebuild(vault)?;
                }
                Ok(ledger)
            }
            Err(Error::Sqlite { source, .. }) if is_broken(&source) => {
                let aside = move_aside(&path)?;
                let mut ledger = Self::connect(&path)?;
                ledger.rebuild(vault)?;
                let aside = aside.display();
                ledger.notice = Some(format!(
                    "the ledger was broken ({source}); it was moved to `{aside}` and rebuilt from the vault"
                ));
                Ok(ledger)
            }
            Err(e) => Err(e),
        }
    }

    fn connect(path: &Path) -> Result<Self> {
        let sqlite = |doing| {
            move |source| Error::Sqlite {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        let mut db = Connection::open(path).map_err(sqlite("open the ledger"))?;
        db.busy_timeout(PATIENCE)
            .map_err(sqlite("open the ledger"))?;
        let version: i64 = db
            .pragma_query_value(None, "user_version", |r| r.get(0))
            .map_err(sqlite("read the version of the ledger"))?;
        if version > VERSION {
            return Err(Error::CouldNot {
                what: format!(
                    "the ledger `{}` has version {version}, this program knows up to {VERSION}",
                    path.display()
                ),
                hint: Some("use the version of aidb that wrote it, or a newer one".into()),
            });
        }
        // A page that is broken further in would be met at every use of it, and never be mended.
        sound(&db).map_err(sqlite("check the ledger"))?;
        if version < VERSION {
            let transaction = db
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                .map_err(sqlite("set up the ledger"))?;
            // Another tool may have been first.
            let version: i64 = transaction
                .pragma_query_value(None, "user_version", |r| r.get(0))
                .map_err(sqlite("read the version of the ledger"))?;
            if version < VERSION {
                transaction
                    .execute_batch(SCHEMA)
                    .map_err(sqlite("set up the ledger"))?;
                transaction
                    .pragma_update(None, "user_version", VERSION)
                    .map_err(sqlite("set up the ledger"))?;
            }
            transaction.commit().map_err(sqlite("set up the ledger"))?;
        }
        Ok(Self {
            db,
            path: path.to_owned(),
            notice: None,
        })
    }

    /// Learns again what the snapshots know.
    fn rebuild(&mut self, vault: &Vault) -> Result<()> {
        for guard in vault.guards()? {
            for snapshot in vault.snapshots(&guard)? {
                let Some(proof) = snapshot
                    .proof
                    .as_ref()
                    .filter(|_| snapshot.suspicious().is_none())
                else {
                    continue;
                };
                for store in &proof.stores {
                    self.remember(
                        &guard,
                        &store.name,
                        store.seen.clone(),
                        snapshot.summary.taken_at,
                    )?;
                }
            }
            if let Some(newest) = vault.snapshots(&guard)?.last() {
                self.note_guard(&newest.manifest()?.settings)?;
            }
        }
        Ok(())
    }

    /// Returns everything that judging may remember about a guard.
    pub fn memory(&self, guard: &Guard, vault: &Vault) -> Result<Memory> {
        let mut memory = Memory {
            proven: newest_good(vault, &guard.name)?,
            ..Memory::default()
        };
        for store in &guard.stores {
            if let Some(baseline) = self.baseline(&guard.name, &store.name)? {
                memory.stores.insert(store.name.clone(), baseline);
            }
            if let Some(standing) = self.document("standing", &guard.name, &store.name)? {
                memory.standing.insert(store.name.clone(), standing);
            }
        }
        Ok(memory)
    }

    /// Returns what is known of a store from before.
    pub fn baseline(&self, guard: &str, store: &str) -> Result<Option<Baseline>> {
        self.document("baseline", guard, store)
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
        self.db
            .execute(&insert, [guard, store, &document])
            .map_err(self.doing("write"))?;
        Ok(())
    }

    /// Keeps a full look against which nothing stood.
    pub fn note_standing(&mut self, guard: &str, store: &str, standing: &Standing) -> Result<()> {
        self.put_document("standing", guard, store, standing)
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

    /// Notes that the data was replaced by another state, as by a restore: what was known of bytes was of the former
    /// one. The new one may come to the same change counter by other transactions, and that is no damage.
    pub fn note_replaced(&mut self, guard: &str, kind: &str, detail: &str) -> Result<()> {
        self.note_event(guard, kind, detail)?;
        let mut statement = self
            .db
            .prepare("select store from baseline where guard = ?")
            .map_err(self.doing("read"))?;
        let stores: Vec<String> = statement
            .query_map([guard], |r| r.get(0))
            .and_then(Iterator::collect)
            .map_err(self.doing("read"))?;
        drop(statement);
        for store in stores {
            if let Some(mut baseline) = self.baseline(guard, &store)? {
                baseline.last.content = None;
                baseline.last.log = None;
                self.put_document("baseline", guard, &store, &baseline)?;
            }
        }
        Ok(())
    }

    /// Makes a look the whole of what is known: the present state is right.
    pub fn accept(&mut self, guard: &str, store: &str, seen: Seen, at: Timestamp) -> Result<()> {
        let baseline = Baseline {
            accepted_at: Some(at),
            ..Baseline::from_look(seen, at)
        };
        self.put_document("baseline", guard, store, &baseline)
    }

    /// Keeps a copy of a guard's settings, for hooks of a unit that outlives them.
    pub fn note_guard(&mut self, guard: &Guard) -> Result<()> {
        let settings = serde_json::to_string(guard).expect("a guard has only string keys");
        self.db
            .execute(
                "insert or replace into guard values (?, ?, ?)",
                params![guard.name, settings, Timestamp::now().to_string()],
            )
            .map_err(self.doing("write"))?;
        Ok(())
    }

    /// Returns the guards that were known at any time, by name.
    pub fn guards(&self) -> Result<Vec<Guard>> {
        let mut statement = self
            .db
            .prepare("select settings from guard order by name")
            .map_err(self.doing("read"))?;
        let rows = statement
            .query_map([], |r| r.get::<_, String>(0))
            .map_err(self.doing("read"))?;
        let mut guards = Vec::new();
        for row in rows {
            guards.extend(serde_json::from_str(&row.map_err(self.doing("read"))?).ok());
        }
        Ok(guards)
    }

    /// Gives a one-shot permission to proceed past a held finding.
    pub fn give_token(&mut self, guard: &str, finding: FindingId, reason: &str) -> Result<()> {
        self.db
            .execute(
                "insert into token (guard, finding, reason, given_at) values (?, ?, ?, ?)",
                params![
                    guard,
                    finding.as_str(),
                    reason,
                    Timestamp::now().to_string()
                ],
            )
            .map_err(self.doing("write"))?;
        self.note_event(guard, "allow", &format!("{finding}: {reason}"))
    }

    /// Returns the findings of a guard for which an unused permission exists.
    pub fn tokens(&self, guard: &str) -> Result<Vec<FindingId>> {
        let mut statement = self
            .db
            .prepare("select distinct finding from token where guard = ? and used_at is null")
            .map_err(self.doing("read"))?;
        let rows = statement
            .query_map([guard], |r| r.get::<_, String>(0))
            .map_err(self.doing("read"))?;
        let mut found = Vec::new();
        for row in rows {
            found.extend(row.map_err(self.doing("read"))?.parse::<FindingId>().ok());
        }
        Ok(found)
    }

    /// Uses up one permission; returns whether there was one.
    pub fn use_token(&mut self, guard: &str, finding: FindingId) -> Result<bool> {
        let used = self
            .db
            .execute(
                "update token set used_at = ?3 where id =
                 (select min(id) from token where guard = ?1 and finding = ?2 and used_at is null)",
                params![guard, finding.as_str(), Timestamp::now().to_string()],
            )
            .map_err(self.doing("write"))?;
        Ok(used == 1)
    }

    /// Returns the migration files that were applied to a store, by rising number.
    pub fn migrations(&self, guard: &str, store: &str) -> Result<Vec<Applied>> {
        let mut statement = self
            .db
            .prepare(
                "select number, name, blake3, applied_at from migration where guard = ? and store = ? order by number",
            )
            .map_err(self.doing("read"))?;
        let rows = statement
            .query_map([guard, store], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get::<_, String>(3)?))
            })
            .map_err(self.doing("read"))?;
        let mut applied = Vec::new();
        for row in rows {
            let (number, name, blake3, at) = row.map_err(self.doing("read"))?;
            applied.push(Applied {
                number,
                name,
                blake3,
                applied_at: at.parse().unwrap_or(Timestamp::UNIX_EPOCH),
            });
        }
        Ok(applied)
    }

    /// Makes this the list of migration files that were applied to a store.
    pub fn set_migrations(&mut self, guard: &str, store: &str, applied: &[Applied]) -> Result<()> {
        let failed = self.doing("write");
        let write = |db: &mut Connection| {
            let transaction = db.transaction()?;
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
            transaction.commit()
        };
        write(&mut self.db).map_err(failed)
    }

    /// Notes that something was done.
    pub fn note_event(&mut self, guard: &str, kind: &str, detail: &str) -> Result<()> {
        self.db
            .execute(
                "insert into event (guard, at, kind, detail) values (?, ?, ?, ?)",
                params![guard, Timestamp::now().to_string(), kind, detail],
            )
            .map_err(self.doing("write"))?;
        Ok(())
    }

    /// Returns what was done to a guard, oldest first.
    pub fn events(&self, guard: &str) -> Result<Vec<Event>> {
        let mut statement = self
            .db
            .prepare("select at, kind, detail from event where guard = ? order by id")
            .map_err(self.doing("read"))?;
        let rows = statement
            .query_map([guard], |r| {
                Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?))
            })
            .map_err(self.doing("read"))?;
        let mut events = Vec::new();
        for row in rows {
            let (at, kind, detail) = row.map_err(self.doing("read"))?;
            events.extend(at.parse().ok().map(|at| Event { at, kind, detail }));
        }
        Ok(events)
    }

    fn doing(&self, doing: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Sqlite {
            doing,
            path: path.clone(),
            source,
        }
    }
}

/// Returns the newest proven snapshot that is not suspicious, as findings speak of it.
pub fn newest_good(vault: &Vault, guard: &str) -> Result<Option<KnownSnapshot>> {
    let snapshots = vault.snapshots(guard)?;
    Ok(snapshots
        .iter()
        .rev()
        .find(|s| s.is_proven() && s.suspicious().is_none())
        .map(known))
}

fn known(snapshot: &Snapshot) -> KnownSnapshot {
    let stores = snapshot.proof.iter().flat_map(|p| &p.stores);
    KnownSnapshot {
        id: snapshot.id(),
        taken_at: snapshot.summary.taken_at,
        size_bytes: snapshot.summary.size_bytes,
        stores: stores
            .map(|s| (s.name.clone(), s.seen.rows.clone()))
            .collect(),
    }
}

/// Says that the file is broken, if it is. The ledger is small: this takes a millisecond.
fn sound(db: &Connection) -> rusqlite::Result<()> {
    let said: String = db.query_row("pragma quick_check(1)", [], |r| r.get(0))?;
    if said == "ok" {
        return Ok(());
    }
    let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(corrupt, Some(said)))
}

fn is_broken(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Moves a broken ledger and its companions to a name beside it.
fn move_aside(path: &Path) -> Result<PathBuf> {
    let stamp = Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let name = |suffix: &str| format!("ledger.db{suffix}");
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let from = path.with_file_name(name(suffix));
        let to = path.with_file_name(format!("ledger.db.broken-{stamp}{suffix}"));
        match std::fs::rename(&from, &to) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).doing("move aside", &from);
            }
            _ => {}
        }
    }
    Ok(path.with_file_name(format!("ledger.db.broken-{stamp}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(chats: u64) -> Seen {
        Seen {
            rows: [("chat".to_owned(), chats)].into(),
            ..Seen::default()
        }
    }

    #[test]
    fn a_baseline_and_a_token_are_remembered_across_openings() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(&folder.path().join("vault"));
        let mut ledger = Ledger::open(folder.path(), &vault).unwrap();
        ledger
            .remember("webui", "chats", seen(3), Timestamp::UNIX_EPOCH)
            .unwrap();
        ledger
            .give_token("webui", FindingId::SqliteNoTables, "I know")
            .unwrap();
        drop(ledger);
        let mut ledger = Ledger::open(folder.path(), &vault).unwrap();
        assert_eq!(
            ledger
                .baseline("webui", "chats")
                .unwrap()
                .unwrap()
                .most_rows["chat"],
            3
        );
        assert_eq!(ledger.tokens("webui").unwrap(), [FindingId::SqliteNoTables]);
        assert!(
            ledger
                .use_token("webui", FindingId::SqliteNoTables)
                .unwrap()
        );
        assert!(
            !ledger
                .use_token("webui", FindingId::SqliteNoTables)
                .unwrap()
        );
    }

    #[test]
    fn a_broken_ledger_is_moved_aside_and_said() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ledger.db"), vec![7; 5000]).unwrap();
        let ledger = Ledger::open(folder.path(), &Vault::at(&folder.path().join("vault"))).unwrap();
        assert!(ledger.notice.unwrap().contains("ledger.db.broken-"));
        let kept = std::fs::read_dir(folder.path()).unwrap().filter(|e| {
            e.as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("ledger.db.broken-")
        });
        assert_eq!(kept.count(), 1);
    }

    #[test]
    fn a_newer_ledger_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let before = std::fs::read(&path).unwrap();
        let opened = Ledger::open(folder.path(), &Vault::at(&folder.path().join("vault")));
        assert!(matches!(opened, Err(Error::CouldNot { .. })), "{opened:?}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
