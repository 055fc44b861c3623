//! A private copy of a database, opened with SQLite.
//!
//! Never an original: opening recovers, rolls back and removes files. The schema is hostile: no views, no triggers, no
//! extensions, no functions that reach outside, a deadline and limits. Nothing is opened but the path given.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};

use super::examination::{Class, Depth, Examination, Opened, Problem, Request};
use super::journal;
use super::source::ReadAt;
use crate::guard::{Column, Identity};

const MOST_MESSAGES: usize = 100;
const MOST_REVISIONS: usize = 5;
const OLDEST_ROWS: usize = 8;
const FIRST_VIOLATIONS: usize = 5;
/// Longer values are not listed.
const LONGEST_VALUE: usize = 64 * 1024;

/// Opens the private copy at `path`, lets SQLite recover it, and answers what is asked until `deadline` has passed.
#[must_use]
pub fn examine(path: &Path, request: &Request, deadline: Duration) -> Examination {
    if let Some(message) = refuse(path) {
        return Examination::new(Opened::CouldNot { message });
    }
    let ends = Instant::now() + deadline;
    match open(path, request.fold, ends) {
        Ok(connection) => {
            let mut answer = Answer {
                connection,
                ends,
                found: Examination::new(Opened::Yes),
            };
            answer.run(request);
            answer.found
        }
        Err(error) => {
            let mut found = Examination::new(match class(&error) {
                Class::CouldNot => Opened::CouldNot {
                    message: error.to_string(),
                },
                _ => Opened::Damaged {
                    message: error.to_string(),
                },
            });
            found.deadline_hit = is_interrupt(&error);
            found
        }
    }
}

/// What SQLite would destroy by opening it, even as a copy.
fn refuse(path: &Path) -> Option<String> {
    if !path.is_absolute() {
        return Some("the path is not absolute".to_owned());
    }
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::File::open(name).ok().filter(|file| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.len() > 0)
        })
    };
    let main_bytes = match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => meta.len(),
        Ok(_) => return Some("it is no regular file".to_owned()),
        Err(error) => return Some(format!("look at the file: {error}")),
    };
    if main_bytes == 0 && (beside("-wal").is_some() || beside("-journal").is_some()) {
        return Some(
            "the file has 0 bytes, and SQLite would delete the log or journal beside it".to_owned(),
        );
    }
    let journal = beside("-journal")?;
    let (facts, _) = journal::read(Some(&journal as &dyn ReadAt), main_bytes, None);
    facts.super_journal.filter(|_| facts.hot).map(|name| {
        format!(
            "the journal names the super-journal `{}`, which SQLite would miss here and then drop the journal",
            name.name
        )
    })
}

fn open(path: &Path, fold: bool, ends: Instant) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::ZERO)?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        // A column that does not exist must not turn into a string.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        // Only a fold that was asked for changes the main file and removes the log.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !fold),
    ] {
        connection.set_db_config(option, on)?;
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, 256 * 1024 * 1024),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 1024 * 1024),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        connection.set_limit(limit, most)?;
    }
    connection.progress_handler(1000, Some(move || Instant::now() >= ends));
    // Exclusive locking keeps the log's index in memory: no `-shm` is made.
    connection.execute_batch(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA mmap_size=0; PRAGMA cache_size=-16384; PRAGMA temp_store=FILE; \
         PRAGMA foreign_keys=OFF; PRAGMA cell_size_check=ON;",
    )?;
    // The first read recovers the log or rolls the journal back, and parses the schema.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        row.get::<_, i64>(0)
    })?;
    Ok(connection)
}

struct Answer {
    connection: Connection,
    ends: Instant,
    found: Examination,
}

impl Answer {
    fn run(&mut self, request: &Request) {
        self.header();
        if request.fold {
            self.fold();
        }
        let tables = self.tables();
        for name in &tables {
            self.found.tables.insert(name.clone(), None);
        }
        // What is cheap and what the contract needs come before what may take all of the time.
        if let Some(column) = &request.revision {
            self.found.revision = self.column(column, MOST_REVISIONS);
        }
        if let Some(identity) = &request.identity {
            self.identity(identity);
        }
        if request.count_rows {
            self.count(&tables);
        }
        for wanted in request.wanted.iter().filter(|w| tables.contains(&w.table)) {
            let values = super::values::read(&self.connection, wanted);
            if let Some(values) = self.note("read the values of a column", values) {
                self.found.values.insert(wanted.table.clone(), values);
            }
        }
        if request.depth > Depth::Bytes {
            self.check(request.depth, &tables);
        }
        if request.foreign_keys {
            self.foreign_keys(&tables);
        }
        self.found.deadline_hit |= Instant::now() >= self.ends;
    }

