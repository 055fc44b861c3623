//! Migrating a database by numbered SQL files: `NNNN_name.sql`, in their order, one transaction each.
//!
//! This is the only place where SQLite opens an original: nothing else can change one as its application would. So the
//! container is stopped (whoever uses the folder is looked for), a proven snapshot is there first, and it is brought
//! back when a file fails, or when the database does not show afterwards what it must.
//!
//! It does not use `rusqlite_migration`: that keeps its place in the `user_version` of the user's database, which is the
//! application's own, and knows no checksums. What was applied is remembered in the ledger, and in a copy in the vault.

mod files;
mod run;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use self::files::File;
use crate::capture::Root;
use crate::check::{self, How};
use crate::error::{Error, Result, told};
use crate::guard::{Guard, Store, StoreKind};
use crate::heal;
use crate::judge::{self, Finding, Occasion, Severity};
use crate::ledger::Applied;
use crate::lock::{Lock, Mode};
use crate::look::Depth;
use crate::look::fingerprint::Fingerprint;
use crate::memory::Memory;
use crate::migration::{Pending, Record, interrupted_before};
use crate::progress::Silent;
use crate::stack::Stack;
use crate::vault::restore::{self, in_use};
use crate::vault::{Snapshot, prove, take};

/// How to migrate.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of SQL files.
    pub from: PathBuf,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// How long to wait for whoever holds the guard.
    pub patience: Duration,
    /// How long one file, or one check, may take.
    pub deadline: Duration,
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// Number of files that had been applied before.
    pub before: usize,
    /// Names of the files that waited, in their order.
    pub waiting: Vec<String>,
    /// Names of the files that were applied, and still are.
    pub applied: Vec<String>,
    /// The proven snapshot that was taken first; none if there was no database yet, or nothing to do.
    pub snapshot: Option<String>,
    /// Which file failed, if one did.
    pub failed: Option<Failed>,
}

/// A file that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Its name.
    pub file: String,
    /// What SQLite said, or what the database did not show afterwards.
    pub why: String,
    /// What became of the database.
    #[serde(flatten)]
    pub end: End,
}

/// What became of the database after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "kebab-case")]
pub enum End {
    /// No file was committed: it is as it was.
    Unchanged,
    /// The snapshot was restored.
    Restored {
        /// Where the migrated database lies.
        put_aside: Option<PathBuf>,
    },
    /// There had been no database: what was made lies here now.
    MovedAside {
        /// Where.
        put_aside: PathBuf,
    },
    /// It could not be brought back.
    Stuck {
        /// Why not.
        why: String,
    },
}

/// Applies the files that were not applied yet.
///
/// # Errors
/// [`Error::Usage`] if the store is no database, or the files do not fit what was applied; [`Error::CouldNot`] if the data
/// is in use, no proven snapshot can be taken, or an earlier run was interrupted; [`Error::Busy`] if the guard is held, or
/// the database changed meanwhile. In every case nothing was changed.
pub fn migrate(
    stack: &mut Stack,
    guard: &Guard,
    store: &str,
    options: &Options,
) -> Result<Migrated> {
    let store = database_store(guard, store)?;
    let files = files::read(&options.from)?;
    let mut record = Record::read(stack, guard, store)?;
    let before = record.applied.len();
    let waiting = files::waiting(&files, &record.applied, &options.from)?;
    if let Some(pending) = &record.pending {
        return Err(interrupted_before(guard, store, pending));
    }
    let mut outcome = Migrated {
        before,
        waiting: waiting.iter().map(|f| f.name.clone()).collect(),
        applied: Vec::new(),
        snapshot: None,
        failed: None,
    };
    if options.dry_run || waiting.is_empty() {
        return Ok(outcome);
    }
    refuse_if_used(guard)?;
    let root = Root::open(&guard.data)?;
    let memory = stack.memory(guard);
    let exists = exists(&root, guard, store, &memory)?;
    let fingerprint = Fingerprint::of(&root, &store.path);
    let snapshot = if exists {
        Some(snapshot(stack, guard, store, &memory, options)?)
    } else {
        None
    };
    outcome.snapshot = snapshot.as_ref().map(Snapshot::id);
    let lock = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, options.patience)?;
    refuse_if_used(guard)?;
    // Another run may have been first.
    let is_other = Record::read(stack, guard, store)?.applied != record.applied;
    if is_other || Fingerprint::of(&root, &store.path) != fingerprint {
        return Err(Error::Busy {
            what: format!(
                "`{}`, which changed after its snapshot,",
                store.path.display()
            ),
            waited: Duration::ZERO,
        });
    }
    let memory = stack.memory(guard);
    let mut run = Run {
        stack,
        guard,
        store,
        options,
        memory,
        root,
        snapshot,
    };
    if let Err((file, mut why)) = run.all(&waiting, &mut record, &mut outcome.applied) {
        let committed = record.pending.is_some();
        let end = run.back(committed);
        if !matches!(end, End::Stuck { .. }) {
            record.applied.truncate(before);
            record.pending = None;
            outcome.applied.clear();
            if let Err(e) = record.write(run.stack, guard, store) {
                why = format!(
                    "{why}; and what is applied could not be written down: {}",
                    told(&e)
                );
            }
        }
        outcome.failed = Some(Failed { file, why, end });
    }
    drop(lock);
    if let Ok(ledger) = stack.ledger() {
        let detail = match &outcome.failed {
            None => format!("{}: {}", store.name, outcome.applied.join(", ")),
            Some(failed) => format!("{}: `{}` failed", store.name, failed.file),
        };
        let _ = ledger.note_event(&guard.name, "migrate", &detail);
    }
    Ok(outcome)
}

