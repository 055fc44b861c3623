//! What SQLite says of a private copy: integrity, rows, revision, identity. In a child process of our own.
//!
//! A file from a stranger can make a check run for ever (a CHECK constraint is evaluated by it) or ask for any amount
//! of memory. The child has a deadline and a limit, and what it cannot do it says; it never sees an original.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::values::{self, ByTable, Wanted};
use crate::guard::{Column, Identity};

/// The argument that makes a tool be the child.
const CHILD: &str = "__examine";
/// How many problems are listed at most.
const MOST_PROBLEMS: usize = 100;
/// How many of the oldest rows make the identity.
const OLDEST: usize = 8;
/// SQLite's page cache, KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// How often the deadline is looked at, in steps of SQLite's virtual machine.
const STEPS: i32 = 1_000;
/// How long past its deadline a child may take to say so, before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// What to find out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Request {
    /// How deep.
    pub depth: Depth,
    /// Whether foreign keys are to be checked.
    pub foreign_keys: bool,
    /// Where the schema's revision is written.
    pub revision: Option<Column>,
    /// Which rows tell this database from another.
    pub identity: Option<Identity>,
    /// Of which tables which columns are to be told.
    #[serde(default)]
    pub wanted: Vec<Wanted>,
    /// For how long SQLite may work, milliseconds.
    pub deadline_ms: u64,
}

/// How deep a database is examined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Structure, without indexes against tables.
    Quick,
    /// Everything that SQLite can check.
    #[default]
    Full,
}

/// What SQLite said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Why it could not be read as a database: damage.
    pub refused: Option<String>,
    /// Why it could not be found out: no damage.
    pub could_not: Option<String>,
    /// Problems of the structure.
    pub damaged: Vec<String>,
    /// Indexes, constraints and their rows that disagree.
    pub disagrees: Vec<String>,
    /// How many foreign-key violations there are, and the first.
    pub foreign_keys: Option<(u64, String)>,
    /// Whether the integrity check ran to its end.
    pub checked: bool,
    /// Real tables.
    pub tables: Vec<String>,
    /// Rows of each table that could be counted.
    pub rows: BTreeMap<String, u64>,
    /// Values of the revision column.
    pub revision: Vec<String>,
    /// Hashes of the names of the oldest rows.
    pub identity: Vec<String>,
    /// What the wanted columns hold, where the table has them.
    #[serde(default)]
    pub values: ByTable,
    /// Whether the time was not enough.
    pub deadline_hit: bool,
}

/// Who examines.
#[derive(Debug, Clone)]
pub enum Examiner {
    /// A child process of this program.
    Child {
        /// The program, whose `main` calls [`child_main`] first.
        program: PathBuf,
        /// How much memory it may have, bytes.
        memory_limit_bytes: u64,
    },
    /// This process, for tests.
    Here,
}

impl Examiner {
    /// Returns the examiner that every tool uses.
    ///
    /// # Errors
    /// If the system cannot tell which program this is.
    pub fn child_of_this_program() -> std::io::Result<Self> {
        Ok(Self::Child {
            program: std::env::current_exe()?,
            memory_limit_bytes: 512 << 20,
        })
    }

    /// Examines a private copy: replays its log, rolls back its journal, folds both into the main file, checks.
    #[must_use]
    pub fn examine(&self, path: &Path, request: &Request) -> Examination {
        match self {
            Self::Here => examine(path, request),
            Self::Child {
                program,
                memory_limit_bytes,
            } => in_child(program, *memory_limit_bytes, path, request).unwrap_or_else(|why| {
                Examination {
                    could_not: Some(why),
                    ..Examination::default()
                }
            }),
        }
    }
}

/// What the parent tells the child.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    path: PathBuf,
    request: Request,
    memory_limit_bytes: u64,
}

fn in_child(
    program: &Path,
    memory_limit_bytes: u64,
    path: &Path,
    request: &Request,
) -> Result<Examination, String> {
    let order = Order {
        path: path.to_owned(),
        request: request.clone(),
        memory_limit_bytes,
    };
    let order =
        serde_json::to_vec(&order).map_err(|e| format!("the copy's path is no text: {e}"))?;
    let mut child = Command::new(program)
        .arg(CHILD)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| {
            format!(
                "`{}` could not be started to examine the copy: {e}",
                program.display()
            )
        })?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    let mut stdout = child.stdout.take().expect("it was asked for");
    let answer = std::thread::spawn(move || {
        let mut answer = Vec::new();
        stdout.read_to_end(&mut answer).map(|_| answer)
    });
    let told = stdin.write_all(&order);
    drop(stdin);
    let deadline = Instant::now() + Duration::from_millis(request.deadline_ms) + GRACE;
    // The answer's end is the child's end; waiting for it in steps costs at most one step.
    let mut step = Duration::from_millis(1);
    while !answer.is_finished() {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(Examination {
                deadline_hit: true,
                ..Examination::default()
            });
        }
        std::thread::sleep(step);
        step = (step * 2).min(Duration::from_millis(20));
    }
    let status = child
        .wait()
        .map_err(|e| format!("the examining process was lost: {e}"))?;
    let answer = answer
        .join()
        .expect("reading a pipe does not panic")
        .map_err(|e| e.to_string())?;
    told.map_err(|e| format!("the examining process took no order: {e}"))?;
    if !status.success() {
        return Err(format!("the examining process ended with {status}"));
    }
    serde_json::from_slice(&answer)
        .map_err(|e| format!("the examining process gave no answer: {e}"))
}

