//! The write-ahead log: commits, tails, tears, generations, and whether it belongs.

use super::super::{Fits, WalState};
use super::{Bench, Bytes, by_sqlite, by_us};

const START: &str = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE a(id INTEGER PRIMARY KEY, b);";

fn frame(bytes: &mut Bytes, number: usize) -> &mut [u8] {
    let at = 32 + number * (24 + 4096);
    &mut bytes.wal()[at..at + 24 + 4096]
}

/// Ten commits after those that make the table.
fn ten() -> Bytes {
    let bench = Bench::new();
    let inserts = "INSERT INTO a(b) VALUES (hex(randomblob(2000)));".repeat(10);
    bench.crashed(&format!("{START} CREATE INDEX i ON a(b); {inserts}"))
}

#[test]
fn commits_are_counted_and_laid_over_the_main_file() {
    let bytes = ten();
    let facts = bytes.facts();
    assert_eq!(facts.wal.state, WalState::Ok);
    assert_eq!(facts.wal.fits, Fits::Yes);
    assert_eq!(facts.wal.commits, 12);
    assert_eq!(facts.wal.committed_frames, facts.wal.frames);
    assert_eq!(facts.expected_pages, u64::from(facts.wal.pages));
    assert!(facts.actual_pages < facts.expected_pages && !facts.truncated);
    assert!(!facts.wal.is_torn());
    assert_eq!(by_us(&facts), by_sqlite(&bytes));
    assert_eq!(facts.tables(), ["a"]);
    // Without the log, the same file knows no table.
    let alone = Bytes { wal: None, ..bytes };
    assert!(alone.facts().tables().is_empty());
}

#[test]
fn every_length_of_a_cut_log_is_read_as_sqlite_reads_it() {
    let whole = ten();
    let frames = whole.facts().wal.frames;
    for number in 0..=frames {
        for extra in [0, 10, 24, 3000] {
            let mut cut = whole.clone();
            let length = 32 + usize::try_from(number).unwrap() * 4120 + extra;
            if length > whole.wal.as_ref().unwrap().len() {
                continue;
            }
            cut.wal().truncate(length);
            let facts = cut.facts();
            assert_eq!(facts.wal.partial_bytes, extra as u64);
            assert_eq!(
                facts.wal.committed_frames + facts.wal.uncommitted_frames,
                number
            );
            assert_eq!(by_us(&facts), by_sqlite(&cut));
        }
    }
}

#[test]
fn an_unfinished_transaction_at_the_end_is_no_tear() {
    let bench = Bench::new();
    let bytes = bench.crashed(&format!(
        "{START} PRAGMA cache_size=2; BEGIN; INSERT INTO a(b) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT zeroblob(3000) FROM n;"
    ));
    let facts = bytes.facts();
    assert!(facts.wal.uncommitted_frames > 0);
    assert!(!facts.wal.is_torn());
    assert_eq!(facts.wal.commits, 1);
}

#[test]
fn a_rolled_back_transaction_behind_a_commit_is_no_tear() {
    // Its frames carry the salts of this generation, but none of them ends a transaction.
    let bench = Bench::new();
    let bytes = bench.crashed(&format!(
        "{START} PRAGMA cache_size=2; BEGIN; INSERT INTO a(b) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) SELECT zeroblob(3000) FROM n; \
         ROLLBACK; INSERT INTO a(b) VALUES (1);"
    ));
    let facts = bytes.facts();
    assert!(facts.wal.lost_frames > 0, "{:?}", facts.wal);
    assert_eq!(facts.wal.lost_commits, 0);
    assert!(!facts.wal.is_torn());
}

#[test]
fn a_flipped_bit_loses_the_commits_behind_it() {
    let mut bytes = ten();
    frame(&mut bytes, 6)[100] ^= 4;
    let facts = bytes.facts();
    assert_eq!(facts.wal.committed_frames + facts.wal.uncommitted_frames, 6);
    assert!(facts.wal.lost_commits > 0 && facts.wal.is_torn());
    assert_eq!(by_us(&facts), by_sqlite(&bytes));
}

