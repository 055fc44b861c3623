//! A write-ahead log of which commits were taken away: held, and nothing that a healthy application does looks like it.

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use aidb_testkit::application::Application;
use aidb_testkit::{Ran, Stack};
use rusqlite::Connection;

use crate::application::ROLE;
use crate::{AIDB, SMALL};

/// What SQLite writes before the frames, and before the page of each.
const HEADER: u64 = 32;
const FRAME: u64 = 24 + 4096;

/// A home whose database was killed in WAL mode, with commits that are in its log only, and was looked at.
fn known() -> Stack {
    let stack = Stack::with(AIDB, SMALL);
    run_and_kill(
        &stack,
        &[
            "pragma journal_mode=wal; pragma wal_autocheckpoint=0",
            "update chat set title = title || ' 1'",
            "create table more(x); insert into more select randomblob(3000) from chat",
            "update chat set title = title || ' 2'",
        ],
    );
    let _ = stack.run("aidb check").with(0);
    assert!(frames(&stack) > 6, "{}", frames(&stack));
    stack
}

/// Has an application run SQL, and kills it.
fn run_and_kill(stack: &Stack, orders: &[&str]) {
    let mut application = Application::open(ROLE, &stack.data().join("webui.db"));
    for order in orders {
        application.run(order);
    }
}

fn log(stack: &Stack) -> PathBuf {
    stack.data().join("webui.db-wal")
}

fn frames(stack: &Stack) -> u64 {
    (std::fs::metadata(log(stack)).unwrap().len() - HEADER) / FRAME
}

fn cut(stack: &Stack, bytes: u64) {
    let file = std::fs::File::options().write(true).open(log(stack));
    file.unwrap().set_len(bytes).unwrap();
}

