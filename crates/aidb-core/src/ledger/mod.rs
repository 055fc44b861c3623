//! The ledger: the memory of guards, baselines, pass tokens, runs of containers and what was done, in an SQLite database
//! of our own. One file here for each noun.
//!
//! It is never the only place of anything that matters: if it is lost, it is rebuilt from the vault. A version that
//! this program does not know is "could not", never a hold and never a rewrite. Tables that came later are added to the
//! ledgers of older programs, which go on working with them.

mod alerts;
mod baselines;
mod captures;
mod endings;
mod events;
mod former;
mod guards;
mod incarnations;
mod measurements;
mod migrations;
mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Params, Row, Transaction, TransactionBehavior};

pub use alerts::Alert;
pub use endings::Left;
pub use events::Event;
pub use incarnations::{Run, Running, Sighting};
pub use measurements::Measurement;
pub use migrations::Applied;

use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::memory::{KnownSnapshot, Memory};
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

/// Tables that came after version 1 was in use.
const ADDED: [&str; 5] = [
    incarnations::TABLE,
    measurements::TABLE,
    alerts::TABLE,
    captures::TABLE,
    former::TABLE,
];

/// The memory of what was seen and done.
#[derive(Debug)]
pub struct Ledger {
    db: Connection,
    path: PathBuf,
    /// What had to be done to open it, for the user to know.
    pub notice: Option<String>,
}

impl Ledger {
    /// Opens the ledger in the state folder; makes it, or makes it anew from the vault, if it is absent or broken.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if a newer version of this program wrote it; [`Error::Io`] and [`Error::Sqlite`] if it
    /// cannot be read or written.
    pub fn open(state: &Path, vault: &Vault) -> Result<Self> {
        crate::folder::make(state)?;
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

    /// Copies a ledger as it is now, with what only its log holds; one that SQLite cannot read, byte by byte.
    ///
    /// # Errors
    /// [`Error::Io`] if the copy cannot be written.
    pub fn copy(from: &Path, to: &Path) -> Result<()> {
        let vacuum = |from: &Path| -> rusqlite::Result<()> {
            let db = Connection::open(from)?;
            db.busy_timeout(PATIENCE)?;
            db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            db.execute("vacuum into ?", [to.to_string_lossy()])?;
            Ok(())
        };
        if vacuum(from).is_ok() {
            return Ok(());
        }
        std::fs::copy(from, to).doing("copy", from)?;
        Ok(())
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
        write_ahead(&db).map_err(sqlite("set up the ledger"))?;
        if version < VERSION {
            let transaction = db
                .transaction_with_behavior(TransactionBehavior::Immediate)
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
        for table in ADDED {
            // Where they are there already, nothing is written.
            db.execute_batch(table)
                .map_err(sqlite("set up the ledger"))?;
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
            for snapshot in vault.each_snapshot(&guard)? {
                let snapshot = snapshot?;
                let Some(proof) = snapshot
                    .proof
                    .as_ref()
                    .filter(|_| snapshot.suspicious().is_none())
                else {
                    continue;
                };
                for store in &proof.stores {
                    self.remember_capture(
                        &guard,
                        &store.name,
                        store.seen.clone(),
                        snapshot.summary.taken_at,
                    )?;
                }
            }
            let newest = vault.each_snapshot(&guard)?.next_back().transpose()?;
            // What another machine guards is not guarded here.
            if let Some(newest) = newest.filter(|s| !s.summary.imported) {
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
            if let Some(standing) = self.standing(&guard.name, &store.name)? {
                memory.standing.insert(store.name.clone(), standing);
            }
        }
        Ok(memory)
    }

    /// Returns what a query shows.
    fn rows<T>(
        &self,
        query: &str,
        parameters: impl Params,
        row: impl FnMut(&Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let read = |db: &Connection| -> rusqlite::Result<Vec<T>> {
            db.prepare_cached(query)?
                .query_map(parameters, row)?
                .collect()
        };
        read(&self.db).map_err(self.doing("read"))
    }

    /// Writes; returns how many rows changed.
    fn write(&mut self, statement: &str, parameters: impl Params) -> Result<usize> {
        self.db
            .execute(statement, parameters)
            .map_err(self.doing("write"))
    }

    /// Writes all of it or nothing.
    fn transaction<T>(
        &mut self,
        write: impl FnOnce(&Transaction) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let failed = self.doing("write");
        let whole = |db: &mut Connection| -> rusqlite::Result<T> {
            let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = write(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        whole(&mut self.db).map_err(failed)
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
    Ok(vault.newest_good(guard)?.as_ref().map(known))
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

/// Has transactions appended to a log that is synced once in a while: a hook that notes something waits for no disk.
///
/// A power cut may take the last of them, and leaves the ledger whole; what matters is in the vault as well. The log
/// stays when the last tool closes, because to fold it back costs the syncs that it saves.
fn write_ahead(db: &Connection) -> rusqlite::Result<()> {
    // Each opening reads the log, so it is kept short: a start writes about five pages.
    const LOG_PAGES: u32 = 200;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    let mode: String = db.pragma_query_value(None, "journal_mode", |r| r.get(0))?;
    let is_wal = mode == "wal"
        || match db.pragma_update_and_check(None, "journal_mode", "wal", |r| r.get::<_, String>(0))
        {
            Ok(mode) => mode == "wal",
            // Another tool is at it; or nothing can be written here, which whoever writes will be told.
            Err(e) => {
                let harmless = [ErrorCode::DatabaseBusy, ErrorCode::ReadOnly];
                if !e.sqlite_error_code().is_some_and(|c| harmless.contains(&c)) {
                    return Err(e);
                }
                false
            }
        };
    // With a rollback journal it takes all syncs for a power cut to leave it whole.
    let synchronous = if is_wal { "normal" } else { "full" };
    db.pragma_update(None, "synchronous", synchronous)
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
    use crate::finding::FindingId;
    use crate::look::seen::Seen;

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
    fn a_copy_has_what_only_the_log_holds() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(&folder.path().join("vault"));
        let mut ledger = Ledger::open(&folder.path().join("state"), &vault).unwrap();
        ledger
            .give_token("webui", FindingId::SqliteNoTables, "I know")
            .unwrap();
        let log = folder.path().join("state/ledger.db-wal");
        assert!(std::fs::metadata(&log).unwrap().len() > 0);
        let aside = folder.path().join("aside");
        std::fs::create_dir(&aside).unwrap();
        Ledger::copy(&ledger.path, &aside.join("ledger.db")).unwrap();
        let copy = Ledger::open(&aside, &vault).unwrap();
        assert_eq!(copy.tokens("webui").unwrap(), [FindingId::SqliteNoTables]);
    }

    /// As they were before the log: with a rollback journal.
    #[test]
    fn an_older_ledger_gets_a_log_and_keeps_what_it_knows() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(&folder.path().join("vault"));
        let mut ledger = Ledger::open(folder.path(), &vault).unwrap();
        ledger
            .give_token("webui", FindingId::SqliteNoTables, "I know")
            .unwrap();
        drop(ledger);
        let older = Connection::open(folder.path().join("ledger.db")).unwrap();
        older.pragma_update(None, "journal_mode", "delete").unwrap();
        drop(older);
        let ledger = Ledger::open(folder.path(), &vault).unwrap();
        assert_eq!(ledger.tokens("webui").unwrap(), [FindingId::SqliteNoTables]);
        let mode: String = ledger
            .db
            .pragma_query_value(None, "journal_mode", |r| r.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
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
