//! Pruning: carrying out what retention decided.

use std::collections::HashSet;
use std::time::Duration;

use super::layout::Vault;
use super::name::SnapshotName;
use super::publish::sync_folder;
use super::retention;
use super::retention::{Candidate, Decision, SeenAgain};
use crate::error::{IoContext as _, Result};
use crate::folder::remove_tree;
use crate::lock::{Lock, Mode};
use crate::settings::Keep;
use crate::staging::Staging;
use crate::step::step;

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
    drop_all(vault, guard, dropped)
}

/// Removes snapshots, and returns the names of those that went. The caller holds the guard's lock exclusively.
///
/// # Errors
/// [`crate::Error::Io`] if the vault cannot be written.
pub fn drop_all(vault: &Vault, guard: &str, names: Vec<SnapshotName>) -> Result<Vec<SnapshotName>> {
    if names.is_empty() {
        return Ok(names);
    }
    let staging = Staging::new(&vault.staging_folder(), &format!("prune-{guard}"))?;
    let mut dropped = Vec::new();
    for name in names {
        if drop_one(vault, guard, &name, &staging)? {
            dropped.push(name);
        }
    }
    Ok(dropped)
}

/// Removes one snapshot: it leaves the guard's folder by one rename, so that a half-removed one is never seen. Returns
/// whether it went: one that somebody archives, exports or verifies goes the next time.
pub fn drop_one(
    vault: &Vault,
    guard: &str,
    name: &SnapshotName,
    staging: &Staging,
) -> Result<bool> {
    let folder = vault.guard_folder(guard);
    let path = folder.join(name.to_string());
    let Ok(_lock) = Lock::snapshot(&path, Mode::Exclusive) else {
        return Ok(false);
    };
    let away = staging.path().join(name.to_string());
    step("rename").doing("remove", &path)?;
    std::fs::rename(&path, &away).doing("remove", &path)?;
    sync_folder(&folder)?;
    remove_tree(&away).doing("remove", &away)?;
    Ok(true)
}
