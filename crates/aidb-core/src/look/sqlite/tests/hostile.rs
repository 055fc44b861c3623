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
