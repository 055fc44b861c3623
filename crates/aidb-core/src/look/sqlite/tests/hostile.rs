//! Hostile bytes: whatever they are, there is an answer, soon, and without a panic.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Bench, Bytes};

/// A database with a log, and one with a hot journal; both of several pages of schema.
fn samples() -> &'static [Bytes; 2] {
    static SAMPLES: OnceLock<[Bytes; 2]> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let tables = (0..30)
            .map(|n| format!("CREATE TABLE t{n}(a UNIQUE, b DEFAULT '{}');", "x".repeat(n * 40)))
            .collect::<Vec<_>>()
            .concat();
        let log = Bench::new();
        log.closed(&format!("PRAGMA page_size=512; PRAGMA journal_mode=WAL; {tables}"));
        let log = log.crashed("CREATE TABLE late(x); INSERT INTO t1 VALUES (1, zeroblob(2000)); DROP TABLE t2;");
        let hot = Bench::new();
        hot.closed(&format!("PRAGMA page_size=512; {tables} INSERT INTO t1 VALUES (1, zeroblob(20000));"));
        let hot = hot.crashed(
            "PRAGMA cache_size=2; BEGIN; UPDATE t1 SET b = zeroblob(20001); CREATE TABLE late(x); UPDATE t1 SET b = zeroblob(20002);",
        );
        assert!(log.facts().wal.has_commits() && hot.facts().journal.rolls_back());
        [log, hot]
    })
}

fn answers(bytes: &Bytes) -> Result<(), TestCaseError> {
    let begun = Instant::now();
    let facts = bytes.facts();
    // Debug builds are slow; a loop would take for ever.
    prop_assert!(begun.elapsed() < Duration::from_secs(5));
    prop_assert!(serde_json::to_string(&facts).is_ok());
    prop_assert_eq!(facts.truncated, facts.missing_pages > 0);
    let _ = (
        facts.never_initialised(),
        facts.was_emptied(),
        facts.tables(),
    );
    Ok(())
}

fn mutate(
    file: &mut Option<Vec<u8>>,
    changes: &[(prop::sample::Index, u8)],
    cut: Option<prop::sample::Index>,
) {
    let Some(bytes) = file.as_mut().filter(|bytes| !bytes.is_empty()) else {
        return;
    };
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    if let Some(cut) = cut {
        let length = cut.index(bytes.len());
        bytes.truncate(length);
    }
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec(
        (
            any::<prop::sample::Index>(),
            prop_oneof![any::<u8>(), Just(0), Just(255), Just(5), Just(13)],
        ),
        0..12,
    )
}

/// Makes every cell pointer of page 1 lead to its first cell, as many as there are said to be.
fn repeat_first_cell(main: &mut [u8], cells: u16) {
    let first = [main[108], main[109]];
    main[103..105].copy_from_slice(&cells.to_be_bytes());
    for at in (0..usize::from(cells)).map(|cell| 108 + 2 * cell) {
        main[at..at + 2].copy_from_slice(&first);
    }
}

/// A small file may say that it holds any number of long rows: cells may share their bytes.
#[test]
fn cells_that_share_one_long_row_are_not_read_for_ever() {
    let with_row_of = |length: usize| {
        let bench = Bench::new();
        let long = "x".repeat(length);
        bench.closed(&format!(
            "PRAGMA page_size=4096; CREATE TABLE t(a DEFAULT '{long}')"
        ));
        let mut bytes = bench.bytes();
        let main = bytes.main();
        let cell = u16::from_be_bytes([main[108], main[109]]);
        (bytes, cell)
    };
    // How much of a row lies in its cell depends on its length: here the cell leaves room for many pointers.
    let (mut bytes, _) = (0..8)
        .map(|n| with_row_of(600_000 + n * 500))
        .find(|(_, cell)| *cell > 108 + 2 * 200)
        .unwrap();
    repeat_first_cell(bytes.main(), 200);
    let facts = bytes.facts();
    let schema = facts.schema.as_ref().unwrap();
    assert!(!schema.complete, "{} entries", schema.entries.len());
    assert!(schema.entries.len() < 200 && !facts.never_initialised());
}

#[test]
fn rows_that_are_none_are_counted_like_those_that_are() {
    let bench = Bench::new();
    bench.closed("PRAGMA page_size=65536; CREATE TABLE t(a)");
    let mut bytes = bench.bytes();
    let main = bytes.main();
    repeat_first_cell(main, 20_000);
    let cell = usize::from(u16::from_be_bytes([main[108], main[109]]));
    // Length and rowid take a byte each; a header of one byte has no columns.
    main[cell + 2] = 1;
    let facts = bytes.facts();
    let schema = facts.schema.as_ref().unwrap();
    assert!(!schema.complete && schema.malformed.len() <= 10_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_get_an_answer(
        main in prop::option::of(prop::collection::vec(any::<u8>(), 0..3000)),
        wal in prop::option::of(prop::collection::vec(any::<u8>(), 0..3000)),
        journal in prop::option::of(prop::collection::vec(any::<u8>(), 0..3000)),
    ) {
        answers(&Bytes { main, wal, journal })?;
    }

    #[test]
    fn changed_files_get_an_answer(
        which in 0..2_usize,
        main in changes(),
        wal in changes(),
        journal in changes(),
        cuts in prop::array::uniform3(prop::option::weighted(0.1, any::<prop::sample::Index>())),
    ) {
        let mut bytes = samples()[which].clone();
        mutate(&mut bytes.main, &main, cuts[0]);
        mutate(&mut bytes.wal, &wal, cuts[1]);
        mutate(&mut bytes.journal, &journal, cuts[2]);
        answers(&bytes)?;
    }

    /// Only the pages of the schema, and only its structure: most of the reader's branches are there.
    #[test]
    fn a_changed_schema_gets_an_answer(
        page in 0..12_usize,
        changes in prop::collection::vec((0..120_usize, any::<u8>()), 1..6),
    ) {
        let mut bytes = samples()[1].clone();
        bytes.journal = None;
        let main = bytes.main();
        for (at, value) in changes {
            let at = (page * 512 + at + if page == 0 { 100 } else { 0 }).min(main.len() - 1);
            main[at] = value;
        }
        answers(&bytes)?;
    }
}