    fn pragma(&mut self, name: &str) -> Option<i64> {
        let result = self
            .connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
        self.note(&format!("read `{name}`"), result)
    }

    fn header(&mut self) {
        self.found.user_version = self.pragma("user_version");
        self.found.application_id = self.pragma("application_id");
        let unsigned = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        self.found.page_size = unsigned(self.pragma("page_size"));
        self.found.page_count = unsigned(self.pragma("page_count"));
        self.found.free_pages = unsigned(self.pragma("freelist_count"));
        let mode = self
            .connection
            .query_row("PRAGMA journal_mode", [], |row| row.get(0));
        self.found.journal_mode = self.note("read `journal_mode`", mode);
    }

    fn fold(&mut self) {
        let result = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
        self.found.folded = self.note("fold the log", result).map(|busy| busy == 0);
    }

    /// Returns the real tables' names; notes the virtual ones, which have no root page. Asks no view and no module. All of
    /// them: one that is left out would be missing. SQLite held them in memory already, so that the limit on that bounds them.
    fn tables(&mut self) -> Vec<String> {
        let result = self.rows(
            "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' \
             AND substr(lower(name), 1, 7) <> 'sqlite_' ORDER BY name",
            usize::MAX,
            |row| {
                Ok((
                    String::from_utf8_lossy(row.get_ref(0)?.as_bytes()?).into_owned(),
                    row.get::<_, Option<i64>>(1)?.unwrap_or(0),
                ))
            },
        );
        let all = self.note("list the tables", result).unwrap_or_default();
        let (tables, modules): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, root)| *root != 0);
        self.found.virtual_tables = modules.into_iter().map(|(name, _)| name).collect();
        tables.into_iter().map(|(name, _)| name).collect()
    }

    fn count(&mut self, tables: &[String]) {
        for name in tables {
            // By the table itself: an index may disagree with it.
            let result = self.connection.query_row(
                &format!("SELECT count(*) FROM main.{} NOT INDEXED", quote(name)),
                [],
                |row| row.get::<_, i64>(0),
            );
            let rows = self.note(&format!("count the rows of `{name}`"), result);
            let rows = rows.and_then(|rows| u64::try_from(rows).ok());
            self.found.tables.insert(name.clone(), rows);
            if self.found.deadline_hit {
                return;
            }
        }
    }

    fn is_table(&self, name: &str) -> bool {
        self.found
            .tables
            .keys()
            .any(|table| table.eq_ignore_ascii_case(name))
    }

    /// Returns the first values of a column of a real table, without NULL.
    fn column(&mut self, column: &Column, most: usize) -> Vec<String> {
        if !self.is_table(&column.table) {
            return Vec::new();
        }
        let (table, name) = (quote(&column.table), quote(&column.column));
        let sql = format!("SELECT {table}.{name} FROM main.{table} WHERE {table}.{name} NOT NULL");
        let result = self.rows(&sql, most, |row| Ok(text(row.get_ref(0)?)));
        let doing = format!("{}.{}", column.table, column.column);
        let values = self.note(&doing, result).unwrap_or_default();
        values.into_iter().flatten().collect()
    }

    fn identity(&mut self, identity: &Identity) {
        if !self.is_table(&identity.table) {
            return;
        }
        let table = quote(&identity.table);
        let (name, by) = (quote(&identity.column), quote(&identity.oldest_by));
        let sql = format!(
            "SELECT {table}.{name} FROM main.{table} WHERE {table}.{name} NOT NULL \
             ORDER BY {table}.{by}, {table}.{name} LIMIT {OLDEST_ROWS}"
        );
        let result = self.rows(&sql, OLDEST_ROWS, |row| {
            let value = row.get_ref(0)?;
            Ok(match value {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => blake3::hash(bytes),
                other => blake3::hash(text(other).unwrap_or_default().as_bytes()),
            }
            .to_hex()
            .to_string())
        });
        let doing = format!(
            "{0}.{1} or {0}.{2}",
            identity.table, identity.column, identity.oldest_by
        );
        self.found.identity = self.note(&doing, result).unwrap_or_default();
    }

    fn check(&mut self, depth: Depth, tables: &[String]) {
        let pragma = match depth {
            Depth::Full => "integrity_check",
            Depth::Quick | Depth::Bytes => "quick_check",
        };
        match self.messages(&format!("PRAGMA {pragma}({MOST_MESSAGES})")) {
            Ok(()) => self.found.checked = depth,
            // A function or collation that only the application has fails the whole statement: ask table by table.
            Err(error) if class(&error) == Class::CouldNot && !is_interrupt(&error) => {
                self.note::<()>(pragma, Err(error));
                for name in tables {
                    let result = self.messages(&format!("PRAGMA {pragma}({})", quote(name)));
                    self.note(&format!("{pragma} of `{name}`"), result);
                    if self.found.deadline_hit {
                        return;
                    }
                }
            }
            Err(error) => {
                self.note::<()>(pragma, Err(error));
            }
        }
    }

    fn messages(&mut self, sql: &str) -> rusqlite::Result<()> {
        let mut lines = Vec::new();
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let ended = loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let message = text(row.get_ref(0)?).unwrap_or_default();
                    lines.extend(message.lines().map(str::to_owned));
                    if lines.len() >= MOST_MESSAGES {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.found.integrity.extend(
            lines
                .into_iter()
                .filter(|line| line != "ok" && !line.starts_with("*** in database"))
                .map(|message| Problem {
                    class: class_of_message(&message),
                    message,
                }),
        );
        self.found.integrity.truncate(MOST_MESSAGES);
        ended
    }

    /// Table by table, so that one whose parent has no key does not hide the others. A parent that is no table at all is
    /// a fault of the schema that every row would repeat (Chroma's `segments` has one): it is left out.
    fn foreign_keys(&mut self, tables: &[String]) {
        let parents: HashSet<String> = tables
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let mut violations = 0_u64;
        let mut first = Vec::new();
        let mut complete = true;
        for name in tables {
            let sql = format!("PRAGMA foreign_key_check({})", quote(name));
            let result = self.rows(&sql, usize::MAX, |row| {
                let parent = text(row.get_ref(2)?).unwrap_or_default();
                if parents.contains(&parent.to_ascii_lowercase()) {
                    violations += 1;
                    if first.len() < FIRST_VIOLATIONS {
                        let rowid = text(row.get_ref(1)?).unwrap_or_else(|| "?".to_owned());
                        first.push(format!("{name} row {rowid} -> {parent}"));
                    }
                }
                Ok(())
            });
            complete &= self
                .note(&format!("check foreign keys of `{name}`"), result)
                .is_some();
            if self.found.deadline_hit {
                break;
            }
        }
        self.found.foreign_keys.violations = (complete || violations > 0).then_some(violations);
        self.found.foreign_keys.first = first;
    }

    fn rows<T>(
        &self,
        sql: &str,
        most: usize,
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while found.len() < most {
            match rows.next()? {
                Some(row) => found.push(each(row)?),
                None => break,
            }
        }
        Ok(found)
    }

    fn note<T>(&mut self, doing: &str, result: rusqlite::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) if is_interrupt(&error) => {
                self.found.deadline_hit = true;
                None
            }
            // A contract may name a column that this version of the application lacks: a fact, not a failure.
            Err(error) if error.to_string().contains("no such column") => {
                self.found.missing_columns.push(doing.to_owned());
                None
            }
            Err(error) => {
                if self.found.errors.len() < MOST_MESSAGES {
                    self.found.errors.push(Problem {
                        class: class(&error),
                        message: format!("{doing}: {error}"),
                    });
                }
                None
            }
        }
    }
}