#[test]
fn a_commit_that_ends_in_the_middle_of_its_frame_is_torn() {
    let mut bytes = ten();
    let length = bytes.wal().len();
    bytes.wal().truncate(length - 2000);
    let facts = bytes.facts();
    assert!(facts.wal.partial_commit && facts.wal.is_torn());
    assert_eq!(facts.wal.lost_commits, 0);
    assert_eq!(facts.wal.commits, 11);
}

#[test]
fn a_process_killed_between_a_frames_header_and_its_page_leaves_no_tear() {
    // Behind the end of the file.
    let whole = ten();
    let mut cut = whole.clone();
    let length = cut.wal().len();
    cut.wal().truncate(length - 4096);
    let facts = cut.facts();
    assert!(facts.wal.partial_commit && !facts.wal.is_torn());
    // Over the page of an older generation, and then a shorter transaction before it.
    let mut over = whole;
    let last = usize::try_from(over.facts().wal.frames).unwrap() - 1;
    frame(&mut over, last)[24..].fill(7);
    frame(&mut over, last - 1)[24..].fill(8);
    let facts = over.facts();
    assert!(facts.wal.lost_frames >= 2);
    assert_eq!((facts.wal.lost_commits, facts.wal.is_torn()), (0, false));
}

#[test]
fn frames_of_an_older_generation_are_left_over_and_no_alarm() {
    let bench = Bench::new();
    let inserts = "INSERT INTO a(b) VALUES (zeroblob(2000));".repeat(10);
    let bytes = bench.crashed(&format!(
        "{START} {inserts} PRAGMA wal_checkpoint(RESTART); INSERT INTO a(b) VALUES (1);"
    ));
    let facts = bytes.facts();
    assert_eq!(facts.wal.commits, 1);
    assert_eq!(facts.wal.checkpoint_sequence, 1);
    assert!(facts.wal.leftover_frames > 5, "{:?}", facts.wal);
    assert_eq!((facts.wal.lost_frames, facts.wal.is_torn()), (0, false));
    assert_eq!(facts.wal.fits, Fits::CannotTell); // page 1 is not in it
    assert_eq!(by_us(&facts), by_sqlite(&bytes));
}

#[test]
fn a_log_without_a_header_that_counts_is_empty_to_sqlite() {
    for (at, value) in [(0, 0), (9, 7), (13, 1), (16, 0xff), (30, 0x55)] {
        let mut bytes = ten();
        bytes.wal()[at] ^= value | 1;
        let facts = bytes.facts();
        assert!(
            matches!(facts.wal.state, WalState::BadHeader { .. }),
            "byte {at}: {:?}",
            facts.wal.state
        );
        assert_eq!(by_us(&facts), by_sqlite(&bytes));
    }
    let mut bytes = ten();
    bytes.wal().truncate(20);
    assert!(matches!(
        bytes.facts().wal.state,
        WalState::BadHeader { .. }
    ));
    bytes.wal().clear();
    assert_eq!(bytes.facts().wal.state, WalState::Empty);
}

#[test]
fn both_byte_orders_of_the_checksum_are_understood() {
    // SQLite writes its machine's order; the other one is made by hand, as a machine of that order would have.
    let mut bytes = ten();
    let little = bytes.wal()[3] & 1 == 0;
    let add = |sums: [u32; 2], data: &[u8]| {
        data.chunks_exact(8).fold(sums, |[first, second], eight| {
            let word = |at: usize| {
                let four = eight[at..at + 4].try_into().unwrap();
                if little {
                    u32::from_be_bytes(four)
                } else {
                    u32::from_le_bytes(four)
                }
            };
            let first = first.wrapping_add(word(0)).wrapping_add(second);
            [first, second.wrapping_add(word(4)).wrapping_add(first)]
        })
    };
    let put = |at: &mut [u8], sums: [u32; 2]| {
        at[..4].copy_from_slice(&sums[0].to_be_bytes());
        at[4..8].copy_from_slice(&sums[1].to_be_bytes());
    };
    let wal = bytes.wal();
    wal[3] ^= 1;
    let mut sums = add([0, 0], &wal[..24]);
    put(&mut wal[24..32], sums);
    for frame in wal[32..].chunks_exact_mut(4120) {
        sums = add(add(sums, &frame[..8]), &frame[24..]);
        put(&mut frame[16..24], sums);
    }
    assert_eq!(bytes.facts().wal.commits, 12);
    assert_eq!(by_us(&bytes.facts()), by_sqlite(&bytes));
}