fn flip(stack: &Stack, at: u64) {
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(log(stack));
    let file = file.unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn start(stack: &Stack) -> Ran {
    stack.run("aidb-precheck check --at start open-webui")
}

/// Says that what is known was seen during another run of the system.
fn rebooted(stack: &Stack) {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let ledger = Connection::open(stack.home().join(".local/state/aidb/ledger.db")).unwrap();
    let changed = ledger
        .execute(
            "update baseline set document = replace(document, ?, 'another')",
            [boot.trim()],
        )
        .unwrap();
    assert!(changed > 0);
}

/// A damage to a log, by what it is.
type Damage = (&'static str, fn(&Stack));

const DAMAGES: [Damage; 6] = [
    ("cut between two commits", |s| {
        cut(s, HEADER + (frames(s) - 1) / 2 * FRAME);
    }),
    ("cut in a frame", |s| {
        cut(s, HEADER + (frames(s) / 2) * FRAME + 999);
    }),
    ("a byte of a frame", |s| {
        flip(s, HEADER + (frames(s) / 2) * FRAME + 999);
    }),
    ("a byte of the header", |s| flip(s, 17)),
    ("cut after the header", |s| cut(s, HEADER + 68)),
    ("cut to the header", |s| cut(s, HEADER)),
];

#[test]
fn a_log_that_lost_known_commits_is_held_with_one_finding_and_after_a_crash_of_the_machine_told() {
    for (what, damage) in DAMAGES {
        let stack = known();
        damage(&stack);
        let held = start(&stack).with(1);
        assert_eq!(
            held.stdout.matches("[sqlite.wal-").count(),
            1,
            "{what}: {held}"
        );
        assert!(held.stdout.contains("[sqlite.wal-torn]"), "{what}: {held}");
        assert!(held.stdout.contains("accept open-webui"), "{what}: {held}");
        rebooted(&stack);
        let told = start(&stack).with(0);
        assert!(
            told.stdout.contains("warn") && told.stdout.contains("[sqlite.wal-torn]"),
            "{what}: {told}"
        );
    }
}

#[test]
fn a_log_that_is_gone_is_held_with_one_finding() {
    for what in ["removed", "emptied"] {
        let stack = known();
        match what {
            "removed" => std::fs::remove_file(log(&stack)).unwrap(),
            _ => cut(&stack, 0),
        }
        let held = start(&stack).with(1);
        assert_eq!(
            held.stdout.matches("[sqlite.wal-").count(),
            1,
            "{what}: {held}"
        );
        assert!(
            held.stdout.contains("[sqlite.wal-missing]"),
            "{what}: {held}"
        );
    }
}

/// What is accepted is no loss any more.
#[test]
fn the_printed_ways_out_of_a_log_that_was_cut_let_it_start() {
    let stack = known();
    cut(&stack, HEADER + (frames(&stack) - 1) / 2 * FRAME);
    let _ = start(&stack).with(1);
    let _ = stack
        .run("aidb allow open-webui sqlite.wal-torn --reason seen")
        .with(0);
    let _ = start(&stack).with(0);
    let _ = start(&stack).with(1);
    let _ = stack.run("aidb accept open-webui --reason seen").with(0);
    let _ = start(&stack).with(0);
}

/// What healthy applications, and the system, do to a log. After each, the next start passes without a word.
const HEALTHY: [Damage; 9] = [
    ("goes on", |s| {
        run_and_kill(s, &["update chat set title = title || ' 3'"]);
    }),
    ("closes in order", |s| {
        let db = Connection::open(s.data().join("webui.db")).unwrap();
        db.execute_batch("update chat set title = title || ' 3'")
            .unwrap();
        db.close().unwrap();
    }),
    ("takes everything over", |s| {
        run_and_kill(s, &["pragma wal_checkpoint(passive)"]);
    }),
    ("starts the log anew", |s| {
        let before = std::fs::metadata(log(s)).unwrap().len();
        run_and_kill(
            s,
            &[
                "pragma wal_checkpoint(restart)",
                "update chat set archived = 0 where rowid = 1",
            ],
        );
        assert_eq!(std::fs::metadata(log(s)).unwrap().len(), before);
    }),
    ("truncates the log", |s| {
        run_and_kill(s, &["pragma wal_checkpoint(truncate)"]);
    }),
    ("truncates it and goes on", |s| {
        run_and_kill(
            s,
            &[
                "pragma wal_checkpoint(truncate)",
                "update chat set title = 'x'",
            ],
        );
    }),
    ("leaves WAL mode", |s| {
        run_and_kill(s, &["pragma journal_mode=delete"]);
    }),
    ("vacuums", |s| {
        run_and_kill(s, &["delete from more", "vacuum"]);
    }),
    ("is killed in a transaction that has spilled", |s| {
        run_and_kill(
            s,
            &[
                "pragma cache_size=2",
                "begin",
                "insert into more select randomblob(9000) from chat",
            ],
        );
    }),
];

#[test]
fn nothing_that_a_healthy_application_does_to_its_log_is_a_loss() {
    for (what, happens) in HEALTHY {
        let stack = known();
        happens(&stack);
        let passed = start(&stack).with(0);
        assert!(
            passed.stdout.starts_with("ok") && !passed.stdout.contains("wal-"),
            "{what}: {passed}"
        );
        // And it is what is known from then on.
        let again = start(&stack).with(0);
        assert!(again.stdout.starts_with("ok"), "{what}: {again}");
    }
}

/// An application is killed while it appends: whatever of its last commit came into the file, what was known is there.
#[test]
fn an_application_that_is_killed_while_it_appends_lost_nothing_that_was_known() {
    let stack = known();
    let known_bytes = std::fs::metadata(log(&stack)).unwrap().len();
    run_and_kill(&stack, &["update chat set title = title || ' 3'"]);
    let whole = std::fs::read(log(&stack)).unwrap();
    let last = whole.len() as u64;
    assert!(last > known_bytes + FRAME);
    for end in [
        known_bytes + 1,
        known_bytes + 24,
        known_bytes + 2000,
        known_bytes + FRAME,
        known_bytes + FRAME + 24,
        last - FRAME,
        last - 4096,
    ] {
        std::fs::write(log(&stack), &whole).unwrap();
        cut(&stack, end);
        let passed = start(&stack).with(0);
        assert!(
            !passed.stdout.contains("shorter"),
            "{end} of {last}: {passed}"
        );
        assert!(!passed.stdout.contains("hold"), "{end} of {last}: {passed}");
    }
}
