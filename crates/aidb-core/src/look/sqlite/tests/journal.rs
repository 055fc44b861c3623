//! The rollback journal: hot or not, how far it plays back, and whether it belongs.

use super::super::{Fits, JournalState};
use super::{Bench, Bytes, by_sqlite, by_us};

/// A transaction that has written to the main file and is not committed.
const SPILL: &str = "PRAGMA cache_size=2; BEGIN; UPDATE a SET b = zeroblob(2100); CREATE TABLE late(x); \
                     INSERT INTO a(b) SELECT zeroblob(3000) FROM a; UPDATE a SET b = zeroblob(2200);";

fn filled() -> Bench {
    let bench = Bench::new();
    bench.closed(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, b); CREATE INDEX i ON a(b); INSERT INTO a(b) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) SELECT zeroblob(2000) FROM n;",
    );
    bench
}

#[test]
fn a_hot_journal_is_followed_to_its_end_and_rolled_back() {
    let bench = filled();
    let before = bench.bytes().facts();
    let bytes = bench.crashed(SPILL);
    let facts = bytes.facts();
    assert!(facts.journal.hot && facts.journal.rolls_back());
    assert_eq!(facts.journal.fits, Fits::Yes);
    assert_eq!(facts.journal.state, JournalState::Ok);
    assert!(facts.journal.valid_records > 10);
    assert_eq!(
        facts.journal.promised_records,
        Some(facts.journal.valid_records)
    );
    assert!(!facts.journal.torn && !facts.truncated);
    assert_eq!(facts.expected_pages, before.expected_pages);
    assert_eq!(facts.tables(), ["a"]);
    assert_eq!(by_us(&facts), by_sqlite(&bytes));
}

#[test]
fn a_cut_or_flipped_journal_is_torn() {
    let bench = filled();
    let whole = bench.crashed(SPILL);
    let valid = whole.facts().journal.valid_records;
    let mut cut = whole.clone();
    // In the middle of the first record. A cut between two segments cannot be told: nothing promises the next one.
    cut.journal().truncate(512 + 100);
    let facts = cut.facts();
    assert!(facts.journal.torn && valid > 0);
    assert_eq!(facts.journal.valid_records, 0);

    // The checksum takes every 200th byte from the end of a page: byte 4096 - 200 of the first one.
    let mut flipped = whole.clone();
    flipped.journal()[512 + 4 + 4096 - 200] ^= 1;
    let facts = flipped.facts();
    assert!(facts.journal.torn);
    assert_eq!(facts.journal.valid_records, 0);
}

#[test]
fn what_a_finished_transaction_leaves_is_not_hot() {
    for (mode, state) in [
        ("DELETE", JournalState::Absent),
        ("TRUNCATE", JournalState::Empty),
        ("PERSIST", JournalState::Finished),
    ] {
        let bench = filled();
        let bytes = bench.crashed(&format!(
            "PRAGMA journal_mode={mode}; UPDATE a SET b = zeroblob(1000); CREATE TABLE late(x);"
        ));
        let facts = bytes.facts();
        assert_eq!(facts.journal.state, state, "{mode}");
        assert!(!facts.journal.hot && !facts.journal.rolls_back(), "{mode}");
        assert_eq!(facts.tables(), ["a", "late"], "{mode}");
    }
}

#[test]
fn a_journal_beside_an_empty_file_is_not_hot_and_the_file_is_not_new() {
    let bench = filled();
    let mut bytes = bench.crashed(SPILL);
    bytes.main().clear();
    let facts = bytes.facts();
    assert!(!facts.journal.hot);
    assert!(!facts.never_initialised());
}

#[test]
fn a_journal_that_made_the_database_leaves_nothing_of_it() {
    let bench = Bench::new();
    let bytes = bench.crashed(
        "PRAGMA cache_size=2; BEGIN; CREATE TABLE a(b); INSERT INTO a \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) SELECT zeroblob(2000) FROM n;",
    );
    let facts = bytes.facts();
    assert!(facts.journal.hot, "{:?}", facts.journal);
    assert_eq!(facts.journal.initial_pages, 0);
    assert!(facts.tables().is_empty());
    assert!(by_sqlite(&bytes).is_empty());
}