fn database_store<'a>(guard: &'a Guard, name: &str) -> Result<&'a Store> {
    let databases = || guard.stores.iter().filter(|s| s.kind == StoreKind::Sqlite);
    databases().find(|s| s.name == name).ok_or_else(|| {
        let names: Vec<String> = databases().map(|s| format!("`{}`", s.name)).collect();
        Error::Usage {
            what: format!("`{}` has no database `{name}`", guard.name),
            hint: (!names.is_empty()).then(|| format!("it has {}", names.join(", "))),
        }
    })
}

fn refuse_if_used(guard: &Guard) -> Result<()> {
    let users = in_use::users_of(&guard.data);
    let Some(first) = users.first() else {
        return Ok(());
    };
    let more = match users.len() {
        1 => String::new(),
        n => format!("; and {} more", n - 1),
    };
    Err(Error::CouldNot {
        what: format!("`{}` is in use: {first}{more}", guard.data.display()),
        hint: Some("stop the container first".into()),
    })
}

/// Returns whether there is a database; one that is gone is no new one.
fn exists(root: &Root, guard: &Guard, store: &Store, memory: &Memory) -> Result<bool> {
    match root.open_file(&store.path) {
        Ok(file) if file.metadata().is_ok_and(|m| m.len() > 0) => return Ok(true),
        Ok(_) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => {
            return Err(Error::Io {
                doing: "open",
                path: root.path().join(&store.path),
                source: e.into(),
            });
        }
    }
    if memory.knows_data(&store.name) || memory.unknown.is_some() {
        return Err(Error::CouldNot {
            what: format!(
                "`{}` is empty or gone, and held data before, or that cannot be told",
                store.path.display()
            ),
            hint: Some(format!("`aidb check {}` tells what to do", guard.name)),
        });
    }
    Ok(false)
}

/// Takes and proves the snapshot that a failure brings back.
fn snapshot(
    stack: &mut Stack,
    guard: &Guard,
    store: &Store,
    memory: &Memory,
    options: &Options,
) -> Result<Snapshot> {
    let pairing = stack.pairing(guard);
    let taken = take::take(
        &stack.vault,
        &take::Request {
            guard,
            reason: "migrate",
            patience: options.patience,
            pairing,
            suspicious: None,
            invocation: None,
            until: None,
            known: stack.known_to_captures(guard),
            cgroups: None,
            progress: &Silent,
        },
    )?;
    stack.note_taken(guard, &taken);
    let request = prove::Request {
        examiner: &stack.examiner,
        memory,
        patience: options.patience,
        deadline: options.deadline,
    };
    let outcome = prove::prove(&stack.vault, &taken.snapshot, &request)?;
    let mut held = outcome.proof.iter().flat_map(|p| &p.stores);
    if let Some(proof) = held.find(|s| s.name == store.name) {
        if outcome.suspicious().is_none() {
            // What the files do to the rows is judged by what was there before them.
            let seen = (store.name.clone(), proof.seen.clone());
            stack.remember_capture(guard, outcome.summary.taken_at, [seen]);
        }
        return Ok(outcome);
    }
    let first = outcome
        .refused
        .iter()
        .flat_map(|p| &p.findings)
        .find(|f| f.severity == Severity::Hold)
        .map_or_else(|| "the database is not in it".to_owned(), told_finding);
    Err(Error::CouldNot {
        what: format!("the snapshot `{}` cannot be proven: {first}", outcome.id()),
        hint: Some(format!("`aidb check {}` tells what to do", guard.name)),
    })
}

