//! One file, in one transaction, on the original.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Pragmas that are part of a schema, or only tell.
const PRAGMAS: &[&str] = &[
    "application_id",
    "user_version",
    "defer_foreign_keys",
    "foreign_key_check",
    "foreign_key_list",
    "table_info",
    "table_xinfo",
    "index_list",
    "index_info",
    "index_xinfo",
];

/// Why a file was not applied.
#[derive(Debug)]
pub(super) struct NotApplied {
    pub why: String,
    /// It was rolled back, or never begun.
    pub is_as_before: bool,
}

/// Runs a file's statements and commits them.
pub(super) fn apply(database: &Path, sql: &str, ends: Instant) -> Result<(), NotApplied> {
    let as_before = |e: rusqlite::Error| NotApplied {
        why: told(&e),
        is_as_before: true,
    };
    let connection = open(database, ends).map_err(as_before)?;
    connection
        .execute_batch("BEGIN EXCLUSIVE")
        .map_err(as_before)?;
    connection.authorizer(Some(allowed));
    let ran = connection.execute_batch(sql);
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>);
    if let Err(e) = ran {
        // Closing rolls back as well.
        let _ = connection.execute_batch("ROLLBACK");
        let is_as_before = connection.is_autocommit();
        return Err(NotApplied {
            why: told(&e),
            is_as_before,
        });
    }
    if let Err(e) = connection.execute_batch("COMMIT") {
        // A constraint that is checked at the end leaves the transaction open; anything else may have happened.
        let open = !connection.is_autocommit();
        let is_as_before = open && connection.execute_batch("ROLLBACK").is_ok();
        return Err(NotApplied {
            why: told(&e),
            is_as_before,
        });
    }
    connection.close().map_err(|(_, e)| NotApplied {
        why: told(&e),
        is_as_before: false,
    })
}

fn open(database: &Path, ends: Instant) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    // Extensions are not loaded unless somebody turns that on.
    connection.busy_timeout(Duration::ZERO)?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    ] {
        connection.set_db_config(option, on)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    connection.progress_handler(1000, Some(move || Instant::now() >= ends));
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// The belt to what was refused by its words.
fn allowed(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Transaction { .. }
        | AuthAction::Savepoint { .. }
        | AuthAction::Attach { .. }
        | AuthAction::Detach { .. } => Authorization::Deny,
        AuthAction::Pragma { pragma_name, .. }
            if !PRAGMAS.iter().any(|p| p.eq_ignore_ascii_case(pragma_name)) =>
        {
            Authorization::Deny
        }
        _ => Authorization::Allow,
    }
}

/// Returns what SQLite said, with the statement's beginning where it could not be understood.
fn told(error: &rusqlite::Error) -> String {
    const SHOWN: usize = 60;
    match error {
        rusqlite::Error::SqlInputError {
            msg, sql, offset, ..
        } => {
            let at = usize::try_from(*offset).unwrap_or(0);
            let rest = sql.get(at..).unwrap_or(sql).trim();
            let near: String = rest
                .lines()
                .next()
                .unwrap_or("")
                .chars()
                .take(SHOWN)
                .collect();
            format!("{msg}, near `{near}`")
        }
        denied
            if denied.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied) =>
        {
            "not authorized: a file may not change how the database is written, or end its transaction"
                .to_owned()
        }
        other => other.to_string(),
    }
}
