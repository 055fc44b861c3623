//! Checking a guard: look, judge, at start heal, remember.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::capture::Root;
use crate::error::Result;
use crate::guard::{Guard, Uninitialised};
use crate::heal;
use crate::judge::{self, Finding, FindingId, Occasion, Severity};
use crate::look::observation::{Database, GuardObservation, Place, StoreObservation};
use crate::look::scan::{self, told};
use crate::look::{Depth, Way, Where};
use crate::memory::{Memory, Seen};
use crate::report::{Checked, GuardReport, StoreReport};
use crate::stack::Stack;

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

/// Checks one guard.
pub fn check(stack: &mut Stack, guard: &Guard, how: How) -> GuardReport {
    let memory = stack.memory(guard);
    let mut made_folder = None;
    if how.occasion == Occasion::Start {
        made_folder = make_folder(guard, &memory);
    }
    let seen = match look(stack, guard, how) {
        Ok(seen) => seen,
        Err(e) => {
            let what = format!("no private copy can be made: {}", told(&e));
            let finding = Finding::of_guard(FindingId::CheckCouldNot, Severity::Warn, &what);
            return GuardReport::new(&guard.name, vec![finding], Vec::new());
        }
    };
    let mut findings = judge::guard(guard, &seen, &memory, how.occasion);
    findings.extend(made_folder);
    if how.occasion == Occasion::Start {
        quarantine(stack, guard, &seen, &memory, &mut findings);
        use_tokens(stack, guard, &mut findings);
    }
    stack.remember(guard, healthy(&seen, &findings));
    let stores = guard
        .stores
        .iter()
        .zip(&seen.stores)
        .map(|(store, seen)| store_report(store, seen))
        .collect();
    GuardReport::new(&guard.name, findings, stores)
}

/// Looks at a guard's live folder.
pub fn look(stack: &Stack, guard: &Guard, how: How) -> Result<GuardObservation> {
    let scratch = stack.scratch()?;
    let way = Way {
        examiner: &stack.examiner,
        depth: how.depth,
        deadline: Instant::now() + how.deadline,
        place: Where::Live(scratch.path()),
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
    let opened = seen
        .stores
        .iter()
        .filter_map(|s| Some((s, s.database.as_ref().filter(|d| d.opened.is_some())?)));
    opened
        .filter(|(s, _)| !troubled(&s.name))
        .map(|(s, database)| (s.name.clone(), database.seen()))
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
            && seen
                .database
                .as_ref()
                .is_some_and(Database::never_initialised);
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
