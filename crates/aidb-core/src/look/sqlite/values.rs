//! Values of a few columns of a private copy, each with how often it occurs: what an application's own terms need.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};

/// How many different rows of values are read at most.
const MOST_ROWS: usize = 100_000;
/// How many bytes of text are read at most, all rows together.
const MOST_BYTES: usize = 32 << 20;
/// How many characters of one value are read: no path is longer.
const MOST_CHARACTERS: usize = 4096;

/// Columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The table's name.
    pub table: String,
    /// The columns' names.
    pub columns: Vec<String>,
}

/// What they hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Different rows of values, and how many rows hold them.
    pub rows: Vec<(Vec<String>, u64)>,
    /// Whether these are all.
    pub complete: bool,
}

/// Values by table.
pub type ByTable = BTreeMap<String, Values>;

/// Reads values of a real table. A table without such a column is an error of SQLite's.
pub(super) fn read(db: &Connection, wanted: &Wanted) -> rusqlite::Result<Values> {
    // With the table's name before it, a name in double quotes is never taken for a text.
    let columns: Vec<String> = wanted
        .columns
        .iter()
        .map(|c| format!("t.{}", quoted(c)))
        .collect();
    let shown: Vec<String> = columns
        .iter()
        .map(|c| format!("substr({c}, 1, {MOST_CHARACTERS})"))
        .collect();
    let query = format!(
        "select count(*), {} from main.{} as t group by {}",
        shown.join(", "),
        quoted(&wanted.table),
        columns.join(", ")
    );
    let mut statement = db.prepare(&query)?;
    let mut rows = statement.query([])?;
    let mut out = Values::default();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if out.rows.len() >= MOST_ROWS || bytes > MOST_BYTES {
            return Ok(out);
        }
        let mut values = Vec::with_capacity(columns.len());
        for column in 1..=columns.len() {
            let value = match row.get_ref(column)? {
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
                ValueRef::Integer(n) => n.to_string(),
                ValueRef::Null | ValueRef::Real(_) => String::new(),
            };
            bytes += value.len();
            values.push(value);
        }
        let count = row.get::<_, i64>(0)?;
        out.rows.push((values, u64::try_from(count).unwrap_or(0)));
    }
    out.complete = true;
    Ok(out)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(columns: &[&str]) -> Wanted {
        Wanted {
            table: "t".into(),
            columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    #[test]
    fn values_are_told_once_with_their_count_and_a_missing_column_is_no_text() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("create table t(a, \"b\"\"c\"); insert into t values ('x', 1), ('x', 1), (null, x'00ff')")
            .unwrap();
        let found = read(&db, &wanted(&["a", "b\"c"])).unwrap();
        assert!(found.complete);
        assert_eq!(found.rows.len(), 2);
        assert_eq!(found.rows[1], (vec!["x".to_owned(), "1".to_owned()], 2));
        assert!(read(&db, &wanted(&["absent"])).is_err());
    }

    #[test]
    fn many_and_long_values_are_bounded() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "create table t(a); with recursive r(n) as (select 1 union all select n + 1 from r limit 100002)
             insert into t select n from r; insert into t values (hex(zeroblob(100000)))",
        )
        .unwrap();
        let found = read(&db, &wanted(&["a"])).unwrap();
        assert!(!found.complete);
        assert_eq!(found.rows.len(), MOST_ROWS);
        db.execute_batch("delete from t where a != hex(zeroblob(100000))")
            .unwrap();
        let found = read(&db, &wanted(&["a"])).unwrap();
        assert_eq!(found.rows[0].0[0].len(), MOST_CHARACTERS);
    }
}
