//! Checks beside applications that write: not one false alarm, in any journal mode.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use aidb_testkit::Stack;
use rusqlite::Connection;
use serde_json::json;

use crate::AIDB;

const WRITER: &str = "AIDB_TEST_WRITES_TO";

/// How many checks each journal mode gets: `AIDB_WRITER_ROUNDS` makes a long run.
fn rounds() -> usize {
    let asked = std::env::var("AIDB_WRITER_ROUNDS").ok();
    asked.and_then(|r| r.parse().ok()).unwrap_or(12)
}

/// An application that writes without a pause, in a process of its own, killed when dropped.
struct Writer(Child);

impl Writer {
    fn start(database: &Path, mode: &str, number: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "beside_writers::writer", "--nocapture"])
            .env(WRITER, database)
            .env("AIDB_TEST_MODE", mode)
            .env("AIDB_TEST_NUMBER", number.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The application; as an ordinary test it has nothing to do.
#[test]
fn writer() {
    let Some(path) = std::env::var_os(WRITER) else {
        return;
    };
    let mode = std::env::var("AIDB_TEST_MODE").unwrap();
    let number: usize = std::env::var("AIDB_TEST_NUMBER").unwrap().parse().unwrap();
    for n in 0_u64.. {
        let Ok(db) = Connection::open(&path) else {
            continue;
        };
        db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        let _ = db.pragma_update(None, "journal_mode", &mode);
        let _ = db.pragma_update(None, "synchronous", "off");
        // A small cache is written out in the middle of a transaction.
        let _ = db.pragma_update(None, "cache_size", [3, 2000][number % 2]);
        for m in 0..15_u64 {
            let end = if m % 5 == 4 { "rollback" } else { "commit" };
            // Whoever finds the database busy goes on: what counts is that it is written to.
            let _ = db.execute_batch(&format!(
                "begin immediate;
                 insert into chat(id, title, body) values ('{number}-{n}-{m}', 'x', randomblob(5000));
                 update chat set title = title || '{m}' where rowid % 7 = {m} % 7;
                 delete from chat where id = '{number}-{}-{m}';
                 {end}",
                n.saturating_sub(2)
            ));
            let _ = db.execute_batch("rollback");
            match (number, m) {
                (0, 7) => drop(db.execute_batch("pragma wal_checkpoint(passive)")),
                (0, 11) => drop(db.execute_batch("pragma wal_checkpoint(truncate)")),
                (1, 9) => drop(db.execute_batch("pragma wal_checkpoint(restart)")),
                (1, 13) if n % 4 == 0 => drop(db.execute_batch("vacuum")),
                _ => {}
            }
        }
        // A killed application leaves its log and its journal; one that closes takes them away.
        if n % 3 == 0 {
            std::mem::forget(db);
        }
    }
}

#[test]
fn a_check_beside_writers_has_no_false_alarm_in_any_journal_mode() {
    for mode in ["wal", "delete", "truncate", "persist", "memory"] {
        let stack = Stack::new(AIDB);
        stack.write_settings(&json!({ "preset": null, "mount": null, "stores": { "chats": {
            "kind": "sqlite", "path": "webui.db", "contract": { "tables": ["chat", "user"], "neverShrink": ["user"],
            "maxShrinkPercent": { "chat": 90 }, "identity": { "table": "user", "column": "id", "oldestBy": "id" } } } } }));
        std::fs::create_dir_all(stack.data()).unwrap();
        let database = stack.data().join("webui.db");
        Connection::open(&database)
            .unwrap()
            .execute_batch(
                "create table user(id primary key); insert into user values ('alice'), ('bob');
                 create table chat(id primary key, title, body);
                 insert into chat values ('first', 'x', zeroblob(20000)), ('second', 'y', zeroblob(90000));",
            )
            .unwrap();
        let mut writers = vec![
            Writer::start(&database, mode, 0),
            Writer::start(&database, mode, 1),
        ];
        let mut looked = 0;
        for round in 0..rounds() {
            // One is killed where it stands, and begins again on what it left; without a journal on disk that is damage.
            if round % 5 == 4 && mode != "memory" {
                writers.remove(0);
                writers.push(Writer::start(&database, mode, round % 2));
            }
            let line = if round % 2 == 0 {
                "aidb-precheck check --at start --json open-webui"
            } else {
                "aidb check --json"
            };
            let ran = stack.run(line);
            let found = ran.json()["guards"][0]["findings"].clone();
            let alarms: Vec<_> = found
                .as_array()
                .unwrap()
                .iter()
                .filter(|f| f["severity"] != "info")
                .collect();
            // That a database is locked for too long is no alarm, and must not be the rule.
            let could_not = alarms.iter().all(|f| f["id"] == "check.could-not");
            assert!(could_not, "{mode}, round {round}: {ran}");
            looked += usize::from(alarms.is_empty());
        }
        println!(
            "{mode}: {looked} of {} checks looked at everything, without an alarm",
            rounds()
        );
        assert!(looked * 2 > rounds(), "{mode}: {looked}");
    }
}
