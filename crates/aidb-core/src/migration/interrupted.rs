//! A migration that was killed: said before a start, and by the next run.

use super::record::{Pending, Record};
use crate::error::{Error, told};
use crate::guard::{Guard, Store, StoreKind};
use crate::judge::{self, Finding, FindingId, Occasion, Severity, Step};
use crate::stack::Stack;

/// Returns what is to be said of migrations of a guard that were killed, or are still at work.
///
/// Whether the last file was applied is not known, and nothing was verified: no application starts on that.
#[must_use]
pub fn interrupted(stack: &mut Stack, guard: &Guard, occasion: Occasion) -> Vec<Finding> {
    let databases = guard.stores.iter().filter(|s| s.kind == StoreKind::Sqlite);
    let mut findings = Vec::new();
    for store in databases {
        let pending = match Record::pending(stack, guard, store) {
            Ok(None) => continue,
            Ok(Some(pending)) => pending,
            Err(e) => {
                let what = format!(
                    "whether a migration of `{}` was interrupted cannot be found out: {}",
                    store.name,
                    told(&e)
                );
                let id = FindingId::CheckCouldNot;
                findings.push(Finding::of_guard(id, Severity::Warn, &what));
                continue;
            }
        };
        let id = FindingId::ContractHalfMigrated;
        let what = format!("a migration stopped in `{}`", pending.file);
        let is_start = occasion == Occasion::Start;
        let severity = if is_start {
            Severity::Hold
        } else {
            Severity::Warn
        };
        let mut next = Vec::new();
        if let Some(snapshot) = &pending.snapshot {
            let snapshot = snapshot.rsplit('/').next().unwrap_or(snapshot);
            let only = store.path.to_string_lossy();
            let words = [
                "restore",
                &guard.name,
                "--snapshot",
                snapshot,
                "--only",
                &only,
            ];
            next.push(Step::new("bring back the state before it", &words));
        }
        if is_start {
            next.push(judge::allow(&guard.name, id));
        }
        findings.push(Finding {
            store: Some(store.name.clone()),
            path: Some(guard.store_path(store)),
            evidence: Some("whether that file was applied is not known".to_owned()),
            next,
            ..Finding::of_guard(id, severity, &what)
        });
    }
    findings
}

pub(crate) fn interrupted_before(guard: &Guard, store: &Store, pending: &Pending) -> Error {
    let hint = match &pending.snapshot {
        Some(id) => format!(
            "`aidb restore {} --snapshot {} --only {}` brings back the state before it; then migrate again",
            guard.name,
            id.rsplit('/').next().unwrap_or(id),
            store.path.display()
        ),
        None => format!(
            "there was no database before it: move `{}` away; then migrate again",
            store.path.display()
        ),
    };
    Error::CouldNot {
        what: format!(
            "an earlier run was interrupted in `{}`: whether that was applied is not known",
            pending.file
        ),
        hint: Some(hint),
    }
}