/// Is the child, if this process was started as one; every tool's `main` calls this first.
#[must_use]
pub fn child_main() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != CHILD {
        return None;
    }
    let mut order = Vec::new();
    let read = std::io::stdin().read_to_end(&mut order).is_ok();
    let Some(order) = serde_json::from_slice::<Order>(&order)
        .ok()
        .filter(|_| read)
    else {
        return Some(ExitCode::from(2));
    };
    let limit = |resource, value| {
        // Without the limit the check is still right; the parent's deadline holds.
        let _ = setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        );
    };
    limit(Resource::As, order.memory_limit_bytes);
    limit(Resource::Core, 0);
    let examination = examine(&order.path, &order.request);
    let written = serde_json::to_vec(&examination)
        .is_ok_and(|text| std::io::stdout().write_all(&text).is_ok());
    Some(if written {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

/// Examines a private copy in this process.
fn examine(path: &Path, request: &Request) -> Examination {
    let mut out = Examination::default();
    let deadline = Instant::now() + Duration::from_millis(request.deadline_ms);
    if let Err(e) = examine_into(path, request, deadline, &mut out) {
        match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                out.refused = Some(e.to_string());
            }
            Some(ErrorCode::OperationInterrupted) => out.deadline_hit = true,
            _ if e.to_string().contains("malformed database schema") => {
                out.refused = Some(e.to_string());
            }
            _ => out.could_not = Some(format!("SQLite could not examine the copy: {e}")),
        }
    }
    out
}

fn examine_into(
    path: &Path,
    request: &Request,
    deadline: Instant,
    out: &mut Examination,
) -> rusqlite::Result<()> {
    let db = open(path, deadline)?;
    // Reading the schema replays the log and rolls a hot journal back.
    out.tables = tables(&db)?;
    db.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    integrity(&db, request.depth, out)?;
    for table in out.tables.clone() {
        let count = format!("select count(*) from main.{}", quoted(&table));
        match db.query_row(&count, [], |r| r.get::<_, i64>(0)) {
            Ok(rows) => {
                out.rows.insert(table, u64::try_from(rows).unwrap_or(0));
            }
            Err(e) if is_interrupted(&e) || (is_fatal(&e) && out.damaged.is_empty()) => {
                return Err(e);
            }
            // A virtual table of a module that we lack, for one: the rest can still be counted.
            Err(_) => {}
        }
    }
    if !out.damaged.is_empty() {
        return Ok(());
    }
    if let Some(column) = &request.revision
        && out.rows.contains_key(&column.table)
    {
        let query = format!(
            "select {} from main.{} limit 5",
            quoted(&column.column),
            quoted(&column.table)
        );
        out.revision = texts(&db, &query)?;
    }
    if let Some(identity) = &request.identity
        && out.rows.contains_key(&identity.table)
    {
        let (column, table, by) = (
            quoted(&identity.column),
            quoted(&identity.table),
            quoted(&identity.oldest_by),
        );
        let query =
            format!("select {column} from main.{table} order by {by}, {column} limit {OLDEST}");
        let names = texts(&db, &query)?;
        out.identity = names
            .iter()
            .map(|n| blake3::hash(n.as_bytes()).to_hex().to_string())
            .collect();
    }
    if request.foreign_keys {
        out.foreign_keys = Some(foreign_keys(&db, &out.tables)?);
    }
    for wanted in &request.wanted {
        // Only what was counted is a real table that can be read.
        if out.rows.contains_key(&wanted.table) {
            match values::read(&db, wanted) {
                Ok(values) => drop(out.values.insert(wanted.table.clone(), values)),
                Err(e) if is_fatal(&e) => return Err(e),
                Err(_) => {}
            }
        }
    }
    Ok(())
}

fn open(path: &Path, deadline: Instant) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    db.set_limit(Limit::SQLITE_LIMIT_LENGTH, 256 << 20)?;
    db.progress_handler(STEPS, Some(move || Instant::now() >= deadline));
    db.pragma_update(None, "cache_size", -CACHE_KIB)?;
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.busy_timeout(Duration::ZERO)?;
    Ok(db)
}

fn tables(db: &Connection) -> rusqlite::Result<Vec<String>> {
    texts(
        db,
        "select name from main.sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\' order by name",
    )
}