fn told_finding(finding: &Finding) -> String {
    match &finding.evidence {
        Some(evidence) => format!("{} [{}]: {evidence}", finding.what, finding.id),
        None => format!("{} [{}]", finding.what, finding.id),
    }
}

/// One migration under way.
struct Run<'a> {
    stack: &'a mut Stack,
    guard: &'a Guard,
    store: &'a Store,
    options: &'a Options,
    memory: Memory,
    root: Root,
    snapshot: Option<Snapshot>,
}

impl Run<'_> {
    /// Applies the files; with the first that fails it says which, and why.
    fn all(
        &mut self,
        waiting: &[&File],
        record: &mut Record,
        done: &mut Vec<String>,
    ) -> Result<(), (String, String)> {
        for (index, file) in waiting.iter().enumerate() {
            let is_last = index + 1 == waiting.len();
            self.one(file, is_last, record)
                .map_err(|why| (file.name.clone(), why))?;
            done.push(file.name.clone());
        }
        let pending = record.pending.take();
        record
            .write(self.stack, self.guard, self.store)
            .map_err(|e| {
                // What is not remembered would be applied again.
                let file = pending.as_ref().map(|p| p.file.clone());
                record.pending = pending;
                (file.unwrap_or_default(), told(&e))
            })
    }

    fn one(&mut self, file: &File, is_last: bool, record: &mut Record) -> Result<(), String> {
        let users = in_use::users_of(&self.guard.data);
        if let Some(user) = users.first() {
            return Err(format!("the data is in use: {user}"));
        }
        let earlier = record.pending.clone();
        let events = self.stack.ledger().and_then(|l| l.events(&self.guard.name));
        let after = events.ok().map(|events| events.len());
        record.pending = Some(Pending {
            file: file.name.clone(),
            snapshot: self.snapshot.as_ref().map(Snapshot::id),
            began_at: Timestamp::now(),
            after,
        });
        record
            .write(self.stack, self.guard, self.store)
            .map_err(|e| told(&e))?;
        let database = self.root.path().join(&self.store.path);
        let ends = Instant::now() + self.options.deadline;
        if let Err(failed) = run::apply(&database, &file.sql, ends) {
            if failed.is_as_before {
                record.pending = earlier;
            }
            return Err(failed.why);
        }
        record.applied.push(Applied {
            number: file.number,
            name: file.name.clone(),
            blake3: file.blake3.clone(),
            applied_at: Timestamp::now(),
            after,
        });
        self.verify(is_last)
    }

    /// Says what the database does not show that it must. One that did not exist is complete after the last file only.
    fn verify(&mut self, is_last: bool) -> Result<(), String> {
        let how = How {
            occasion: Occasion::Proof,
            depth: Depth::Full,
            deadline: self.options.deadline,
        };
        let seen = check::look(self.stack, self.guard, how, None);
        let findings = judge::guard(self.guard, &seen, &self.memory, Occasion::Proof);
        let of_store = |f: &&Finding| {
            f.store
                .as_deref()
                .is_none_or(|name| name == self.store.name)
        };
        let is_contract = |f: &Finding| f.id.as_str().starts_with("contract.");
        let is_new = self.snapshot.is_none();
        let against = findings
            .iter()
            .filter(of_store)
            .filter(|f| is_last || !is_new || !is_contract(f))
            .find(|f| f.severity == Severity::Hold || f.id.as_str().starts_with("check."));
        if let Some(finding) = against {
            return Err(told_finding(finding));
        }
        if is_last {
            let healthy = check::healthy(&seen, &findings);
            let of_store = healthy
                .into_iter()
                .filter(|(name, _)| *name == self.store.name);
            self.stack
                .remember(self.guard, of_store.collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Brings back the state before.
    fn back(&self, committed: bool) -> End {
        let exists = matches!(self.root.stat(&self.store.path), Ok(Some(_)));
        if !(committed || self.snapshot.is_none() && exists) {
            return End::Unchanged;
        }
        let back = match &self.snapshot {
            Some(snapshot) => {
                let options = restore::Options {
                    only: vec![self.store.path.clone()],
                    ..restore::Options::default()
                };
                restore::restore(&self.stack.vault, self.guard, snapshot, &options).map(|done| {
                    End::Restored {
                        put_aside: done.put_aside,
                    }
                })
            }
            None => heal::quarantine(&self.root, &self.store.path, Timestamp::now())
                .map(|put_aside| End::MovedAside { put_aside }),
        };
        back.unwrap_or_else(|e| End::Stuck { why: told(&e) })
    }
}

/// Returns a file's path, for errors.
fn shown(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