#[test]
fn a_journal_of_another_time_or_database_does_not_fit() {
    let bench = filled();
    let journal = bench.crashed(SPILL).journal;
    // The connection closed and rolled back; the database goes on.
    for round in 0..3 {
        bench.closed(&format!("CREATE TABLE t{round}(x)"));
    }
    let mut bytes = bench.bytes();
    assert_eq!(bytes.journal, None);
    bytes.journal = journal;
    let facts = bytes.facts();
    assert!(facts.journal.hot);
    assert!(
        matches!(facts.journal.fits, Fits::No { .. }),
        "{:?}",
        facts.journal
    );
    assert_eq!(facts.tables().len(), 4);

    let other = Bench::new();
    bytes.main = other
        .closed("PRAGMA page_size=8192; CREATE TABLE own(x)")
        .main;
    assert!(matches!(bytes.facts().journal.fits, Fits::No { .. }));
}

#[test]
fn a_killed_vacuum_that_changes_the_page_size_fits() {
    let bench = filled();
    let connection = bench.open();
    connection
        .execute_batch("PRAGMA page_size=8192; PRAGMA cache_size=2;")
        .unwrap();
    // The last thing a commit does is to remove the journal: until then, copy what is there.
    let folder = bench.folder.path().to_owned();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    connection.progress_handler(
        1,
        Some(move || {
            let at = |name: &str| std::fs::read(folder.join(name)).ok();
            if let (Some(main), Some(journal)) = (at("db"), at("db-journal")) {
                sink.lock().unwrap().push((main, journal));
            }
            false
        }),
    );
    connection.execute_batch("VACUUM").unwrap();
    for (main, journal) in seen.lock().unwrap().drain(..) {
        let bytes = Bytes {
            main: Some(main),
            journal: Some(journal),
            wal: None,
        };
        let facts = bytes.facts();
        assert!(
            !matches!(facts.journal.fits, Fits::No { .. }),
            "{:?}",
            facts.journal
        );
        assert_eq!(facts.tables(), ["a"]);
    }
}

/// Adds what a commit over several databases writes at the journal's end.
pub(super) fn name_super_journal(journal: &mut Vec<u8>, name: &[u8]) {
    let sum: u32 = name.iter().map(|byte| u32::from(*byte)).sum();
    journal.extend((0x4000_0000_u32 / 4096 + 1).to_be_bytes());
    journal.extend(name);
    journal.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
    journal.extend(sum.to_be_bytes());
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
}

#[test]
fn a_super_journal_is_named_with_where_its_record_begins() {
    let bench = filled();
    let mut bytes = bench.crashed(SPILL);
    let name = b"/app/data/db-mj1A2B3C4D";
    let begins_at = bytes.journal().len() as u64;
    name_super_journal(bytes.journal(), name);
    let named = bytes.facts().journal.super_journal.unwrap();
    assert_eq!(named.name.as_bytes(), name);
    assert_eq!(named.begins_at, begins_at);
    // SQLite itself reads it so: the super-journal does not exist, so the transaction counts as committed.
    let folder = tempfile::tempdir().unwrap();
    let path = bytes.put(folder.path());
    let connection = rusqlite::Connection::open(path).unwrap();
    let _ = connection.execute_batch("SELECT * FROM sqlite_schema");
    assert!(!folder.path().join("copy-journal").exists());
    assert_ne!(
        std::fs::read(folder.path().join("copy")).unwrap().len() as u64,
        bytes.facts().expected_pages * 4096
    );
    // Cut there, the copy names none and is rolled back.
    bytes
        .journal()
        .truncate(usize::try_from(begins_at).unwrap());
    assert_eq!(bytes.facts().journal.super_journal, None);
    assert_eq!(by_us(&bytes.facts()), by_sqlite(&bytes));
}
