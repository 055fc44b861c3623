//! A simulated year of healthy use without one false alarm, and at its end growth and a loss that are news.
//!
//! Ten thousand operations on a real database, with the clock moved by hand: chats come and go within their limits, the
//! database is vacuumed and migrated, the container is restarted, updated and cut off from its power, snapshots are taken and
//! pruned. The container, its runs and the snapshots are judged after each operation, the data itself after some (after each
//! one with `AIDB_WHOLE_YEAR=1`). What was found becomes alerts, as the monitor makes them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up must fail"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aidb_core::guard::Guard;
use aidb_core::incarnation::Incarnation;
use aidb_core::judge::container::{Facts, Presence};
use aidb_core::judge::growth::Size;
use aidb_core::judge::snapshots::Kept;
use aidb_core::judge::{self, Finding, FindingId, Occasion, Severity, Verdict};
use aidb_core::ledger::{Ledger, Left, Run, Running};
use aidb_core::look::container::MountProof;
use aidb_core::look::sqlite::Examiner;
use aidb_core::look::unit::UnitState;
use aidb_core::look::{Depth, Scratch, Way, Where, scan};
use aidb_core::monitor::alert::{self, News};
use aidb_core::settings::Keep;
use aidb_core::space::Space;
use aidb_core::vault::Vault;
use aidb_core::vault::retention::{self, Candidate};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

const OPERATIONS: u64 = 10_000;
/// Over how many seconds: a year.
const YEAR: i64 = 365 * 86_400;
/// After how many operations the data is looked at, unless after each.
const LOOK_EVERY: u64 = 250;
/// The filesystem of the data, bytes: at the year's end the database fills a quarter of it.
const DISK: u64 = 1 << 20;
const QUIET: Duration = Duration::from_secs(24 * 3600);

/// A stack in a folder of memory, and what a year does to it.
struct Year {
    _home: tempfile::TempDir,
    guard: Guard,
    vault: Vault,
    ledger: Ledger,
    database: Connection,
    now: Timestamp,
    random: u64,
    run: u64,
    seen_run: u64,
    runs: Vec<Incarnation>,
    boot: u64,
    image: u64,
    chats: u64,
    most_chats: u64,
    sequence: u64,
    snapshots: Vec<(Candidate, Timestamp)>,
    restarts: u64,
    looks: u64,
    sizes: Vec<Size>,
    news: Vec<(Timestamp, News, Finding)>,
}

