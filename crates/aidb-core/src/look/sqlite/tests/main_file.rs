//! The main file: header, size, and what is no database.

use super::super::{Looks, MainFile, NotSqlite, Problem};
use super::{Bench, Bytes};

fn looks(bytes: &[u8]) -> Looks {
    let bytes = Bytes {
        main: Some(bytes.to_vec()),
        ..Bytes::default()
    };
    match bytes.facts().main {
        MainFile::NotSqlite(NotSqlite { looks }) => looks,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_database_is_named() {
    assert_eq!(looks(&[0; 4096]), Looks::Zeros);
    let mut later = vec![0; 200_000];
    later[199_000] = 1;
    assert_eq!(looks(&later), Looks::ZerosFirst);
    assert_eq!(looks(b"hello\nworld, how are you\n"), Looks::Text);
    assert_eq!(looks(&[0x1f, 0x8b, 8, 0, 1, 2, 3]), Looks::Gzip);
    assert_eq!(looks(b"PK\x03\x04 and so on"), Looks::Zip);
    assert_eq!(looks(b"\xfd7zXZ\0\0\0"), Looks::Compressed);
    assert_eq!(
        looks(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        Looks::GitLfsPointer
    );
    assert_eq!(
        looks(b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"),
        Looks::SqlDump
    );
    assert_eq!(looks(&[1, 2, 3]), Looks::TooShort);
    let structured: Vec<u8> = (0..8192_u32).map(|n| (n / 64).to_le_bytes()[0]).collect();
    assert_eq!(looks(&structured[100..4000]), Looks::Unknown);
    let mut random = Vec::new();
    blake3::Hasher::new().finalize_xof().fill({
        random.resize(20_000, 0);
        &mut random
    });
    assert_eq!(looks(&random), Looks::Random);
}

#[test]
fn a_header_that_cannot_be_is_told_from_another_kind_of_file() {
    let bench = Bench::new();
    let bytes = bench.closed("CREATE TABLE a(b)");
    for (at, value) in [(16, 24), (16, 0), (21, 63)] {
        let mut bytes = bytes.clone();
        bytes.main()[at] = value;
        assert!(matches!(
            bytes.facts().main,
            MainFile::NotSqlite(NotSqlite {
                looks: Looks::BadHeader { .. }
            })
        ));
    }
    let mut cut = bytes.clone();
    cut.main().truncate(60);
    assert!(matches!(
        cut.facts().main,
        MainFile::NotSqlite(NotSqlite {
            looks: Looks::BadHeader { .. }
        })
    ));
}

#[test]
fn formats_of_the_future_are_unsupported_and_impossible_ones_damaged() {
    let bench = Bench::new();
    let bytes = bench.closed("CREATE TABLE a(b)");
    let problem = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes.main()[at] = value;
        bytes.facts().schema.unwrap_err()
    };
    assert!(matches!(problem(47, 9), Problem::Unsupported { .. }));
    assert!(matches!(problem(19, 3), Problem::Unsupported { .. }));
    assert!(matches!(problem(59, 7), Problem::Damaged { .. }));
}

#[test]
fn missing_pages_and_trailing_bytes_are_counted() {
    let bench = Bench::new();
    let whole = bench.closed(
        "CREATE TABLE a(b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) \
         INSERT INTO a SELECT zeroblob(3000) FROM n;",
    );
    let facts = whole.facts();
    assert!(!facts.truncated && facts.trailing_bytes == 0);
    assert_eq!(facts.expected_pages * 4096, facts.size_bytes);

    let mut cut = whole.clone();
    cut.main().truncate(10 * 4096 + 100);
    let facts = cut.facts();
    assert!(facts.truncated);
    assert_eq!(facts.actual_pages, 10);
    assert_eq!(facts.missing_pages, facts.expected_pages - 10);
    assert_eq!(facts.trailing_bytes, 100);

    let mut longer = whole.clone();
    longer.main().extend([7; 4096 + 9]);
    let facts = longer.facts();
    assert!(!facts.truncated);
    assert_eq!(facts.trailing_bytes, 4096 + 9);

    // The page count does not hold when a writer older than 3.7.0 was last: the file's size counts.
    let mut old = whole.clone();
    old.main()[31] ^= 0x40;
    old.main()[95] ^= 1;
    assert!(!old.facts().truncated);
}

#[test]
fn only_what_never_held_a_table_was_never_initialised() {
    assert!(!Bytes::default().facts().never_initialised());
    let empty = Bytes {
        main: Some(Vec::new()),
        ..Bytes::default()
    };
    assert!(empty.facts().never_initialised());

    let bench = Bench::new();
    assert!(
        bench
            .closed("PRAGMA user_version=3")
            .facts()
            .never_initialised()
    );
    let dropped = bench.closed("CREATE TABLE a(b); DROP TABLE a;").facts();
    assert!(dropped.never_initialised() && dropped.was_emptied());
    assert!(
        !bench
            .closed("CREATE TABLE a(b)")
            .facts()
            .never_initialised()
    );

    // All of the tables are in the log; the main file alone has none.
    let bench = Bench::new();
    bench.closed("PRAGMA journal_mode=WAL");
    let mut crashed = bench.crashed("CREATE TABLE a(b); INSERT INTO a VALUES (1);");
    assert!(!crashed.facts().never_initialised());
    assert_eq!(crashed.facts().tables(), ["a"]);
    // An empty file beside a log that held tables has lost them; it is not new.
    crashed.main().clear();
    assert!(!crashed.facts().never_initialised());
    assert_eq!(crashed.facts().main, MainFile::Empty);
    // A log whose header is gone held something.
    crashed.wal()[0] ^= 1;
    assert!(!crashed.facts().never_initialised());
    crashed.wal = None;
    assert!(crashed.facts().never_initialised());
}