#[test]
fn pages_that_live_in_the_log_only_are_not_missing_and_pages_that_live_nowhere_are() {
    let bench = Bench::new();
    let mut bytes = bench.crashed(&format!(
        "{START} INSERT INTO a(b) VALUES (zeroblob(90000)); PRAGMA wal_checkpoint(RESTART); \
         INSERT INTO a(b) VALUES (zeroblob(90000));"
    ));
    let facts = bytes.facts();
    assert!(facts.expected_pages > facts.actual_pages && !facts.truncated);
    bytes.main().truncate(5 * 4096);
    assert!(bytes.facts().missing_pages > 10);
}

#[test]
fn a_log_beside_a_database_in_rollback_mode_does_not_fit() {
    let mut bytes = ten();
    let other = Bench::new();
    bytes.main = other
        .closed("CREATE TABLE own(x); CREATE TABLE also(x);")
        .main;
    let facts = bytes.facts();
    assert!(matches!(facts.wal.fits, Fits::No { .. }));
    // What is shown is what the main file holds without it.
    assert_eq!(facts.tables(), ["own", "also"]);
}

#[test]
fn a_log_with_other_pages_does_not_fit() {
    let mut bytes = ten();
    let other = Bench::new();
    bytes.main = other
        .closed("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE own(x);")
        .main;
    assert!(matches!(bytes.facts().wal.fits, Fits::No { .. }));
}

#[test]
fn a_log_older_or_newer_than_the_main_file_does_not_fit() {
    let bench = Bench::new();
    let connection = bench.open();
    connection.execute_batch(START).unwrap();
    let grow = |round: usize| {
        // A second connection moves the change counter on.
        for table in 0..3 {
            bench
                .open()
                .execute_batch(&format!("CREATE TABLE t{round}_{table}(x)"))
                .unwrap();
        }
    };
    grow(0);
    let early = bench.bytes();
    for round in 1..4 {
        connection
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        grow(round);
    }
    let late = bench.bytes();
    assert_eq!(early.facts().wal.fits, Fits::Yes);
    assert_eq!(late.facts().wal.fits, Fits::Yes);
    let mixed = |main: &Bytes, wal: &Bytes| Bytes {
        main: main.main.clone(),
        wal: wal.wal.clone(),
        journal: None,
    };
    for facts in [mixed(&late, &early).facts(), mixed(&early, &late).facts()] {
        assert!(matches!(facts.wal.fits, Fits::No { .. }), "{:?}", facts.wal);
    }
}

#[test]
fn a_log_that_breaks_the_schema_of_a_sound_main_file_does_not_fit() {
    // Both databases have the same mode, page size and change counter. The log holds page 1 and the root of `late`; the
    // roots of the other tables are in their main file only, where ours has overflow pages.
    let theirs = Bench::new();
    let log = theirs.crashed(
        "PRAGMA journal_mode=WAL; CREATE TABLE a(x); CREATE TABLE b(x); CREATE TABLE c(x); \
         PRAGMA wal_checkpoint(RESTART); CREATE TABLE late(x);",
    );
    assert_eq!(log.facts().wal.fits, Fits::Yes);
    let ours = Bench::new();
    let mut bytes = ours.closed(
        "PRAGMA journal_mode=WAL; CREATE TABLE own(x); INSERT INTO own VALUES (zeroblob(60000));",
    );
    let counter = log.main.as_ref().unwrap()[24..28].to_vec();
    bytes.main()[24..28].copy_from_slice(&counter);
    bytes.main()[92..96].copy_from_slice(&counter);
    assert_eq!(bytes.facts().tables(), ["own"]);
    bytes.wal = log.wal;
    let facts = bytes.facts();
    let Fits::No { why } = &facts.wal.fits else {
        panic!("{:?}", facts.wal);
    };
    assert!(why.contains("root on page 3"), "{why}");
    assert_eq!(facts.tables(), ["own"]);
}
