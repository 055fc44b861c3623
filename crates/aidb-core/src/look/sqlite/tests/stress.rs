//! No history that SQLite itself can make is ever called foreign, torn or truncated.

use proptest::prelude::*;
use rusqlite::Connection;

use super::super::Fits;
use super::{Bench, by_sqlite, by_us};
use crate::look::seen::Counters;

const STEPS: &[&str] = &[
    "INSERT INTO a(b) SELECT zeroblob(3000) FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3)",
    "DELETE FROM a WHERE id % 3 = 0",
    "CREATE TABLE IF NOT EXISTS x1(a); CREATE INDEX IF NOT EXISTS y1 ON x1(a)",
    "DROP TABLE IF EXISTS x1",
    "PRAGMA user_version=7",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint(RESTART)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum(3)",
    "VACUUM",
    "REINDEX",
    "BEGIN; INSERT INTO a(b) SELECT zeroblob(3000) FROM a LIMIT 40; CREATE TABLE z(a); ROLLBACK",
    "BEGIN; INSERT INTO a(b) VALUES (1); SAVEPOINT s; DROP TABLE IF EXISTS x1; ROLLBACK TO s; COMMIT",
    "PRAGMA journal_mode=DELETE",
    "PRAGMA journal_mode=WAL",
    // A reader that stays holds checkpoints back.
    "BEGIN; SELECT count(*) FROM a",
    "COMMIT",
];

/// Replaces everything by the backup interface, as a restore inside an application does.
fn replace(target: &mut Connection) {
    let source = Connection::open_in_memory().unwrap();
    source
        .execute_batch(
            "PRAGMA auto_vacuum=2; CREATE TABLE other(x); CREATE TABLE a(id INTEGER PRIMARY KEY, b); \
             INSERT INTO other VALUES (zeroblob(50000));",
        )
        .unwrap();
    // Busy is an answer, too.
    if let Ok(backup) = rusqlite::backup::Backup::new(&source, target) {
        let _ = backup.step(3);
        let _ = backup.step(-1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn files_at_any_moment_of_any_history_belong_together(
        steps in prop::collection::vec((0..STEPS.len() + 2, 0..3_usize), 1..60),
        cache in prop::sample::select(vec![2, 10, 500]),
    ) {
        let bench = Bench::new();
        let open = || {
            let connection = bench.open();
            connection.busy_timeout(std::time::Duration::ZERO).unwrap();
            connection
                .execute_batch(&format!("PRAGMA cache_size={cache}; PRAGMA wal_autocheckpoint=20;"))
                .unwrap();
            connection
        };
        open()
            .execute_batch(
                "PRAGMA auto_vacuum=2; PRAGMA journal_mode=WAL; CREATE TABLE a(id INTEGER PRIMARY KEY, b);",
            )
            .unwrap();
        let mut counted = Counters { change: 0, schema: 0 };
        let mut connections = [Some(open()), Some(open()), None];
        for (step, who) in steps {
            // Closed ones open, and the last step closes: the journal mode changes only while nobody else is there.
            if step > STEPS.len() {
                connections[who] = None;
            } else {
                let connection = connections[who].get_or_insert_with(open);
                match STEPS.get(step) {
                    // Busy, locked and the like are normal here.
                    Some(sql) => {
                        if connection.execute_batch(sql).is_err() && !connection.is_autocommit() {
                            let _ = connection.execute_batch("ROLLBACK");
                        }
                    }
                    None => replace(connection),
                }
            }
            let bytes = bench.bytes();
            let facts = bytes.facts();
            prop_assert!(!matches!(facts.wal.fits, Fits::No { .. }), "{:?}", facts.wal);
            prop_assert!(!matches!(facts.journal.fits, Fits::No { .. }), "{:?}", facts.journal);
            prop_assert!(!facts.wal.is_torn(), "{:?}", facts.wal);
            prop_assert!(!facts.journal.torn && !facts.truncated);
            prop_assert_eq!(by_us(&facts), by_sqlite(&bytes));
            if let Some(header) = &facts.current {
                let now = Counters { change: header.change_counter, schema: header.schema_cookie };
                prop_assert!(now.change >= counted.change && now.schema >= counted.schema, "{counted:?}, {now:?}");
                counted = now;
            }
        }
    }
}
