//! The schema reader against SQLite's own: page sizes, encodings, deep trees, long texts, names, modules.

use super::super::{Kind, Problem};
use super::{Bench, by_sqlite, by_us};

/// More than one page of schema at every page size, with a text that needs overflow pages, indexes that SQLite makes by
/// itself, a view, a trigger, a table without rowid and two of modules.
fn rich() -> String {
    use std::fmt::Write;
    let mut sql = String::new();
    for number in 0..400 {
        write!(
            sql,
            "CREATE TABLE \"tabelle \u{fc} {number}\"(a UNIQUE, b, c TEXT DEFAULT '{}');",
            "x".repeat(number)
        )
        .unwrap();
    }
    write!(
        sql,
        "CREATE TABLE long(a, b DEFAULT '{}');",
        "y".repeat(100_000)
    )
    .unwrap();
    sql.push_str(
        "CREATE TABLE w(a PRIMARY KEY, b) WITHOUT ROWID; CREATE VIEW v AS SELECT * FROM w; \
         CREATE INDEX i ON w(b) WHERE b > 1; CREATE TRIGGER tr AFTER INSERT ON w BEGIN SELECT 1; END; \
         CREATE TABLE seq(a INTEGER PRIMARY KEY AUTOINCREMENT); \
         CREATE VIRTUAL TABLE ft USING fts5(x); CREATE VIRTUAL TABLE \"using\" USING \"rtree\"(id, x, y);",
    );
    sql
}

#[test]
fn every_page_size_and_vacuum_mode_is_read_as_sqlite_reads_it() {
    for (number, shift) in (9..=16).enumerate() {
        let bench = Bench::new();
        let bytes = bench.closed(&format!(
            "PRAGMA page_size={}; PRAGMA auto_vacuum={}; BEGIN; {} COMMIT;",
            1 << shift,
            number % 3,
            rich()
        ));
        let facts = bytes.facts();
        assert_eq!(facts.current.as_ref().unwrap().page_size, 1 << shift);
        assert_eq!(facts.current.as_ref().unwrap().auto_vacuum, number % 3 != 0);
        assert_eq!(by_us(&facts), by_sqlite(&bytes), "page size {}", 1 << shift);
    }
}

#[test]
fn every_encoding_is_read_as_sqlite_reads_it() {
    for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
        let bench = Bench::new();
        let bytes = bench.closed(&format!(
            "PRAGMA encoding='{encoding}'; BEGIN; {} COMMIT;",
            rich()
        ));
        assert_eq!(by_us(&bytes.facts()), by_sqlite(&bytes), "{encoding}");
    }
}

#[test]
fn reserved_bytes_are_left_out() {
    // No extension of ours reserves bytes; an empty database is made to, and SQLite goes on with it.
    let bench = Bench::new();
    let mut bytes = bench.closed("VACUUM; PRAGMA user_version=1;");
    bytes.main()[20] = 32;
    bytes.main()[105..107].copy_from_slice(&(4096_u16 - 32).to_be_bytes());
    let mut file = std::fs::File::create(bench.path()).unwrap();
    std::io::Write::write_all(&mut file, bytes.main()).unwrap();
    drop(file);
    let bytes = bench.closed(&format!("BEGIN; {} COMMIT;", rich()));
    let facts = bytes.facts();
    assert_eq!(facts.current.as_ref().unwrap().reserved_bytes, 32);
    assert_eq!(by_us(&facts), by_sqlite(&bytes));
}

#[test]
fn tables_are_the_real_ones_without_those_of_sqlite() {
    let bench = Bench::new();
    let facts = bench
        .closed(
            "CREATE TABLE a(x INTEGER PRIMARY KEY AUTOINCREMENT); CREATE VIEW v AS SELECT * FROM a; \
             CREATE TABLE \"a;\n\u{1b}[31m\"(x); CREATE VIRTUAL TABLE f USING fts4(x); ANALYZE;",
        )
        .facts();
    assert_eq!(
        facts.tables(),
        [
            "a",
            "a;\n\u{1b}[31m",
            "f",
            "f_content",
            "f_segments",
            "f_segdir",
            "f_docsize",
            "f_stat"
        ]
    );
    let flagged: Vec<_> = facts
        .relations()
        .filter(|entry| entry.kind == Kind::Virtual)
        .map(|entry| entry.name.as_str())
        .collect();
    assert_eq!(flagged, ["f"]);
    assert!(facts.schema.unwrap().missing_modules.is_empty());
}

#[test]
fn the_list_of_modules_is_what_this_sqlite_has() {
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    let mut statement = connection
        .prepare("SELECT name FROM pragma_module_list")
        .unwrap();
    let names: Vec<String> = statement
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .filter(|name: &String| !name.starts_with("pragma_"))
        .collect();
    for name in &names {
        assert!(
            super::super::schema::MODULES.contains(&name.as_str()),
            "{name}"
        );
    }
    // Table-valued functions are registered when they are first used.
    for name in super::super::schema::MODULES {
        assert!(
            names.iter().any(|known| known == name) || name.starts_with("json_"),
            "{name}"
        );
    }
}

