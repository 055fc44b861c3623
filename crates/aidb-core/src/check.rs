//! Checking a guard: look, judge, at start heal, remember.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::capture::Root;
use crate::error::{Error, Result};
use crate::guard::{Damaged, Guard, Uninitialised};
use crate::heal;
use crate::judge::{self, Finding, FindingId, Occasion, Severity};
use crate::look::observation::{GuardObservation, Place, StoreObservation};
use crate::look::scan::{self, told};
use crate::look::{Depth, Way, Where};
use crate::memory::{Memory, Seen, Standing};
use crate::report::{Checked, GuardReport, StoreReport};
use crate::stack::Stack;
use crate::vault::lock::{Lock, Mode};
use crate::vault::restore;

/// How to check.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// When it is judged: only [`Occasion::Start`] changes anything.
    pub occasion: Occasion,
    /// How deep to look.
    pub depth: Depth,
    /// For how long.
    pub deadline: Duration,
}

/// How long a start waits for whoever holds the guard before it heals.
const PATIENCE: Duration = Duration::from_secs(10);

/// Checks one guard.
pub fn check(stack: &mut Stack, guard: &Guard, how: How) -> GuardReport {
    let mut healed = Vec::new();
    healed.extend(unfinished_restore(stack, guard, how.occasion));
    let mut memory = stack.memory(guard);
    if how.occasion == Occasion::Start {
        healed.extend(make_folder(guard, &memory));
    }
    let (mut seen, mut findings) = match look_and_judge(stack, guard, how, &memory) {
        Ok(judged) => judged,
        Err(report) => return report,
    };
    if how.occasion == Occasion::Start
        && is_damaged(&findings)
        && guard.policy.damaged == Damaged::Restore
    {
        match restore_newest(stack, guard) {
            Ok(done) => {
                healed.push(done);
                memory = stack.memory(guard);
                (seen, findings) = match look_and_judge(stack, guard, how, &memory) {
                    Ok(judged) => judged,
                    Err(report) => return report,
                };
            }
            Err(e) => {
                let what = format!(
                    "the newest proven snapshot could not be restored: {}",
                    told(&e)
                );
                healed.push(Finding::of_guard(
                    FindingId::CheckCouldNot,
                    Severity::Warn,
                    &what,
                ));
            }
        }
    }
    findings.extend(healed);
    if how.occasion == Occasion::Start {
        quarantine(stack, guard, &seen, &memory, &mut findings);
        use_tokens(stack, guard, &mut findings);
    }
    remember(stack, guard, &seen, &findings);
    GuardReport::new(&guard.name, findings, store_reports(guard, &seen))
}

/// Remembers what is worth it of a look, and lets it stand.
pub(crate) fn remember(
    stack: &mut Stack,
    guard: &Guard,
    seen: &GuardObservation,
    findings: &[Finding],
) {
    stack.let_stand(guard, standing(guard, seen, findings));
    stack.remember(guard, healthy(seen, findings));
}

/// Returns what a report says of each store.
pub(crate) fn store_reports(guard: &Guard, seen: &GuardObservation) -> Vec<StoreReport> {
    let both = guard.stores.iter().zip(&seen.stores);
    both.map(|(store, seen)| store_report(store, seen))
        .collect()
}

/// Looks at a guard and judges what was seen; where no look was possible, the report says so.
pub(crate) fn look_and_judge(
    stack: &Stack,
    guard: &Guard,
    how: How,
    memory: &Memory,
) -> Result<(GuardObservation, Vec<Finding>), GuardReport> {
    match look(stack, guard, how, Some(memory)) {
        Ok(seen) => {
            let findings = judge::guard(guard, &seen, memory, how.occasion);
            Ok((seen, findings))
        }
        Err(e) => {
            let what = format!("no private copy can be made: {}", told(&e));
            let finding = Finding::of_guard(FindingId::CheckCouldNot, Severity::Warn, &what);
            Err(GuardReport::new(&guard.name, vec![finding], Vec::new()))
        }
    }
}

