//! What several judges say alike: a file, a log, how much damage matters, and the ways out.

use super::{Case, Occasion};
use crate::finding::{Finding, FindingId, Severity, Step};
use crate::guard::{Damaged, Guard};

/// Returns a store's main file by its name alone.
pub(super) fn file_name(case: &Case) -> String {
    case.seen
        .path
        .file_name()
        .unwrap_or(case.seen.path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Returns the words for a log that was not folded in yet.
pub(super) fn told_log(frames: u64) -> String {
    format!("{frames} committed pages in the log")
}

/// Returns how much damage matters to a guard.
pub(super) fn damaged(guard: &Guard) -> Severity {
    match guard.policy.damaged {
        Damaged::Hold | Damaged::Restore => Severity::Hold,
        Damaged::Warn => Severity::Warn,
    }
}

/// Returns the ways out of a finding that speaks against the baseline: back to the newest proven snapshot, or on with what
/// is there.
pub(super) fn ways_out(case: &Case, id: FindingId, severity: Severity) -> Vec<Step> {
    if case.occasion == Occasion::Proof {
        return Vec::new();
    }
    let name = case.guard.name.as_str();
    let mut steps: Vec<Step> = super::former_path(case.memory).into_iter().collect();
    if case
        .memory
        .proven
        .as_ref()
        .is_some_and(|s| s.stores.contains_key(&case.store.name))
    {
        steps.push(Step::new("bring it back", &["restore", name]));
    }
    steps.push(Step::new(
        "or it is right so",
        &["accept", name, "--reason", "I have looked at it"],
    ));
    if severity == Severity::Hold {
        steps.push(super::allow(name, id));
    }
    steps
}

/// Returns findings of one cause, of which the first that holds has the ways out; the others are its evidence.
pub(super) fn with_one_way_out(mut findings: Vec<Finding>) -> Vec<Finding> {
    let holds = findings.iter_mut().filter(|f| f.severity == Severity::Hold);
    holds.skip(1).for_each(|f| f.next.clear());
    findings
}
