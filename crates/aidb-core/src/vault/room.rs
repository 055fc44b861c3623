//! The space that applications need more than we do.
//!
//! A snapshot turns the next overwrite of a shared block into an allocation, and on a full disk an application that
//! writes through a memory map dies by SIGBUS (seen on XFS). So no snapshot is kept when too little would stay free.

use std::path::Path;

use super::layout::Vault;
use super::name::SnapshotName;
use super::prune::{self, drop_one};
use super::retention::SeenAgain;
use crate::error::{Error, Result};
use crate::settings::Keep;
use crate::space::space;
use crate::staging::Staging;

/// Returns how many bytes are to stay free where `path` lies, or would: the usual floor, and what the applications
/// rewrite in place, as far as that is known (no more than a tenth of the disk).
#[must_use]
pub fn floor_at(path: &Path, in_place_bytes: u64) -> u64 {
    space(path).map_or(0, |space| {
        let in_place = in_place_bytes.min(space.total_bytes / 10);
        space.floor_bytes.max(in_place)
    })
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
    let free = || space(vault.root()).map_or(u64::MAX, |space| space.free_bytes);
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
        let staging = Staging::new(&vault.staging_folder(), &format!("room-{guard}"))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::restore::tests::bench::bench;

    /// No disk has so much free.
    const NEVER_ENOUGH: u64 = u64::MAX;

    fn left(vault: &Vault) -> Vec<u64> {
        let names = vault.names("open-webui").unwrap();
        names.iter().map(|n| n.sequence).collect()
    }

    #[test]
    fn a_disk_that_stays_full_costs_the_older_snapshots_and_never_the_newest_proven_one() {
        let bench = bench();
        bench.put("file", "content");
        let (keep, seen) = (Keep::default(), SeenAgain::default());
        let make = |floor| make_room(&bench.vault, "open-webui", &keep, &seen, floor);
        for sequence in 1..=6 {
            bench.take(sequence);
        }
        // Nobody has proven any: none may go, whatever the disk says.
        assert!(make(NEVER_ENOUGH).is_err());
        assert_eq!(left(&bench.vault), [1, 2, 3, 4, 5, 6]);

        bench.prove(2);
        bench.prove(4);
        assert_eq!(make(0).unwrap(), []);
        assert_eq!(left(&bench.vault), [1, 2, 3, 4, 5, 6]);
        let error = make(NEVER_ENOUGH).unwrap_err().to_string();
        assert!(error.contains("3 older snapshots were dropped"), "{error}");
        assert_eq!(left(&bench.vault), [4, 5, 6]);
        assert!(make(NEVER_ENOUGH).is_err());
        assert_eq!(left(&bench.vault), [4, 5, 6]);
        let newest = bench.vault.newest_good("open-webui").unwrap().unwrap();
        assert!(newest.name.sequence == 4 && newest.is_whole());
    }

    #[test]
    fn the_oldest_goes_first_and_no_more_than_needed() {
        // On a disk of its own, so that nobody else frees or takes space meanwhile.
        let Some(disk) = aidb_testkit::disk::Disk::new("ext4", 128, "dropping what is oldest")
        else {
            return;
        };
        let bench = crate::vault::restore::tests::bench::bench_in(&disk.path());
        let (keep, seen) = (Keep::default(), SeenAgain::default());
        for sequence in 1..=5_u8 {
            std::fs::write(bench.data().join("file"), vec![sequence; 10 << 20]).unwrap();
            bench.take(sequence.into());
            bench.prove(sequence.into());
        }
        let free = space(bench.vault.root()).unwrap().free_bytes;
        let wanted = free + (15 << 20);
        let dropped = make_room(&bench.vault, "open-webui", &keep, &seen, wanted).unwrap();
        let dropped: Vec<u64> = dropped.iter().map(|n| n.sequence).collect();
        assert_eq!(dropped, [1, 2]);
        assert_eq!(left(&bench.vault), [3, 4, 5]);
    }
}