/// Returns the name between double quotes, for SQL.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a value as text; NULL and what is too long to list are absent.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            (bytes.len() <= LONGEST_VALUE).then(|| String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

fn is_interrupt(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

/// `SQLITE_CORRUPT` and `SQLITE_NOTADB` are damage, and so is a version of an FTS5 table that there never was; everything
/// else is ours, the machine's, or the application's.
fn class(error: &rusqlite::Error) -> Class {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Class::Damaged,
        _ if is_no_fts5_version(&error.to_string()) => Class::Damaged,
        _ => Class::CouldNot,
    }
}

/// SQLite refuses an FTS5 table whose configuration names another version than 4 or 5, as an ordinary error. A slightly
/// higher one may come to be; any other is damage.
fn is_no_fts5_version(message: &str) -> bool {
    const MAY_COME: std::ops::RangeInclusive<i64> = 6..=32;
    let found = message
        .split_once("invalid fts5 file format (found ")
        .and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    found.is_some_and(|version: i64| !MAY_COME.contains(&version))
}

fn class_of_message(message: &str) -> Class {
    const DISAGREE: &[&str] = &[
        " missing from index ",
        "wrong # of entries in index ",
        "non-unique entry in index ",
        " values differ from index ",
        "rowid not at end-of-record for row ",
        "CHECK constraint failed in ",
        "NULL value in ",
        "malformed inverted index for FTS",
    ];
    if DISAGREE.iter().any(|words| message.contains(words)) {
        Class::IndexDisagrees
    } else if message.starts_with("unable to validate the inverted index") {
        Class::CouldNot
    } else {
        Class::Damaged
    }
}
