//! The examination of a private copy with SQLite, in this process.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::super::{Class, Depth, Examination, Examiner, Opened, Request};
use super::{Bench, Bytes};
use crate::guard::{Column, Identity};

const ENOUGH: Duration = Duration::from_secs(60);

fn full() -> Request {
    Request {
        depth: Depth::Full,
        foreign_keys: true,
        count_rows: true,
        ..Request::default()
    }
}

fn examine(path: &Path, request: &Request) -> Examination {
    Examiner::Here.examine(path, request, ENOUGH).unwrap()
}

fn column(table: &str, column: &str) -> Column {
    Column {
        table: table.to_owned(),
        column: column.to_owned(),
    }
}

#[test]
fn a_healthy_database_is_counted_and_told_apart() {
    let bench = Bench::new();
    bench.closed(
        "CREATE TABLE user(id TEXT, created_at); INSERT INTO user VALUES ('b', 2), ('a', 1), (NULL, 0); \
         CREATE TABLE \"a \"\"b\"\" ;--\"(x); CREATE VIEW v AS SELECT * FROM user; CREATE VIRTUAL TABLE f USING fts5(x); \
         INSERT INTO f VALUES ('word'); CREATE TABLE alembic_version(version_num); INSERT INTO alembic_version VALUES ('c0ffee'); \
         PRAGMA user_version=-5; PRAGMA application_id=77;",
    );
    let request = Request {
        revision: Some(column("alembic_version", "version_num")),
        identity: Some(Identity {
            table: "user".to_owned(),
            column: "id".to_owned(),
            oldest_by: "created_at".to_owned(),
        }),
        ..full()
    };
    let found = examine(&bench.path(), &request);
    assert_eq!(found.opened, Opened::Yes);
    assert_eq!((found.integrity.len(), found.checked), (0, Depth::Full));
    assert_eq!(found.tables["user"], Some(3));
    assert_eq!(found.tables["a \"b\" ;--"], Some(0));
    assert_eq!(found.virtual_tables, ["f"]);
    assert!(!found.tables.contains_key("f") && !found.tables.contains_key("v"));
    assert_eq!(found.revision, ["c0ffee"]);
    assert_eq!(
        found.identity,
        [b"a", b"b"].map(|id| blake3::hash(id).to_hex().to_string())
    );
    assert_eq!(
        (found.user_version, found.application_id),
        (Some(-5), Some(77))
    );
    assert_eq!(found.foreign_keys.violations, Some(0));
    assert!(found.errors.is_empty() && !found.deadline_hit && !found.is_damaged());
}

#[test]
fn a_column_that_is_not_there_is_not_its_own_name() {
    let bench = Bench::new();
    bench.closed("CREATE TABLE user(id); INSERT INTO user VALUES (1);");
    let request = Request {
        revision: Some(column("user", "version_num")),
        ..Request::default()
    };
    let found = examine(&bench.path(), &request);
    assert!(found.revision.is_empty() && found.errors.is_empty());
    assert_eq!(found.missing_columns, ["user.version_num"]);
}

