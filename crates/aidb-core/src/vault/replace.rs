//! One stop, one snapshot: the state at rest replaces the one that was captured while the application still ran.

use super::layout::{Snapshot, Vault};
use super::name::SnapshotName;
use super::prune::drop_all;
use crate::error::Result;

/// How many older snapshots are looked at: between the two of one stop lie few, if any.
const MOST_OLDER: usize = 8;

/// Drops the older snapshots of the stop that a good snapshot is of. The caller holds the guard's lock exclusively.
///
/// They stay until that one is proven: a proven live state is worth more than one at rest that nobody has opened. They
/// also stay if it is suspicious.
///
/// # Errors
/// [`crate::Error::Io`] if the vault cannot be read or written.
pub fn older_of_same_stop(vault: &Vault, good: &Snapshot) -> Result<Vec<SnapshotName>> {
    let (guard, invocation) = (&good.summary.guard, &good.summary.invocation);
    if invocation.is_none() || !good.is_good() {
        return Ok(Vec::new());
    }
    let mut names = vault.names(guard)?;
    names.retain(|name| *name < good.name);
    let mut replaced = Vec::new();
    for name in names.into_iter().rev().take(MOST_OLDER) {
        let older = vault.open(guard, &name)?;
        if older.is_some_and(|o| o.summary.invocation == *invocation) {
            replaced.push(name);
        }
    }
    drop_all(vault, guard, replaced)
}
