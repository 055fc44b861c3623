//! Pruning: carrying out what retention decided.

use std::time::Duration;

use super::layout::{Snapshot, Vault};
use super::lock::{Lock, Mode, Staging, remove_tree};
use super::publish::sync_folder;
use super::retention::{self, Candidate, Decision, Keep};
use crate::error::{IoContext, Result};

/// Returns a guard's snapshots with the decision on each, oldest first.
pub fn plan(vault: &Vault, guard: &str, keep: &Keep) -> Result<Vec<(Snapshot, Decision)>> {
    let snapshots = vault.snapshots(guard)?;
    let candidates: Vec<Candidate> = snapshots
        .iter()
        .map(|s| Candidate {
            sequence: s.name.sequence,
            local_date: s.summary.local_date,
            // One whose files went missing since it was proven speaks for dropping no other.
            proven: s.is_proven() && s.is_whole(),
            suspicious: s.suspicious().is_some(),
            content: s.proof.as_ref().map(|p| p.content_id.clone()),
        })
        .collect();
    let decisions = retention::plan(&candidates, keep);
    Ok(snapshots.into_iter().zip(decisions).collect())
}

/// Removes what the plan drops, and returns it. Each one leaves the guard's folder by one rename, so that a half-removed
/// snapshot is never seen as one.
pub fn remove(
    vault: &Vault,
    guard: &str,
    keep: &Keep,
    patience: Duration,
) -> Result<Vec<Snapshot>> {
    let _lock = Lock::guard(vault, guard, Mode::Exclusive, patience)?;
    let plan = plan(vault, guard, keep)?;
    let dropped: Vec<Snapshot> = plan
        .into_iter()
        .filter(|(_, d)| !d.is_keep())
        .map(|(s, _)| s)
        .collect();
    if dropped.is_empty() {
        return Ok(dropped);
    }
    let staging = Staging::new(vault, &format!("prune-{guard}"))?;
    for snapshot in &dropped {
        let away = staging.path().join(snapshot.name.to_string());
        std::fs::rename(&snapshot.path, &away).doing("remove", &snapshot.path)?;
        sync_folder(&vault.guard_folder(guard))?;
        remove_tree(&away).doing("remove", &away)?;
    }
    Ok(dropped)
}