/// Completes a restore that was interrupted; only at start, when nothing runs on the data.
pub(crate) fn unfinished_restore(
    stack: &mut Stack,
    guard: &Guard,
    occasion: Occasion,
) -> Option<Finding> {
    let id = FindingId::RestoreUnfinished;
    // Half of one state and half of another is nothing to start on.
    let held = |e: &Error| Finding {
        evidence: Some(told(e)),
        next: vec![judge::allow(&guard.name, id)],
        ..Finding::of_guard(
            id,
            Severity::Hold,
            "a restore was interrupted and cannot be completed",
        )
    };
    match restore::is_unfinished(&stack.vault, guard) {
        Ok(false) => return None,
        // That it cannot be looked for is our own trouble, and no sign of an interrupted restore.
        Err(e @ Error::Io { .. }) => {
            let what = format!(
                "whether a restore was interrupted cannot be found out: {}",
                told(&e)
            );
            let id = FindingId::CheckCouldNot;
            return Some(Finding::of_guard(id, Severity::Warn, &what));
        }
        Err(e) => return Some(held(&e)),
        Ok(true) if occasion != Occasion::Start => {
            let finding = Finding::of_guard(id, Severity::Warn, "a restore was interrupted");
            return Some(Finding {
                evidence: Some("the next start completes it".into()),
                ..finding
            });
        }
        Ok(true) => {}
    }
    let done = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, PATIENCE)
        .and_then(|_lock| restore::finish(&stack.vault, guard));
    Some(match done {
        Ok(finished) => {
            if let Ok(ledger) = stack.ledger() {
                let _ =
                    ledger.note_replaced(&guard.name, "restore", "an interrupted one, completed");
            }
            let kept =
                finished.map(|f| format!("what was there is kept: `{}`", f.put_aside.display()));
            Finding {
                evidence: kept,
                ..Finding::of_guard(id, Severity::Info, "an interrupted restore was completed")
            }
        }
        Err(e) => held(&e),
    })
}

fn is_damaged(findings: &[Finding]) -> bool {
    let ids = [
        FindingId::SqliteNotSqlite,
        FindingId::SqliteTruncated,
        FindingId::SqliteDamaged,
        FindingId::SqliteIndexDisagrees,
        FindingId::SqliteWalForeign,
        FindingId::SqliteJournalForeign,
        FindingId::ChromaIndexMissing,
        FindingId::ChromaIndexTruncated,
        FindingId::OllamaNoManifests,
        FindingId::QdrantSegmentBad,
        FindingId::QdrantJsonBad,
        FindingId::QdrantWalBad,
    ];
    findings
        .iter()
        .any(|f| f.severity == Severity::Hold && ids.contains(&f.id))
}

/// Restores by policy: what is damaged is put aside, never deleted.
fn restore_newest(stack: &mut Stack, guard: &Guard) -> Result<Finding> {
    let lock = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, PATIENCE)?;
    let snapshot = stack.snapshot(&guard.name)?;
    let restored = restore::restore(&stack.vault, guard, &snapshot, &restore::Options::default())?;
    drop(lock);
    if let Ok(ledger) = stack.ledger() {
        let _ = ledger.note_replaced(
            &guard.name,
            "restore",
            &format!("{}, by policy", snapshot.id()),
        );
    }
    let what = format!(
        "the data was damaged and was restored from `{}`, as the policy says",
        snapshot.id()
    );
    let kept = restored
        .put_aside
        .map(|p| format!("what was there is kept: `{}`", p.display()));
    Ok(Finding {
        evidence: kept,
        ..Finding::of_guard(FindingId::SqliteDamaged, Severity::Warn, &what)
    })
}

/// Looks at a guard's live folder; what `memory` holds of an earlier look may still stand.
pub fn look(
    stack: &Stack,
    guard: &Guard,
    how: How,
    memory: Option<&Memory>,
) -> Result<GuardObservation> {
    let scratch = stack.scratch()?;
    let way = Way {
        examiner: &stack.examiner,
        depth: how.depth,
        deadline: Instant::now() + how.deadline,
        place: Where::Live(scratch.path()),
        standing: memory
            .map(|m| &m.standing)
            .filter(|_| how.depth == Depth::Full),
        mount: guard
            .mount
            .as_deref()
            .map(|mount| (mount, guard.data.as_path())),
    };
    Ok(scan::guard(guard, &guard.data, &way))
}

/// Returns what is worth remembering: the stores that were opened and against which nothing stands.
#[must_use]
pub fn healthy(seen: &GuardObservation, findings: &[Finding]) -> Vec<(String, Seen)> {
    let troubled = |name: &str| {
        findings
            .iter()
            .any(|f| f.severity > Severity::Info && f.store.as_deref().is_none_or(|s| s == name))
    };
    let quiet = seen.stores.iter().filter(|s| !troubled(&s.name));
    quiet
        .filter_map(|s| Some((s.name.clone(), s.seen()?)))
        .collect()
}

