//! The space that applications need more than we do.
//!
//! A snapshot turns the next overwrite of a shared block into an allocation, and on a full disk an application that
//! writes through a memory map dies by SIGBUS (seen on XFS). So no snapshot is kept when too little would stay free.

use std::path::Path;

use super::layout::Vault;
use super::lock::{Lock, Mode, Staging, remove_tree};
use super::name::SnapshotName;
use super::publish::sync_folder;
use super::retention::{Keep, SeenAgain};
use super::space::floor_bytes;
use super::{prune, take};
use crate::error::{Error, IoContext, Result};

/// Returns how many bytes are to stay free where `path` lies, or would: the usual floor, and what the applications
/// rewrite in place, as far as that is known (no more than a tenth of the disk).
#[must_use]
pub fn floor_at(path: &Path, in_place_bytes: u64) -> u64 {
    let Ok(stat) = rustix::fs::statvfs(take::nearest_existing(path)) else {
        return 0;
    };
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    floor_bytes(&stat).max(in_place_bytes.min(total / 10))
}

/// Drops snapshots until the floor is free again: what the plan drops, then the oldest, down to the newest proven one.
/// Returns the dropped ones. The caller holds the guard's lock exclusively.
///
/// # Errors
/// [`Error::CouldNot`] if that is not enough.
pub fn make_room(
    vault: &Vault,
    guard: &str,
    keep: &Keep,
    seen: &SeenAgain,
    floor: u64,
) -> Result<Vec<SnapshotName>> {
    let free = || take::free_bytes(vault.root()).unwrap_or(u64::MAX);
    let mut dropped = Vec::new();
    if free() >= floor {
        return Ok(dropped);
    }
    let plan = prune::plan(vault, guard, keep, seen)?;
    let newest_good = vault.newest_good(guard)?.map(|s| s.name);
    // Without a newer proven one, nothing goes.
    let may_go = |name: &SnapshotName| newest_good.as_ref().is_some_and(|good| name < good);
    let (planned, kept): (Vec<_>, Vec<_>) = plan.into_iter().partition(|(_, d)| !d.is_keep());
    let order = planned.into_iter().chain(kept).map(|(name, _)| name);
    for name in order.filter(|name| may_go(name)) {
        let staging = Staging::new(vault, &format!("room-{guard}"))?;
        if drop_one(vault, guard, &name, &staging)? {
            dropped.push(name);
        }
        if free() >= floor {
            return Ok(dropped);
        }
    }
    Err(Error::CouldNot {
        what: format!(
            "only {} MiB are free where the vault `{}` lies, and {} MiB are left to the applications; nothing was kept{}",
            free() >> 20,
            vault.root().display(),
            floor >> 20,
            if dropped.is_empty() {
                String::new()
            } else {
                format!(", and {} older snapshots were dropped", dropped.len())
            }
        ),
        hint: Some("free some space, or move `vault`".into()),
    })
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
    std::fs::rename(&path, &away).doing("remove", &path)?;
    sync_folder(&folder)?;
    remove_tree(&away).doing("remove", &away)?;
    Ok(true)
}