fn integrity(db: &Connection, depth: Depth, out: &mut Examination) -> rusqlite::Result<()> {
    let pragma = match depth {
        Depth::Quick => "quick_check",
        Depth::Full => "integrity_check",
    };
    let mut statement = db.prepare(&format!("pragma main.{pragma}({MOST_PROBLEMS})"))?;
    let mut rows = statement.query([])?;
    loop {
        match rows.next() {
            Ok(Some(row)) => sort_message(&text(row.get_ref(0)?), out),
            Ok(None) => break,
            // What was found before the check itself gave up still counts.
            Err(e) if is_fatal(&e) && !out.damaged.is_empty() && !is_interrupted(&e) => break,
            Err(e) => return Err(e),
        }
    }
    out.checked = true;
    Ok(())
}

fn sort_message(message: &str, out: &mut Examination) {
    // How SQLite words a disagreement between parts that are each well-formed (`pragma.c`, `integrity_check`).
    let disagreement = [
        "missing from index",
        "wrong # of entries in index",
        "CHECK constraint failed",
        "NULL value in",
        "non-unique entry in index",
    ];
    for line in message
        .lines()
        .filter(|l| *l != "ok" && !l.starts_with("*** in database"))
    {
        let list = if disagreement.iter().any(|d| line.contains(d)) {
            &mut out.disagrees
        } else {
            &mut out.damaged
        };
        list.push(line.to_owned());
    }
}

/// Counts violations, table by table: a table that refers to one that does not exist is a slip of the schema, which
/// SQLite answers with an error or with every row; it says nothing about the rows of the others.
fn foreign_keys(db: &Connection, tables: &[String]) -> rusqlite::Result<(u64, String)> {
    let (mut count, mut first) = (0, String::new());
    for table in tables {
        let parents = match texts(
            db,
            &format!(
                "select parent from pragma_foreign_key_check({})",
                literal(table)
            ),
        ) {
            Ok(parents) => parents,
            Err(e) if is_fatal(&e) => return Err(e),
            Err(_) => continue,
        };
        for parent in parents.iter().filter(|p| tables.contains(p)) {
            if count == 0 {
                first = format!("a row of `{table}` refers to `{parent}`");
            }
            count += 1;
        }
    }
    Ok((count, first))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns a column of texts; other values as SQLite writes them, bytes that are no text with marks.
fn texts(db: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(text(row.get_ref(0)?));
    }
    Ok(out)
}

fn text(value: ValueRef) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(x) => x.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

fn is_interrupted(e: &rusqlite::Error) -> bool {
    e.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

fn is_fatal(e: &rusqlite::Error) -> bool {
    matches!(
        e.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory
        )
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            foreign_keys: true,
            deadline_ms: 10_000,
            ..Request::default()
        }
    }

    fn database(sql: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        (folder, path)
    }

    #[test]
    fn a_healthy_database_is_counted_and_named() {
        let (_folder, path) = database(
            "create table user(id, born); insert into user values ('b', 2), ('a', 1);
             create table alembic_version(version_num); insert into alembic_version values ('0bd2');
             create table \"odd \"\"name\"(x); create view v as select * from user;",
        );
        let column = |table: &str, column: &str| Column {
            table: table.into(),
            column: column.into(),
        };
        let found = Examiner::Here.examine(
            &path,
            &Request {
                revision: Some(column("alembic_version", "version_num")),
                identity: Some(Identity {
                    table: "user".into(),
                    column: "id".into(),
                    oldest_by: "born".into(),
                }),
                ..request()
            },
        );
        assert_eq!(found.tables, ["alembic_version", "odd \"name", "user"]);
        assert_eq!(found.rows["user"], 2);
        assert_eq!(found.revision, ["0bd2"]);
        assert_eq!(found.identity[0], blake3::hash(b"a").to_hex().to_string());
        assert!(found.checked && found.damaged.is_empty() && found.disagrees.is_empty());
    }

    #[test]
    fn a_check_that_takes_too_long_says_so() {
        let (_folder, path) = database(
            "create table t(x primary key); with recursive r(n) as
             (select 1 union all select n + 1 from r limit 50000) insert into t select n from r",
        );
        let found = Examiner::Here.examine(
            &path,
            &Request {
                deadline_ms: 0,
                ..request()
            },
        );
        assert!(
            found.deadline_hit && !found.checked && found.refused.is_none(),
            "{found:?}"
        );
    }

    #[test]
    fn a_parent_that_is_no_table_is_no_violation() {
        let (_folder, path) = database(
            "pragma foreign_keys = off; create table collections(id primary key); create table segments(id, c references collections(id));
             create table slips(x references collection(id)); insert into slips values (1);
             insert into segments values (1, 'x');",
        );
        let (count, first) = Examiner::Here
            .examine(&path, &request())
            .foreign_keys
            .unwrap();
        assert_eq!(
            (count, first.as_str()),
            (1, "a row of `segments` refers to `collections`")
        );
    }

    #[test]
    fn what_is_no_database_is_refused_and_what_cannot_be_opened_could_not_be_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        std::fs::write(&path, vec![9; 8192]).unwrap();
        assert!(Examiner::Here.examine(&path, &request()).refused.is_some());
        let found = Examiner::Here.examine(&folder.path().join("absent"), &request());
        assert!(
            found.could_not.is_some() && found.refused.is_none(),
            "{found:?}"
        );
    }
}