/// Changes the stored schema as no statement can.
fn doctored(sql: &str, change: &str) -> super::Bytes {
    let bench = Bench::new();
    bench.closed(&format!(
        "{sql} PRAGMA writable_schema=ON; {change}; PRAGMA writable_schema=OFF;"
    ))
}

#[test]
fn entries_for_which_sqlite_refuses_the_file_are_malformed() {
    for (change, expected) in [
        (
            "UPDATE sqlite_schema SET name = CAST(x'610062' AS TEXT) WHERE name='a'",
            "zero byte",
        ),
        (
            "UPDATE sqlite_schema SET sql = 'CRXATE TABLE a(x)' WHERE name='a'",
            "no CREATE",
        ),
        (
            "UPDATE sqlite_schema SET sql = NULL WHERE name='a'",
            "no SQL text",
        ),
        (
            "UPDATE sqlite_schema SET type = 'tabel' WHERE name='a'",
            "no known kind",
        ),
        (
            "UPDATE sqlite_schema SET name = 'B', tbl_name = 'B' WHERE name='a'",
            "two of that name",
        ),
        (
            "UPDATE sqlite_schema SET rootpage = 'x' WHERE name='a'",
            "no schema row",
        ),
    ] {
        let facts = doctored("CREATE TABLE a(x); CREATE TABLE b(x);", change).facts();
        let malformed = facts.schema.unwrap().malformed;
        assert!(
            malformed.len() == 1 && malformed[0].contains(expected),
            "{change}: {malformed:?}"
        );
    }
}

#[test]
fn root_pages_that_cannot_be_are_told() {
    for (root, expected) in [
        ("0", "expected a page"),
        ("99", "expected a page"),
        ("-3", "expected a page"),
        (
            "(SELECT rootpage FROM sqlite_schema WHERE name='b')",
            "also the root",
        ),
        ("5", "found 0"),
    ] {
        let facts = doctored(
            "CREATE TABLE b(x); CREATE TABLE a(x); CREATE INDEX i ON b(x); INSERT INTO a VALUES (zeroblob(9000));",
            &format!("UPDATE sqlite_schema SET rootpage = {root} WHERE name='a'"),
        )
        .facts();
        let bad = facts.schema.unwrap().bad_roots;
        assert!(
            bad.len() == 1 && bad[0].why.contains(expected),
            "{root}: {bad:?}"
        );
    }
}

#[test]
fn code_that_no_check_may_run_is_named_and_harmless_words_are_not() {
    let unsafe_of = |sql: &str| {
        let facts = Bench::new().closed(sql).facts();
        facts.schema.unwrap().unsafe_schema
    };
    let found = unsafe_of(
        "CREATE TABLE t(x); CREATE VIEW v AS SELECT load_extension('/tmp/x'); \
         CREATE VIEW q AS SELECT \"Load_Extension\" /* - */ ('/tmp/x'); \
         CREATE VIEW bomb AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT * FROM n;",
    );
    assert_eq!(
        found,
        [
            "v: calls `load_extension`",
            "q: calls `load_extension`",
            "bomb: is a recursive query"
        ]
    );
    assert!(
        unsafe_of(
            "CREATE TABLE recursive(load_extension, note DEFAULT 'load_extension(x)' /* readfile(y) */); \
             CREATE VIEW fine AS SELECT 'writefile(1)', load_extension FROM recursive -- readfile(2)\n;"
        )
        .is_empty()
    );
}

#[test]
fn a_module_that_is_not_there_is_named() {
    let facts = doctored(
        "CREATE TABLE a(x);",
        "INSERT INTO sqlite_schema VALUES ('table', 'ft', 'ft', 0, 'CREATE VIRTUAL TABLE ft USING [NoSuch](x)')",
    )
    .facts();
    assert_eq!(
        facts.schema.unwrap().missing_modules,
        ["ft (module nosuch)"]
    );
}

#[test]
fn a_tree_that_comes_back_to_itself_ends() {
    let bench = Bench::new();
    let mut bytes = bench.closed(&format!("PRAGMA page_size=512; BEGIN; {} COMMIT;", rich()));
    // Page 1 is an interior page: its right-most child becomes itself, and then its left-most.
    assert_eq!(bytes.main()[100], 5);
    bytes.main()[108..112].copy_from_slice(&1_u32.to_be_bytes());
    assert!(matches!(
        bytes.facts().schema,
        Err(Problem::Damaged { page: Some(1), .. })
    ));
}

#[test]
fn more_entries_than_are_kept_are_told() {
    use std::fmt::Write;
    let mut sql = "BEGIN;".to_owned();
    for number in 0..10_050 {
        write!(sql, "CREATE VIEW v{number} AS SELECT 1;").unwrap();
    }
    let facts = Bench::new().closed(&format!("{sql} COMMIT;")).facts();
    let schema = facts.schema.unwrap();
    assert!(!schema.complete);
    assert_eq!(schema.entries.len(), 10_000);
}