impl Year {
    fn new() -> Self {
        // What is written here need not survive a power cut, and a year of syncing would take minutes.
        let memory = Path::new("/dev/shm");
        let home = if memory.is_dir() {
            tempfile::tempdir_in(memory).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let database = Connection::open(data.join("app.db")).unwrap();
        database
            .execute_batch(
                "pragma journal_mode = wal; pragma synchronous = off;
                 create table user (id integer primary key, name text);
                 create table chat (id integer primary key, user integer, text text);
                 insert into user (name) values ('alice'), ('bob');",
            )
            .unwrap();
        let guard: Guard = serde_json::from_value(serde_json::json!({
            "name": "app", "container": "app", "unit": "podman-app.service", "data": data, "mount": "/data",
            "preset": null, "exclude": [],
            "policy": { "uninitialised": "quarantine", "missing": "hold", "damaged": "hold", "shrunken": "warn",
                        "mount": "hold" },
            "stores": [{ "name": "chats", "kind": "sqlite", "path": "app.db", "optional": false, "contract": {
                "tables": ["user", "chat"], "tables_when": {}, "never_shrink": ["user"],
                "max_shrink_percent": { "chat": 50 }, "revision": null, "known_revisions": [], "migration_tables": [],
                "half_migrated": [], "identity": { "table": "user", "column": "name", "oldest_by": "id" },
                "foreign_keys": true, "files": null } }],
        }))
        .unwrap();
        let vault = Vault::at(&home.path().join("vault"));
        let ledger = Ledger::open(&home.path().join("state"), &vault).unwrap();
        let mut year = Self {
            _home: home,
            guard,
            vault,
            ledger,
            database,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            random: 0x9e37_79b9_7f4a_7c15,
            run: 0,
            seen_run: 0,
            runs: Vec::new(),
            boot: 0,
            image: 0,
            chats: 0,
            most_chats: 0,
            sequence: 0,
            snapshots: Vec::new(),
            restarts: 0,
            looks: 0,
            sizes: Vec::new(),
            news: Vec::new(),
        };
        year.start();
        year.take("manual");
        year
    }

    /// The next number below `below`, the same in every run (a 64-bit xorshift).
    fn below(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    fn hook(&self) -> Run {
        Run {
            invocation: Some(format!("run-{}", self.run)),
            boot: format!("boot-{}", self.boot),
        }
    }

    fn start(&mut self) {
        self.run += 1;
        let hook = self.hook();
        self.ledger.announce_start("app", &hook, self.now).unwrap();
    }

    fn stop(&mut self, result: &str, status: &str) {
        let left = |code: Option<&str>| Left {
            result: Some(result.into()),
            exit_code: code.map(Into::into),
            exit_status: code.map(|_| status.into()),
        };
        let hook = self.hook();
        if result == "success" {
            self.ledger
                .note_end("app", &hook, &left(None), self.now)
                .unwrap();
        }
        self.ledger
            .note_end("app", &hook, &left(Some("exited")), self.now)
            .unwrap();
        self.take("stop");
    }

    fn restart(&mut self) {
        self.restarts += 1;
        self.stop("success", "143");
        self.start();
    }

    fn take(&mut self, _reason: &str) {
        self.sequence += 1;
        let candidate = Candidate {
            sequence: self.sequence,
            local_date: self.now.to_zoned_datetime(TimeZone::UTC).date(),
            seen_again: std::collections::BTreeSet::new(),
            proven: true,
            suspicious: false,
            content: Some(format!("content-{}", self.sequence)),
        };
        self.snapshots.push((candidate, self.now));
    }

    fn prune(&mut self) {
        let candidates: Vec<Candidate> = self.snapshots.iter().map(|(c, _)| c.clone()).collect();
        let plan = retention::plan(&candidates, &Keep::default());
        let mut kept = plan.iter().map(retention::Decision::is_keep);
        self.snapshots.retain(|_| kept.next().unwrap());
    }

    fn sql(&self, statement: &str) {
        self.database.execute_batch(statement).unwrap();
    }

    /// One operation of an ordinary day.
    fn operate(&mut self) {
        match self.below(1000) {
            0..700 => {
                let user = self.below(2) + 1;
                self.sql(&format!(
                    "insert into chat (user, text) values ({user}, hex(randomblob(40)))"
                ));
                self.chats += 1;
                self.most_chats = self.most_chats.max(self.chats);
            }
            // Never more than the limit below the most that there ever were.
            700..860 => {
                let floor = self.most_chats.div_ceil(2) + 1;
                let spare = self.chats.saturating_sub(floor);
                if spare > 0 {
                    let gone = self.below(spare.min(8)) + 1;
                    let first = self.below(2) == 0;
                    let order = if first { "asc" } else { "desc" };
                    self.sql(&format!(
                        "delete from chat where id in (select id from chat order by id {order} limit {gone})"
                    ));
                    self.chats -= gone;
                }
            }
            860..880 => self.sql("vacuum"),
            880..900 => self.sql("pragma wal_checkpoint(truncate)"),
            900..905 => self.sql("insert into user (name) values (hex(randomblob(8)))"),
            905..930 => self.restart(),
            // One failure and up again; a loop would be more of them within the hour.
            930..935 => {
                self.stop("exit-code", "1");
                self.start();
            }
            // An update: the next start has another image and migrates the schema.
            935..940 => {
                self.image += 1;
                self.restart();
                let column = self.image;
                self.sql(&format!("alter table chat add column extra_{column} text; create index if not exists by_{column} on chat (extra_{column})"));
            }
            // No stop was seen, and another boot.
            940..942 => {
                self.boot += 1;
                self.start();
            }
            942..975 => self.prune(),
            _ => self.take("manual"),
        }
    }

    /// The monitor sees the container of this run.
    fn see_run(&mut self) {
        let running = Running {
            id: format!("{:064}", self.run),
            image: Some(format!("localhost/app:{}", self.image)),
            image_digest: None,
            layer: Some(PathBuf::from(format!("/layers/{}", self.run))),
            started_at: Some(self.now),
        };
        let boot = format!("boot-{}", self.boot);
        self.ledger
            .note_running("app", &running, &boot, self.now)
            .unwrap();
        self.runs = self.ledger.incarnations("app").unwrap();
    }

    /// One look of the monitor: container and snapshots always, the data if it is asked for.
    fn look(&mut self, with_data: bool) -> Vec<Finding> {
        // Reading a thousand runs ten thousand times would be most of the test's time.
        if self.seen_run != self.run {
            self.seen_run = self.run;
            self.see_run();
        }
        let facts = Facts {
            unit: Some(UnitState {
                active: "active".into(),
                is_loaded: true,
                ..UnitState::default()
            }),
            presence: Presence::Running,
            mount: Some(MountProof::Same),
            layer: None,
            runs: self.runs.clone(),
        };
        let kept = Kept {
            good: self
                .snapshots
                .iter()
                .map(|(c, at)| (format!("app/{}", c.sequence), *at))
                .collect(),
            has_data: Some(true),
            has_second_copy: Some(true),
            ..Kept::default()
        };
        let mut findings = judge::container::judge(&self.guard, &facts, self.now);
        findings.extend(self.growth());
        findings.extend(judge::snapshots::judge("app", &kept, self.now));
        if with_data {
            findings.extend(self.look_at_data());
        }
        let topics = if with_data {
            &[][..]
        } else {
            &[alert::Topic::Data]
        };
        let known = self.ledger.alerts("app").unwrap();
        let changed = alert::compare("app", &known, &findings, topics, self.now);
        for mut alert in self.ledger.put_alerts(changed).unwrap() {
            if let Some(news) = alert.news(self.now, QUIET) {
                self.news.push((self.now, news, alert.finding.clone()));
                alert.note_told(news, self.now);
                self.ledger.put_alerts(vec![alert]).unwrap();
            }
        }
        findings
    }

    /// The database's size is measured at each look, on a disk of its own.
    fn growth(&mut self) -> Option<Finding> {
        let bytes = self.size_bytes();
        self.sizes.push(Size {
            at: self.now,
            bytes,
        });
        let space = Space {
            free_bytes: DISK - bytes,
            total_bytes: DISK,
            floor_bytes: 0,
        };
        judge::growth::judge("app", &self.sizes, space)
    }

    fn size_bytes(&self) -> u64 {
        let sql = "select page_count * page_size from pragma_page_count, pragma_page_size";
        let size: i64 = self.database.query_row(sql, [], |r| r.get(0)).unwrap();
        size.unsigned_abs()
    }

    fn look_at_data(&mut self) -> Vec<Finding> {
        self.looks += 1;
        let memory = self.ledger.memory(&self.guard, &self.vault).unwrap();
        let scratch = Scratch::new([self.vault.staging_folder()]);
        let way = Way {
            examiner: &Examiner::Here,
            depth: Depth::Full,
            deadline: Instant::now() + Duration::from_secs(60),
            place: Where::Live(&scratch),
            standing: None,
            damage_stands: false,
            mount: None,
        };
        let seen = scan::guard(&self.guard, &self.guard.data, &way);
        let findings = judge::guard(&self.guard, &seen, &memory, Occasion::Report);
        for (store, healthy) in aidb_core::check::healthy(&seen, &findings) {
            self.ledger
                .remember("app", &store, healthy, self.now)
                .unwrap();
        }
        let rows = [("chats/chat".to_owned(), self.chats)].into();
        self.ledger
            .note_measurement("app", self.now, Verdict::Pass, Some(1), &rows)
            .unwrap();
        findings
    }

    fn pass(&mut self, time: SignedDuration) {
        self.now = self.now.checked_add(time).unwrap();
    }
}

#[test]
fn a_year_of_healthy_use_has_no_false_alarm_and_what_happens_at_its_end_is_told() {
    let whole = std::env::var_os("AIDB_WHOLE_YEAR").is_some();
    let mut year = Year::new();
    let step = SignedDuration::from_secs(YEAR / i64::try_from(OPERATIONS).unwrap());
    let mut nightly = year.now;
    for n in 0..OPERATIONS {
        year.pass(step);
        if year.now.duration_since(nightly) >= SignedDuration::from_hours(24) {
            nightly = year.now;
            year.take("timer");
        }
        year.operate();
        let findings = year.look(whole || n % LOOK_EVERY == 0);
        let loud: Vec<&Finding> = findings
            .iter()
            .filter(|f| f.severity > Severity::Info)
            .collect();
        assert!(loud.is_empty(), "operation {n}, {}: {loud:#?}", year.now);
    }
    assert_eq!(year.news, []);
    // The year was one: each kind of operation came up.
    assert!(
        year.looks >= OPERATIONS / LOOK_EVERY
            && year.restarts > 100
            && year.image > 20
            && year.boot > 5
    );
    assert!(
        year.snapshots.len() < 60,
        "{} snapshots",
        year.snapshots.len()
    );
    let kept = year.ledger.measurements("app").unwrap();
    assert!(whole || kept.len() > 20, "{} measurements", kept.len());

    // Something begins to fill the disk, a twentieth of it a day.
    let twentieth = DISK / 20;
    for day in 0..4 {
        year.sql(&format!(
            "insert into chat (user, text) values (1, hex(randomblob({})))",
            twentieth / 2
        ));
        year.pass(SignedDuration::from_hours(24));
        year.take("timer");
        let findings = year.look(false);
        let is_told = findings.iter().any(|f| f.id == FindingId::SpaceGrowth);
        assert_eq!(is_told, day >= 2, "day {day}: {findings:#?}");
    }

    year.sql("delete from user");
    year.pass(SignedDuration::from_hours(1));
    let findings = year.look(true);
    assert!(
        findings.iter().any(|f| f.severity == Severity::Hold),
        "{findings:#?}"
    );
    let ids: Vec<&str> = year.news.iter().map(|(_, _, f)| f.id.as_str()).collect();
    assert!(ids.contains(&"contract.rows-shrunk"), "{ids:?}");
    assert!(ids.contains(&"space.growth"), "{ids:?}");
}
