//! Checking a guard: look, judge, at start heal, remember.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::capture::Root;
use crate::catalog::Catalog;
use crate::error::{Error, told};
use crate::guard::{Damaged, Guard, Uninitialised};
use crate::heal::{self, Healed, is_damaged};
use crate::judge::{self, Finding, FindingId, Occasion, Severity};
use crate::lock::{Lock, Mode};
use crate::look::application::Terms;
use crate::look::observation::{Checked, Database, GuardObservation, Place, StoreObservation};
use crate::look::seen::Seen;
use crate::look::standing::Standing;
use crate::look::{Depth, Way, Where, scan};
use crate::memory::Memory;
use crate::report::{GuardReport, StoreReport};
use crate::stack::Stack;
use crate::vault::lock::PATIENCE;
use crate::vault::restore;
use crate::{migration, older};

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
    let mut healed = Vec::new();
    healed.extend(unfinished_restore(stack, guard, how.occasion));
    let mut memory = stack.memory(guard);
    if how.occasion == Occasion::Start {
        healed.extend(make_folder(guard, &memory));
    }
    let (mut seen, mut findings) = look_and_judge(stack, guard, how, &memory);
    if how.occasion == Occasion::Start
        && is_damaged(&findings)
        && guard.policy.damaged == Damaged::Restore
    {
        match heal::restore_newest(stack, guard) {
            Ok(Healed::Restored(done)) => {
                healed.push(done);
                memory = stack.memory(guard);
                (seen, findings) = look_and_judge(stack, guard, how, &memory);
            }
            Ok(Healed::Braked(why)) => heal::add_evidence(&mut findings, &why),
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
    findings.extend(migration::interrupted(stack, guard, how.occasion));
    if how.occasion == Occasion::Start {
        quarantine(stack, guard, &seen, &memory, &mut findings);
        use_tokens(stack, guard, &mut findings);
    }
    remember(stack, guard, &seen, &findings);
    if how.occasion == Occasion::Start {
        // It speaks of the image: the data is healthy all the same, and remembered.
        findings.extend(older::at_start(stack, guard, &seen));
    }
    GuardReport::new(&guard.name, findings, store_reports(guard, &seen))
}

/// Remembers what is worth it of a look, and lets it stand.
pub(crate) fn remember(
    stack: &mut Stack,
    guard: &Guard,
    seen: &GuardObservation,
    findings: &[Finding],
) {
    stack.let_stand(guard, standing(guard, seen));
    // A look that stands adds nothing to what is known, and writing that down would cost more than the look.
    let stands = |name: &str| {
        let mut stores = seen.stores.iter();
        stores.any(|s| s.name == name && s.checked == Checked::Standing)
    };
    let healthy = healthy(seen, findings);
    let is_found = !healthy.is_empty();
    let news = healthy.into_iter().filter(|(name, _)| !stands(name));
    stack.remember(guard, news);
    if is_found {
        stack.note_found(guard);
    }
}

/// Returns what a report says of each store.
pub(crate) fn store_reports(guard: &Guard, seen: &GuardObservation) -> Vec<StoreReport> {
    let both = guard.stores.iter().zip(&seen.stores);
    both.map(|(store, seen)| store_report(store, seen))
        .collect()
}

/// Looks at a guard and judges what was seen.
pub(crate) fn look_and_judge(
    stack: &Stack,
    guard: &Guard,
    how: How,
    memory: &Memory,
) -> (GuardObservation, Vec<Finding>) {
    let seen = look(stack, guard, how, Some(memory));
    let findings = judge::guard(guard, &seen, memory, how.occasion);
    (seen, findings)
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

/// Looks at a guard's live folder; what `memory` holds of an earlier look may still stand.
pub fn look(stack: &Stack, guard: &Guard, how: How, memory: Option<&Memory>) -> GuardObservation {
    let scratch = stack.scratch();
    let way = Way {
        examiner: &stack.examiner,
        depth: how.depth,
        deadline: Instant::now() + how.deadline,
        place: Where::Live(&scratch),
        standing: memory
            .map(|m| &m.standing)
            .filter(|_| how.depth == Depth::Full),
        damage_stands: matches!(how.occasion, Occasion::Start | Occasion::Switch),
        mount: Catalog::builtin()
            .mount(guard)
            .map(|mount| (mount, guard.data.as_path())),
    };
    scan::guard(guard, &guard.data, &way)
}

/// What is said of a database for as long as it lives, and takes nothing from what its rows tell: were nothing
/// remembered because of it, its loss would not be told.
const LASTING: [FindingId; 2] = [FindingId::SqliteUnsafeSchema, FindingId::SqliteForeignKey];

/// Returns what is worth remembering: the stores that were opened and against which nothing stands but what lasts.
#[must_use]
pub fn healthy(seen: &GuardObservation, findings: &[Finding]) -> Vec<(String, Seen)> {
    let troubled = |name: &str| {
        findings
            .iter()
            .filter(|f| f.severity == Severity::Hold || !LASTING.contains(&f.id))
            .any(|f| f.severity > Severity::Info && f.store.as_deref().is_none_or(|s| s == name))
    };
    let quiet = seen.stores.iter().filter(|s| !troubled(&s.name));
    quiet
        .filter_map(|s| Some((s.name.clone(), s.seen()?)))
        .collect()
}

/// Returns the looks that need not be repeated while the files stay as they are: what was found whole, good or bad. What
/// it means is judged anew each time.
fn standing(guard: &Guard, seen: &GuardObservation) -> Vec<(String, Standing)> {
    let is_whole = |s: &StoreObservation| {
        let shows_damage = s.database.as_ref().is_some_and(Database::shows_damage);
        let found_out = s.could_not.is_none() && s.no_room.is_none() && !s.deadline_hit;
        let beside = s
            .application
            .as_ref()
            .is_none_or(|a| a.ended.is_none() && a.unlooked.is_empty());
        found_out && beside && (s.checked == Checked::Full || shows_damage)
    };
    let looks = guard
        .stores
        .iter()
        .zip(&seen.stores)
        .filter(|(_, s)| s.checked != Checked::Standing && is_whole(s));
    looks
        .filter_map(|(store, s)| {
            let uploads = s.application.as_ref().and_then(|a| match &a.terms {
                Terms::Uploads(uploads) => Some(uploads.clone()),
                _ => None,
            });
            let standing = Standing {
                contract: store.contract.clone(),
                fingerprint: s.fingerprint.clone()?,
                database: s.database.clone()?,
                uploads,
                folders: s.folders.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::observation::Opened;

    fn seen() -> GuardObservation {
        let store = StoreObservation {
            name: "chats".into(),
            path: PathBuf::from("/data/webui.db"),
            place: Place::File(8192),
            odd_companion: None,
            database: Some(Database {
                opened: Some(Opened::default()),
                ..Database::default()
            }),
            application: None,
            checked: Checked::Full,
            could_not: None,
            no_room: None,
            deadline_hit: false,
            fingerprint: None,
            folders: Vec::new(),
        };
        GuardObservation {
            folder: Place::Folder,
            stores: vec![store],
            legacy_database: None,
        }
    }

    #[test]
    fn what_lasts_keeps_nothing_from_being_remembered_and_a_loss_does() {
        let remembered = |id, severity| {
            let finding = Finding {
                store: Some("chats".into()),
                ..Finding::of_guard(id, severity, "it is so")
            };
            healthy(&seen(), &[finding]).len()
        };
        for lasting in LASTING {
            assert_eq!(remembered(lasting, Severity::Warn), 1, "{lasting:?}");
            assert_eq!(remembered(lasting, Severity::Hold), 0, "{lasting:?}");
        }
        for id in [FindingId::ContractRowsShrunk, FindingId::CheckCouldNot] {
            assert_eq!(remembered(id, Severity::Warn), 0, "{id:?}");
        }
    }
}
