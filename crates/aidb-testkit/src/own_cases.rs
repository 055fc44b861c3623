//! Cases beyond the corpus, made from the fixtures and by SQLite: each with what a checker must, may, or must not say.

mod files;
mod healthy;
mod pages;
mod rows;
mod sidecars;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// What a checker owes a case.
#[derive(Debug, Clone, Copy)]
pub enum Label {
    /// One of these findings, whatever is known from before.
    Required(&'static [&'static str]),
    /// One of these findings, if the healthy state was seen before.
    WithBaseline(&'static [&'static str]),
    /// Whatever it likes, as long as it answers.
    Optional,
    /// No finding above information.
    Forbidden,
}

/// One case: a healthy state, and what happens to it. Both get the data folder.
#[derive(Debug, Clone, Copy)]
pub struct OwnCase {
    pub name: &'static str,
    pub label: Label,
    /// Lays out the healthy state.
    pub base: fn(&Path),
    /// Makes the case of it.
    pub happens: fn(&Path),
    /// Modes matter: the tool runs as a plain user.
    pub plain_user: bool,
}

impl OwnCase {
    const fn new(name: &'static str, label: Label, base: fn(&Path), happens: fn(&Path)) -> Self {
        Self {
            name,
            label,
            base,
            happens,
            plain_user: false,
        }
    }
}

/// Returns every case.
#[must_use]
pub fn all() -> Vec<OwnCase> {
    [
        healthy::CASES,
        rows::CASES,
        pages::CASES,
        sidecars::CASES,
        files::CASES,
    ]
    .concat()
}

/// A rollback-mode Open WebUI with 14 chats.
fn small(data: &Path) {
    crate::unpack("openwebui-0.6.38-small", data);
}

/// The same without a free page: whatever page is hit, it is in use.
fn packed(data: &Path) {
    small(data);
    sql(&main(data), "VACUUM");
}

/// An Open WebUI whose data lies in its log.
fn crash(data: &Path) {
    crate::unpack("openwebui-0.12.4-crash", data);
}

fn main(data: &Path) -> PathBuf {
    data.join("webui.db")
}

fn beside(data: &Path, suffix: &str) -> PathBuf {
    data.join(format!("webui.db{suffix}"))
}

/// Runs SQL on a database, and closes it.
fn sql(database: &Path, statements: &str) {
    let db = Connection::open(database).unwrap();
    db.execute_batch(statements).unwrap();
    db.close().unwrap();
}

fn number(database: &Path, query: &str) -> u64 {
    let db = Connection::open(database).unwrap();
    let found: i64 = db.query_row(query, [], |r| r.get(0)).unwrap();
    u64::try_from(found).unwrap()
}

/// Copies the database by SQLite's backup interface: the copy counts its transactions anew.
fn backed_up(data: &Path, name: &str) {
    let mut copy = Connection::open(data.join(name)).unwrap();
    let source = Connection::open(main(data)).unwrap();
    let backup = rusqlite::backup::Backup::new(&source, &mut copy).unwrap();
    backup.step(-1).unwrap();
}

/// Leaves a database as a killed application does: the files as they are while it is open, after `statements`.
fn killed_after(database: &Path, statements: &str) {
    let db = Connection::open(database).unwrap();
    db.execute_batch(statements).unwrap();
    let folder = tempfile::tempdir_in(database.parent().unwrap()).unwrap();
    let names = ["", "-wal", "-journal"].map(|s| format!("webui.db{s}"));
    let present: Vec<&String> = names
        .iter()
        .filter(|n| database.with_file_name(n).exists())
        .collect();
    for name in &present {
        std::fs::copy(database.with_file_name(name), folder.path().join(name)).unwrap();
    }
    drop(db);
    for name in present {
        std::fs::copy(folder.path().join(name), database.with_file_name(name)).unwrap();
    }
}

/// The same in WAL mode, where only the log was written to: the main file keeps its times.
fn killed_after_unwritten(database: &Path, statements: &str) {
    let db = Connection::open(database).unwrap();
    db.execute_batch(statements).unwrap();
    let log = database.with_file_name("webui.db-wal");
    let kept = database.with_file_name("kept");
    std::fs::copy(&log, &kept).unwrap();
    let written = std::fs::metadata(database).unwrap().modified().unwrap();
    let main = std::fs::read(database).unwrap();
    drop(db);
    std::fs::write(database, main).unwrap();
    std::fs::rename(kept, log).unwrap();
    let main = std::fs::File::options().write(true).open(database);
    main.unwrap().set_modified(written).unwrap();
}

fn patch(path: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn read_at(path: &Path, at: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    std::fs::File::open(path)
        .unwrap()
        .read_exact_at(&mut bytes, at)
        .unwrap();
    bytes
}

/// Makes an Open WebUI database of a version, with users and chats whose names begin with `who`.
fn instance(fixture: &str, database: &Path, who: &str, users: usize, chats: usize) {
    crate::unpack(fixture, database);
    let db = Connection::open(database).unwrap();
    for (table, count) in [("user", users), ("auth", users), ("chat", chats)] {
        for n in 0..count {
            insert(&db, table, &format!("{who}-{n}"), n);
        }
    }
    db.close().unwrap();
}

/// Inserts a row of which only the id matters.
fn insert(db: &Connection, table: &str, id: &str, n: usize) {
    let mut info = db
        .prepare("SELECT name, type FROM pragma_table_info(?) WHERE \"notnull\" OR pk OR name IN ('id', 'created_at')")
        .unwrap();
    let columns: Vec<(String, String)> = info
        .query_map([table], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let value = |(name, kind): &(String, String)| {
        let kind = kind.to_uppercase();
        if kind.contains("INT") || kind.contains("DATE") || kind.contains("BOOL") {
            format!("{}", 1_700_000_000 + n)
        } else if kind.contains("JSON") {
            "'{}'".to_owned()
        } else if name == "id" {
            format!("'{id}'")
        } else {
            format!("'{name}-{id}'")
        }
    };
    let names: Vec<String> = columns.iter().map(|(n, _)| format!("\"{n}\"")).collect();
    let values: Vec<String> = columns.iter().map(value).collect();
    let statement = format!(
        "INSERT INTO \"{table}\" ({}) VALUES ({})",
        names.join(", "),
        values.join(", ")
    );
    db.execute(&statement, [])
        .unwrap_or_else(|e| panic!("{statement}: {e}"));
}
