//! Takes of which each change of the filesystem fails, alone or as the last before a kill.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::look::sqlite::Examiner;
use crate::memory::Memory;
use crate::progress::Silent;
use crate::step::faults;
use crate::vault::prove;
use crate::vault::verify::{Reading, verify};

use super::*;

/// For whoever still holds a lock for a moment (see [`eventually_cleared`]).
const PATIENCE: Duration = Duration::from_secs(10);

/// A data folder, and a vault with a proven snapshot of it; since then one file changed.
struct Bench {
    folder: tempfile::TempDir,
    vault: Vault,
    guard: Guard,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let data = at.join("data");
        std::fs::create_dir_all(data.join("uploads/deep")).unwrap();
        let db = rusqlite::Connection::open(data.join("webui.db")).unwrap();
        db.execute_batch("create table t(x); insert into t values (1)")
            .unwrap();
        drop(db);
        let guard = Guard::of_database("g", &data);
        let bench = Self {
            vault: Vault::at(&at.join("vault")),
            folder,
            guard,
        };
        bench.put("uploads/a", "a");
        bench.put("uploads/deep/b", "b");
        bench
    }

    fn put(&self, path: &str, content: &str) {
        std::fs::write(self.guard.data.join(path), content).unwrap();
    }

    fn stop(&self, invocation: &str) -> Result<Taken> {
        take(
            &self.vault,
            &Request {
                guard: &self.guard,
                reason: "stop",
                patience: PATIENCE,
                until: None,
                pairing: Pairing::default(),
                suspicious: None,
                invocation: Some(invocation.into()),
                known: Known::default(),
                cgroups: None,
                progress: &Silent,
            },
        )
    }

    fn prove(&self, snapshot: &Snapshot) -> Result<Snapshot> {
        prove::prove(
            &self.vault,
            snapshot,
            &prove::Request {
                examiner: &Examiner::Here,
                memory: &Memory::default(),
                patience: PATIENCE,
                deadline: Duration::from_secs(60),
            },
        )
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        self.vault.snapshots("g").unwrap()
    }
}

/// What the plain files of a folder hold.
fn contents(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = ["uploads/a", "uploads/deep/b", "webui.db"];
    files
        .into_iter()
        .map(|f| (f.into(), std::fs::read(data.join(f)).unwrap()))
        .collect()
}

/// Lets each step of `act` fail, alone or as the last before a kill. `states` are all that a snapshot may hold.
fn at_every_step(
    prepare: impl Fn() -> Bench,
    act: impl Fn(&Bench) -> Result<()>,
    states: impl Fn(&Bench) -> Vec<BTreeMap<PathBuf, Vec<u8>>>,
) {
    let bench = prepare();
    faults::plan(faults::Plan::default());
    act(&bench).unwrap();
    let steps = faults::clear();
    assert!(steps > 10, "{steps} steps");
    for killed in [false, true] {
        for at in 0..steps {
            let bench = prepare();
            let states = states(&bench);
            let proven = bench.snapshots().iter().filter(|s| s.is_proven()).count();
            faults::plan(faults::Plan {
                at: Some(at),
                killed,
                refuse: None,
            });
            let result = act(&bench);
            faults::clear();
            let step = format!("step {at} of {steps}, killed: {killed}, {result:?}");
            let listed = bench.snapshots();
            let still = listed.iter().filter(|s| s.is_proven());
            assert!(still.count() >= proven, "{step}");
            for snapshot in &listed {
                assert!(snapshot.is_whole(), "{step}: {snapshot:?}");
                assert!(states.contains(&contents(&snapshot.data())), "{step}");
                if snapshot.is_proven() {
                    let found = verify(snapshot, &Reading::default(), &Silent).unwrap();
                    let is_same = found.differing.is_empty() && found.unnamed.is_empty();
                    assert!(is_same, "{step}: {found:?}");
                }
            }
            // The next one works, and leaves nothing half-made.
            act(&bench).unwrap_or_else(|e| panic!("{step}: then {e}"));
            let newest = bench.snapshots().pop().unwrap();
            let now = contents(&bench.guard.data);
            assert_eq!(contents(&newest.data()), now, "{step}");
            assert!(eventually_cleared(&bench.vault), "{step}");
            assert!(bench.folder.path().exists());
        }
    }
}

/// Returns whether nothing is left in the staging folder. A process that another test starts has our descriptors, and so
/// holds our locks, until it becomes the program that it is to be: what was left meanwhile goes with a later run.
fn eventually_cleared(vault: &Vault) -> bool {
    let folder = vault.staging_folder();
    let is_clear = || {
        let left = std::fs::read_dir(&folder).unwrap();
        left.map(|e| e.unwrap().file_name()).eq([".lock"])
    };
    (0..1000).any(|_| {
        is_clear() || {
            std::thread::sleep(Duration::from_millis(5));
            drop(Staging::new(&folder, "clear").unwrap());
            is_clear()
        }
    })
}

/// Returns a vault with a proven snapshot, which may be linked to, of data that has changed since.
fn changed() -> Bench {
    let bench = Bench::new();
    let old = bench.stop("before").unwrap().snapshot;
    bench.prove(&old).unwrap();
    let path = old.path.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let at = old.summary.taken_at;
    let later = at + jiff::Span::new().seconds(10);
    std::fs::write(&path, text.replacen(&at.to_string(), &later.to_string(), 1)).unwrap();
    bench.put("uploads/a", "changed");
    bench
}

fn before_and_after(bench: &Bench) -> Vec<BTreeMap<PathBuf, Vec<u8>>> {
    let before = contents(&bench.snapshots()[0].data());
    vec![before, contents(&bench.guard.data)]
}

#[test]
fn a_take_that_fails_or_is_killed_at_any_step_loses_nothing_and_lists_nothing_half_made() {
    at_every_step(changed, |b| b.stop("one").map(drop), before_and_after);
}

#[test]
fn a_stop_whose_live_snapshot_is_replaced_fails_at_any_step_and_keeps_one_of_both() {
    let live_and_at_rest = || {
        let bench = changed();
        bench.stop("one").unwrap();
        bench.put("uploads/a", "at rest");
        bench
    };
    let states = |bench: &Bench| {
        let mut states = before_and_after(bench);
        let live = bench.snapshots().pop().unwrap();
        states.push(contents(&live.data()));
        states
    };
    at_every_step(live_and_at_rest, |b| b.stop("one").map(drop), states);
}
