//! Pruning: carrying out what retention decided.

use std::collections::HashSet;
use std::time::Duration;

use super::layout::Vault;
use super::name::SnapshotName;
use super::retention;
use super::retention::{Candidate, Decision, SeenAgain};
use super::room::drop_one;
use crate::error::Result;
use crate::lock::{Lock, Mode};
use crate::settings::Keep;
use crate::staging::Staging;

/// How often is planned again because one that was to stay was not whole.
const MOST_ROUNDS: usize = 4;

/// Returns the names of a guard's snapshots with the decision on each, oldest first.
///
/// Of each no more is read than retention asks for, and only of those that are to stay are the files looked at: one whose
/// files went missing since it was proven speaks for dropping no other, so it is planned again without its word.
pub fn plan(
    vault: &Vault,
    guard: &str,
    keep: &Keep,
    seen: &SeenAgain,
) -> Result<Vec<(SnapshotName, Decision)>> {
    let mut names = Vec::new();
    let mut candidates = Vec::new();
    for snapshot in vault.each_snapshot(guard)? {
        let snapshot = snapshot?;
        candidates.push(Candidate {
            sequence: snapshot.name.sequence,
            local_date: snapshot.summary.local_date,
            seen_again: seen.of(&snapshot.name),
            proven: snapshot.is_proven(),
            suspicious: snapshot.suspicious().is_some(),
            content: snapshot.proof.map(|p| p.content_id),
        });
        names.push(snapshot.name);
    }
    let mut known_whole = HashSet::new();
    let mut round = 0;
    loop {
        // Where so many are not whole, all are looked at, rather than planned for one after the other.
        let all = round >= MOST_ROUNDS;
        let decisions = retention::plan(&candidates, keep);
        let mut all_whole = true;
        for (index, decision) in decisions.iter().enumerate() {
            let speaks = candidates[index].proven && (all || decision.is_keep());
            if speaks && known_whole.insert(index) {
                let snapshot = vault.open(guard, &names[index])?;
                let whole = snapshot.is_some_and(|s| s.is_proven() && s.is_whole());
                candidates[index].proven = whole;
                all_whole &= whole;
            }
        }
        if all_whole {
            return Ok(names.into_iter().zip(decisions).collect());
        }
        round += 1;
    }
}

/// Removes what the plan drops, and returns the names. Each one leaves the guard's folder by one rename, so that a half-removed
/// snapshot is never seen as one.
pub fn remove(
    vault: &Vault,
    guard: &str,
    keep: &Keep,
    seen: &SeenAgain,
    patience: Duration,
) -> Result<Vec<SnapshotName>> {
    let _lock = Lock::guard(vault, guard, Mode::Exclusive, patience)?;
    let plan = plan(vault, guard, keep, seen)?;
    let dropped: Vec<SnapshotName> = plan
        .into_iter()
        .filter(|(_, d)| !d.is_keep())
        .map(|(s, _)| s)
        .collect();
    if dropped.is_empty() {
        return Ok(dropped);
    }
    let staging = Staging::new(&vault.staging_folder(), &format!("prune-{guard}"))?;
    let mut removed = Vec::new();
    for name in dropped {
        if drop_one(vault, guard, &name, &staging)? {
            removed.push(name);
        }
    }
    Ok(removed)
}