/// Returns the full looks that need not be repeated while the files stay as they are.
fn standing(
    guard: &Guard,
    seen: &GuardObservation,
    findings: &[Finding],
) -> Vec<(String, Standing)> {
    let healthy: Vec<String> = healthy(seen, findings)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let full = |s: &StoreObservation| s.checked == Checked::Full && healthy.contains(&s.name);
    let looks = guard
        .stores
        .iter()
        .zip(&seen.stores)
        .filter(|(_, s)| full(s));
    looks
        .filter_map(|(store, s)| {
            let standing = Standing {
                contract: store.contract.clone(),
                fingerprint: s.fingerprint.clone()?,
                database: s.database.clone()?,
                at: Timestamp::now(),
            };
            Some((s.name.clone(), standing))
        })
        .collect()
}

/// Makes the data folder of a guard of which nothing is known: Podman does not start without it.
fn make_folder(guard: &Guard, memory: &Memory) -> Option<Finding> {
    let known = memory.unknown.is_some()
        || memory.proven.is_some()
        || guard.stores.iter().any(|s| memory.knows_data(&s.name));
    let parent_exists = guard.data.parent().is_some_and(std::path::Path::is_dir);
    if known || !parent_exists || std::fs::symlink_metadata(&guard.data).is_ok() {
        return None;
    }
    match rustix::fs::mkdir(&guard.data, rustix::fs::Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => None,
        Err(e) => {
            let what = format!("the data folder does not exist and cannot be made: {e}");
            let finding = Finding::of_guard(FindingId::CheckCouldNot, Severity::Warn, &what);
            Some(Finding {
                path: Some(guard.data.clone()),
                ..finding
            })
        }
    }
}

/// Moves never-initialised databases aside, of which nothing is known.
fn quarantine(
    stack: &mut Stack,
    guard: &Guard,
    seen: &GuardObservation,
    memory: &Memory,
    findings: &mut [Finding],
) {
    if guard.policy.uninitialised != Uninitialised::Quarantine || memory.unknown.is_some() {
        return;
    }
    for (store, seen) in guard.stores.iter().zip(&seen.stores) {
        let is_empty = matches!(seen.place, Place::File(_))
            && seen.database.as_ref().is_some_and(|d| d.never_initialised);
        if !is_empty || memory.knows_data(&store.name) {
            continue;
        }
        let of_store = |f: &&mut Finding| f.store.as_deref() == Some(store.name.as_str());
        let Some(finding) = findings.iter_mut().find(of_store) else {
            continue;
        };
        let moved = Root::open(&guard.data)
            .and_then(|root| heal::quarantine(&root, &store.path, Timestamp::now()));
        finding.evidence = Some(match moved {
            Ok(aside) => {
                let aside = aside.display().to_string();
                if let Ok(ledger) = stack.ledger() {
                    let _ = ledger.note_event(&guard.name, "quarantine", &aside);
                }
                format!("nothing is known of earlier data; moved aside to `{aside}`")
            }
            Err(e) => format!(
                "nothing is known of earlier data; it could not be moved aside: {}",
                told(&e)
            ),
        });
    }
}

/// Lets held findings pass for which a permission was given; each permission works once.
fn use_tokens(stack: &mut Stack, guard: &Guard, findings: &mut [Finding]) {
    let Ok(ledger) = stack.ledger() else { return };
    for finding in findings.iter_mut().filter(|f| f.severity == Severity::Hold) {
        if ledger.use_token(&guard.name, finding.id).unwrap_or(false) {
            finding.severity = Severity::Warn;
            finding.next.clear();
            let evidence = finding
                .evidence
                .take()
                .map(|e| format!("; {e}"))
                .unwrap_or_default();
            finding.evidence = Some(format!("allowed to pass this once{evidence}"));
        }
    }
}

fn store_report(store: &crate::guard::Store, seen: &StoreObservation) -> StoreReport {
    let database = seen.database.as_ref();
    let opened = database.and_then(|d| d.opened.as_ref());
    let is_database = database.is_some_and(|d| d.form == crate::look::observation::Form::Database);
    StoreReport {
        name: store.name.clone(),
        kind: store.kind,
        path: PathBuf::clone(&seen.path),
        size_bytes: match &seen.place {
            Place::File(size) => Some(database.map_or(*size, |d| d.size_bytes)),
            _ => database.map(|d| d.size_bytes),
        },
        pages: database.map(|d| d.pages).filter(|p| *p > 0),
        tables: database
            .and_then(|d| d.tables.as_ref())
            .map(|t| t.len() as u64),
        rows: opened
            .map(|o| store.contract.telling_rows(&o.rows))
            .unwrap_or_default(),
        schema_revision: opened.and_then(|o| o.revision.first().cloned()),
        journal: database
            .filter(|_| is_database)
            .map(|d| if d.is_wal { "wal" } else { "rollback" }.to_owned()),
        checked: if matches!(seen.place, Place::File(_) | Place::Folder) {
            seen.checked
        } else {
            Checked::Nothing
        },
    }
}
