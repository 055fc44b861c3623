//! The examiner as a child process: it answers, and whatever becomes of it becomes a clear error.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aidb_core::look::sqlite::values::Wanted;
use aidb_core::look::sqlite::{Depth, Examination, ExamineError, Examiner, Opened, Request};
use rusqlite::Connection;

const ENOUGH: Duration = Duration::from_secs(30);

fn child(memory_limit_bytes: u64) -> Examiner {
    Examiner::Child {
        program: PathBuf::from(env!("CARGO_BIN_EXE_aidb-precheck")),
        memory_limit_bytes,
    }
}

fn ask(path: &Path, request: &Request) -> Result<Examination, ExamineError> {
    child(1 << 30).examine(path, request, ENOUGH)
}

fn database(folder: &Path, sql: &str) -> PathBuf {
    let path = folder.join("a copy \u{e9} of it.db");
    Connection::open(&path)
        .and_then(|connection| connection.execute_batch(sql))
        .expect("SQLite makes a database");
    path
}

/// Scripts are files of the repository: one that a test writes may still be open in another test's child (`ETXTBSY`).
fn script(name: &str) -> Examiner {
    Examiner::Child {
        program: Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/children")
            .join(name),
        memory_limit_bytes: 1 << 30,
    }
}

#[test]
fn the_child_answers_as_this_process_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(
        folder.path(),
        "CREATE TABLE chat(id INTEGER PRIMARY KEY, title); INSERT INTO chat(title) VALUES ('a'), ('b');",
    );
    let request = Request {
        depth: Depth::Full,
        count_rows: true,
        foreign_keys: true,
        ..Request::default()
    };
    let found = ask(&path, &request).unwrap();
    assert_eq!(found.tables["chat"], Some(2));
    assert_eq!(found.checked, Depth::Full);
    assert_eq!(
        found,
        Examiner::Here.examine(&path, &request, ENOUGH).unwrap()
    );
}

#[test]
fn an_answer_larger_than_a_pipe_does_not_dead_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(
        folder.path(),
        "CREATE TABLE file(path); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO file SELECT printf('/app/backend/data/uploads/%050d', i) FROM n;",
    );
    let request = Request {
        wanted: vec![Wanted {
            table: "file".to_owned(),
            columns: vec!["path".to_owned()],
        }],
        ..Request::default()
    };
    let answer = ask(&path, &request).unwrap();
    assert_eq!(answer.values["file"].rows.len(), 20_000);
}

#[test]
fn a_damaged_file_is_an_answer_and_not_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    fs::copy("/proc/self/exe", &path).unwrap();
    let found = ask(&path, &Request::default()).unwrap();
    assert!(matches!(found.opened, Opened::Damaged { .. }), "{found:?}");
}

#[test]
fn a_schema_that_never_ends_meets_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    // Each of 5,000 rows costs a text of 30 MB.
    let path = database(
        folder.path(),
        "CREATE TABLE t(a CHECK (length(printf('%.*c', 30000000 + a, 'x')) > 0)); \
         PRAGMA ignore_check_constraints=ON; \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i FROM n;",
    );
    let begun = Instant::now();
    let result = child(1 << 30).examine(&path, &Request::default(), Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(10));
    match result {
        Ok(found) => assert!(found.deadline_hit, "{found:?}"),
        Err(error) => assert!(matches!(error, ExamineError::Deadline { .. }), "{error}"),
    }
}

#[test]
fn a_child_that_hangs_is_killed_soon_after_the_deadline() {
    let hangs = script("hangs");
    let begun = Instant::now();
    let error = hangs
        .examine(
            Path::new("/x"),
            &Request::default(),
            Duration::from_millis(50),
        )
        .unwrap_err();
    assert!(matches!(error, ExamineError::Deadline { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_child_that_dies_says_how() {
    let dies = script("dies");
    let error = dies
        .examine(Path::new("/x"), &Request::default(), ENOUGH)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("signal: 11") && text.contains("it hurts"),
        "{text}"
    );
}

#[test]
fn too_little_memory_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(
        folder.path(),
        "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(100000000));",
    );
    let request = Request {
        depth: Depth::Full,
        identity: Some(aidb_core::guard::Identity {
            table: "t".to_owned(),
            column: "a".to_owned(),
            oldest_by: "rowid".to_owned(),
        }),
        ..Request::default()
    };
    match child(64 << 20).examine(&path, &request, ENOUGH) {
        Ok(found) => {
            assert!(!found.is_damaged(), "{found:?}");
            assert!(
                found.identity.is_empty() && !found.errors.is_empty(),
                "{found:?}"
            );
        }
        Err(error) => assert!(matches!(error, ExamineError::Memory { .. }), "{error}"),
    }
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let missing = Examiner::Child {
        program: PathBuf::from("/no/such/program"),
        memory_limit_bytes: 1 << 30,
    };
    let error = missing
        .examine(Path::new("/x"), &Request::default(), ENOUGH)
        .unwrap_err();
    assert!(error.to_string().contains("/no/such/program"), "{error}");
}
