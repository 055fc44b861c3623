//! Databases that SQLite itself made, and what was done to them.

mod examine;
mod hostile;
mod journal;
mod main_file;
mod schema;
mod stress;
mod wal;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{Facts, Files, ReadAt, read};

/// A folder with one database, `db`, and what lies beside it.
struct Bench {
    folder: tempfile::TempDir,
}

/// The bytes of a database's files at one moment.
#[derive(Clone, Default)]
struct Bytes {
    main: Option<Vec<u8>>,
    wal: Option<Vec<u8>>,
    journal: Option<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    fn open(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// Runs SQL and returns the files while the connection is still open: what a crash at that moment leaves.
    fn crashed(&self, sql: &str) -> Bytes {
        let connection = self.open();
        connection.execute_batch(sql).unwrap();
        self.bytes()
    }

    /// Runs SQL, closes, and returns the files.
    fn closed(&self, sql: &str) -> Bytes {
        self.open().execute_batch(sql).unwrap();
        self.bytes()
    }

    fn bytes(&self) -> Bytes {
        Bytes {
            main: fs::read(self.path()).ok(),
            wal: fs::read(self.folder.path().join("db-wal")).ok(),
            journal: fs::read(self.folder.path().join("db-journal")).ok(),
        }
    }
}

impl Bytes {
    fn facts(&self) -> Facts {
        read(&Files {
            main: self.main.as_ref().map(|bytes| bytes as &dyn ReadAt),
            wal: self.wal.as_ref().map(|bytes| bytes as &dyn ReadAt),
            journal: self.journal.as_ref().map(|bytes| bytes as &dyn ReadAt),
        })
    }

    fn main(&mut self) -> &mut Vec<u8> {
        self.main.as_mut().unwrap()
    }

    fn wal(&mut self) -> &mut Vec<u8> {
        self.wal.as_mut().unwrap()
    }

    fn journal(&mut self) -> &mut Vec<u8> {
        self.journal.as_mut().unwrap()
    }

    /// Puts the files into a folder of their own, for SQLite to open.
    fn put(&self, folder: &Path) -> PathBuf {
        let path = folder.join("copy");
        for (suffix, bytes) in [
            ("", &self.main),
            ("-wal", &self.wal),
            ("-journal", &self.journal),
        ] {
            if let Some(bytes) = bytes {
                let mut file = fs::File::create(folder.join(format!("copy{suffix}"))).unwrap();
                std::io::Write::write_all(&mut file, bytes).unwrap();
            }
        }
        path
    }
}

/// What SQLite says about the same files: kind, name and root of each entry, in order.
fn by_sqlite(bytes: &Bytes) -> Vec<(String, String, u32)> {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(bytes.put(folder.path())).unwrap();
    let mut statement = connection
        .prepare("SELECT type, name, coalesce(rootpage, 0) FROM sqlite_schema ORDER BY rowid")
        .unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

fn by_us(facts: &Facts) -> Vec<(String, String, u32)> {
    let schema = facts.schema.as_ref().unwrap();
    assert!(schema.complete && schema.malformed.is_empty() && schema.bad_roots.is_empty());
    schema
        .entries
        .iter()
        .map(|entry| {
            let kind = match serde_json::to_value(entry.kind).unwrap().as_str().unwrap() {
                "virtual" => "table".to_owned(),
                other => other.to_owned(),
            };
            (kind, entry.name.clone(), entry.root)
        })
        .collect()
}
