//! The folder of SQL files, and which of them wait.

use std::path::Path;

use super::shown;
use crate::error::{Error, IoContext, Result};
use crate::ledger::Applied;
use crate::look::sqlite::sqltext::statement_of;

/// What a file may not do: it is run in a transaction of ours, on one database.
const NOT_HERE: &[&str] = &[
    "begin",
    "commit",
    "end",
    "rollback",
    "savepoint",
    "release",
    "attach",
    "detach",
    "vacuum",
];

/// One SQL file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub number: u32,
    pub name: String,
    pub blake3: String,
    pub sql: String,
}

/// Reads the files of a folder, by rising number.
pub(super) fn read(folder: &Path) -> Result<Vec<File>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).doing("list", folder)? {
        let path = entry.doing("list", folder)?.path();
        if path.extension().is_some_and(|e| e == "sql") {
            names.extend(path.file_name().map(|n| n.to_string_lossy().into_owned()));
        }
    }
    names.sort_unstable();
    let mut files = Vec::new();
    for name in names {
        files.push(read_one(folder, name)?);
    }
    in_order(&mut files, folder)?;
    Ok(files)
}

fn read_one(folder: &Path, name: String) -> Result<File> {
    let Some(number) = number(&name) else {
        return Err(refused(
            folder,
            &name,
            "its name should be four digits, `_`, a name and `.sql`, such as `0001_add_index.sql`",
        ));
    };
    let path = folder.join(&name);
    let bytes = std::fs::read(&path).doing("read", &path)?;
    let blake3 = blake3::hash(&bytes).to_hex().to_string();
    let Ok(sql) = String::from_utf8(bytes) else {
        return Err(refused(folder, &name, "it is not UTF-8"));
    };
    if sql.contains('\0') {
        return Err(refused(folder, &name, "it holds a NUL character"));
    }
    if let Some(word) = statement_of(&sql, NOT_HERE) {
        let why =
            format!("`{word}` has no place in it: each file is one transaction, on one database");
        return Err(refused(folder, &name, &why));
    }
    Ok(File {
        number,
        name,
        blake3,
        sql,
    })
}

/// Returns the number of `NNNN_name.sql`.
fn number(name: &str) -> Option<u32> {
    let (digits, rest) = name.split_once('_')?;
    let is_number = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    (is_number && rest.len() > ".sql".len())
        .then(|| digits.parse().ok())
        .flatten()
}

/// Sorts by number; every number from 1 on is there, once.
fn in_order(files: &mut [File], folder: &Path) -> Result<()> {
    files.sort_by_key(|f| f.number);
    for (expected, file) in (1..).zip(files.iter()) {
        if file.number < expected {
            let why = format!("another file has the number {:04}, too", file.number);
            return Err(refused(folder, &file.name, &why));
        }
        if file.number > expected {
            let why = format!("expected the number {expected:04} before it");
            return Err(refused(folder, &file.name, &why));
        }
    }
    Ok(())
}

/// Returns the files that were not applied yet. Those that were are there, and are what they were.
pub(super) fn waiting<'a>(
    files: &'a [File],
    applied: &[Applied],
    folder: &Path,
) -> Result<Vec<&'a File>> {
    for was in applied {
        let Some(file) = files.iter().find(|f| f.number == was.number) else {
            return Err(refused(folder, &was.name, "it was applied, and is gone"));
        };
        if file.blake3 != was.blake3 {
            let when = was.applied_at.strftime("%Y-%m-%d %H:%M UTC");
            let why = format!("it was applied on {when}, and was changed since");
            return Err(refused(folder, &file.name, &why));
        }
    }
    let is_new = |f: &&File| applied.iter().all(|a| a.number != f.number);
    Ok(files.iter().filter(is_new).collect())
}

fn refused(folder: &Path, name: &str, why: &str) -> Error {
    let hint = why
        .ends_with("since")
        .then(|| "put back what it was, and write the change into a new file".to_owned());
    Error::Usage {
        what: format!("`{}`: {why}", shown(folder, name)),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_four_digits_and_a_word() {
        for (name, expected) in [
            ("0001_a.sql", Some(1)),
            ("0042_add_index.sql", Some(42)),
            ("1_a.sql", None),
            ("0001.sql", None),
            ("0001_.sql", None),
            ("00a1_a.sql", None),
            ("+001_a.sql", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }

    #[test]
    fn what_ends_a_transaction_is_found_and_a_trigger_is_not() {
        for (sql, expected) in [
            ("create table a(x);", None),
            ("-- begin\ncreate table a(x default 'commit');", None),
            (
                "create trigger t after insert on a begin delete from b; end; commit",
                Some("COMMIT"),
            ),
            (
                "create temp trigger t after insert on a begin select case when 1 then 2 end; end; select 1",
                None,
            ),
            ("select 1; /* x */ Begin; select 2", Some("BEGIN")),
            ("end", Some("END")),
            (";;attach 'x' as y", Some("ATTACH")),
            ("vacuum into 'x'", Some("VACUUM")),
        ] {
            assert_eq!(statement_of(sql, NOT_HERE).as_deref(), expected, "{sql}");
        }
    }

    #[test]
    fn gaps_and_doubles_are_refused_by_name() {
        let file = |name: &str| File {
            number: number(name).unwrap(),
            name: name.to_owned(),
            blake3: String::new(),
            sql: String::new(),
        };
        let refused = |names: &[&str]| {
            let mut files: Vec<File> = names.iter().map(|n| file(n)).collect();
            in_order(&mut files, Path::new("m")).map_err(|e| e.to_string())
        };
        assert_eq!(refused(&["0002_b.sql", "0001_a.sql"]), Ok(()));
        assert!(refused(&["0001_a.sql", "0003_c.sql"]).is_err_and(|e| e.contains("0003_c.sql")));
        assert!(refused(&["0001_a.sql", "0001_b.sql"]).is_err_and(|e| e.contains("0001_b.sql")));
        assert!(refused(&["0002_b.sql"]).is_err_and(|e| e.contains("0002_b.sql")));
    }
}
