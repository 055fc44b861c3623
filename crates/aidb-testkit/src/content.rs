//! Everything that a database says, read through its log.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

/// Of each table the hashes of its rows, in an order of their own.
pub type Content = BTreeMap<String, Vec<blake3::Hash>>;

/// Returns the content of a live database, read from a private copy of it and of its log or journal: the original is
/// not opened.
#[must_use]
pub fn content(database: &Path) -> Content {
    let copy = tempfile::tempdir().unwrap();
    let target = copy.path().join("copy");
    for suffix in ["", "-wal", "-journal"] {
        let with = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            std::path::PathBuf::from(name)
        };
        if with(database).exists() {
            std::fs::copy(with(database), with(&target)).unwrap();
        }
    }
    let db = Connection::open(&target).unwrap();
    let mut statement = db
        .prepare("select name from sqlite_schema where type = 'table'")
        .unwrap();
    let names: Vec<String> = statement
        .query_map([], |r| r.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    names
        .into_iter()
        .map(|name| (name.clone(), rows(&db, &name)))
        .collect()
}

fn rows(db: &Connection, table: &str) -> Vec<blake3::Hash> {
    let mut statement = db.prepare(&format!("select * from \"{table}\"")).unwrap();
    let columns = statement.column_count();
    let mut found = statement.query([]).unwrap();
    let mut all = Vec::new();
    while let Some(row) = found.next().unwrap() {
        let mut hasher = blake3::Hasher::new();
        for column in 0..columns {
            hasher.update(format!("{:?};", row.get_ref(column).unwrap()).as_bytes());
        }
        all.push(hasher.finalize());
    }
    all.sort_by_key(|h| *h.as_bytes());
    all
}