#[test]
fn the_log_is_read_and_left_unless_a_fold_is_asked() {
    let bench = Bench::new();
    let bytes =
        bench.crashed("PRAGMA journal_mode=WAL; CREATE TABLE a(b); INSERT INTO a VALUES (1), (2);");
    let folder = tempfile::tempdir().unwrap();
    let path = bytes.put(folder.path());
    let names = || {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let found = examine(&path, &full());
    assert_eq!((found.tables["a"], found.folded), (Some(2), None));
    assert_eq!(names(), ["copy", "copy-wal"]);
    assert_eq!(fs::read(&path).unwrap(), bytes.main.unwrap());
    assert_eq!(
        fs::read(folder.path().join("copy-wal")).unwrap(),
        bytes.wal.unwrap()
    );

    let fold = Request {
        fold: true,
        ..full()
    };
    let found = examine(&path, &fold);
    assert_eq!((found.tables["a"], found.folded), (Some(2), Some(true)));
    assert_eq!(found.journal_mode.as_deref(), Some("wal"));
    assert_eq!(names(), ["copy"]);
    assert_eq!(fs::read(&path).unwrap()[18..20], [2, 2]);
    assert_eq!(examine(&path, &full()).tables["a"], Some(2));
}

#[test]
fn damage_and_disagreement_are_two_classes() {
    let bench = Bench::new();
    bench.closed(
        "CREATE TABLE a(b CHECK (b < 10), c); CREATE INDEX i ON a(b); INSERT INTO a VALUES (1, 1), (2, 2); \
         PRAGMA ignore_check_constraints=ON; INSERT INTO a VALUES (20, 1);",
    );
    let classes = |found: &Examination| {
        found
            .integrity
            .iter()
            .map(|problem| problem.class)
            .collect::<Vec<_>>()
    };
    let found = examine(&bench.path(), &full());
    assert_eq!(classes(&found), [Class::IndexDisagrees], "{found:?}");
    assert!(!found.is_damaged());

    let mut bytes =
        Bench::new().closed("CREATE TABLE a(b); INSERT INTO a VALUES (zeroblob(9000));");
    // The overflow chain of the row points nowhere.
    bytes.main()[2 * 4096..2 * 4096 + 4].copy_from_slice(&[0, 0, 9, 9]);
    let folder = tempfile::tempdir().unwrap();
    let found = examine(&bytes.put(folder.path()), &full());
    assert!(classes(&found).contains(&Class::Damaged) && found.is_damaged());
}

#[test]
fn an_index_that_lacks_a_row_is_found_by_the_full_check_and_the_rows_count_by_the_table() {
    let bench = Bench::new();
    bench.closed(
        "CREATE TABLE a(b, c); CREATE INDEX i ON a(b); INSERT INTO a VALUES (1, 1), (2, 2); PRAGMA writable_schema=ON; \
         UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON a(b) WHERE b < 0' WHERE name = 'i';",
    );
    // With the partial index gone from memory, this row reaches the table only.
    bench.closed(
        "INSERT INTO a VALUES (3, 3); PRAGMA writable_schema=ON; \
         UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON a(b)' WHERE name = 'i';",
    );
    let found = examine(&bench.path(), &full());
    assert_eq!(found.tables["a"], Some(3));
    assert!(
        !found.integrity.is_empty() && !found.is_damaged(),
        "{found:?}"
    );
    let quick = Request {
        depth: Depth::Quick,
        ..full()
    };
    // SQLite 3.50 counts entries in the quick check, too; it still does not look which row is missing.
    let found = examine(&bench.path(), &quick);
    assert_eq!(found.integrity.len(), 1, "{found:?}");
}

#[test]
fn foreign_keys_without_a_parent_table_are_no_violation() {
    let bench = Bench::new();
    bench.closed(
        "PRAGMA foreign_keys=OFF; CREATE TABLE parent(id PRIMARY KEY); CREATE TABLE child(p REFERENCES Parent(id)); \
         CREATE TABLE segments(c REFERENCES collection(id)); INSERT INTO segments VALUES (1), (2); \
         INSERT INTO child VALUES (7);",
    );
    let found = examine(&bench.path(), &full());
    assert_eq!(found.foreign_keys.violations, Some(1));
    assert_eq!(found.foreign_keys.first, ["child row 1 -> Parent"]);
}

#[test]
fn a_function_of_the_application_hides_neither_the_other_tables_nor_is_it_damage() {
    let bench = Bench::new();
    let connection = bench.open();
    connection
        .create_scalar_function(
            "secret",
            1,
            rusqlite::functions::FunctionFlags::SQLITE_DETERMINISTIC,
            |_| Ok(1),
        )
        .unwrap();
    connection
        .execute_batch(
            "CREATE TABLE a(b CHECK (secret(b))); INSERT INTO a VALUES (1); CREATE TABLE c(d CHECK (d < 5)); \
             PRAGMA ignore_check_constraints=ON; INSERT INTO c VALUES (9);",
        )
        .unwrap();
    drop(connection);
    let found = examine(&bench.path(), &full());
    assert!(!found.is_damaged());
    assert!(
        found
            .integrity
            .iter()
            .any(|problem| problem.message.contains("CHECK constraint failed in c")),
        "{found:?}"
    );
    assert!(
        found
            .errors
            .iter()
            .all(|problem| problem.class == Class::CouldNot)
    );
    assert!(!found.errors.is_empty());
    assert_eq!(found.checked, Depth::Bytes);
    assert_eq!(found.tables["a"], Some(1));
}

#[test]
fn what_opening_would_destroy_is_refused() {
    let refused = |bytes: &Bytes| {
        let folder = tempfile::tempdir().unwrap();
        let path = bytes.put(folder.path());
        let found = examine(&path, &full());
        let after = ["", "-wal", "-journal"]
            .map(|suffix| fs::read(folder.path().join(format!("copy{suffix}"))).ok());
        assert_eq!(
            after,
            [bytes.main.clone(), bytes.wal.clone(), bytes.journal.clone()]
        );
        match found.opened {
            Opened::CouldNot { message } => message,
            other => panic!("{other:?}"),
        }
    };
    let mut bytes = Bench::new().crashed("PRAGMA journal_mode=WAL; CREATE TABLE a(b);");
    bytes.main().clear();
    assert!(refused(&bytes).contains("0 bytes"));

    let found = examine(Path::new("relative"), &full());
    assert!(matches!(found.opened, Opened::CouldNot { .. }));
    let folder = tempfile::tempdir().unwrap();
    let found = examine(folder.path(), &full());
    assert!(matches!(found.opened, Opened::CouldNot { .. }));
    let found = examine(&folder.path().join("absent"), &full());
    assert!(matches!(found.opened, Opened::CouldNot { .. }));
    assert!(!folder.path().join("absent").exists());
}

#[test]
fn a_commit_over_two_databases_is_not_recovered_here() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let connection = Connection::open(at("one")).unwrap();
    connection
        .execute_batch(&format!(
            "ATTACH '{}' AS two; CREATE TABLE a(b); CREATE TABLE two.a(b); INSERT INTO a VALUES (zeroblob(9000)); \
             INSERT INTO two.a VALUES (zeroblob(9000));",
            at("two").display()
        ))
        .unwrap();
    connection
        .execute_batch(
            "BEGIN; UPDATE a SET b = zeroblob(9001); UPDATE two.a SET b = zeroblob(9001);",
        )
        .unwrap();
    let mut bytes = Bytes {
        main: fs::read(at("one")).ok(),
        journal: fs::read(at("one-journal")).ok(),
        wal: None,
    };
    super::journal::name_super_journal(bytes.journal(), b"/app/data/one-mj1A2B3C4D");
    // The header of a journal that was never synced is zeros; this one is as after the sync.
    bytes.journal()[..8].copy_from_slice(&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    let copy = tempfile::tempdir().unwrap();
    let path = bytes.put(copy.path());
    let Opened::CouldNot { message } = examine(&path, &full()).opened else {
        panic!("it was opened");
    };
    assert!(message.contains("one-mj1A2B3C4D"), "{message}");
    assert_eq!(
        fs::read(copy.path().join("copy-journal")).ok(),
        bytes.journal
    );
}

#[test]
fn an_fts5_table_of_a_version_that_never_was_is_damaged_and_one_of_a_newer_version_is_not() {
    for (version, damaged) in [(0, true), (-7, true), (100_000, true), (7, false)] {
        let bench = Bench::new();
        bench.closed("CREATE TABLE t(x); CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('word')");
        bench.closed(&format!(
            "UPDATE f_config SET v = {version} WHERE k = 'version'"
        ));
        let found = examine(&bench.path(), &full());
        assert_eq!(found.is_damaged(), damaged, "{version}: {found:?}");
        assert!(found.problems().next().is_some(), "{version}: {found:?}");
    }
}
