//! A guard that has another name in the settings than before: it is known by its data folder, and its history goes on
//! under the new name.
//!
//! Both memories are carried over on their own, so that a run that is killed in between is completed by the next one.

use std::path::Path;
use std::time::Duration;

use crate::error::{IoContext, Result};
use crate::guard::Guard;
use crate::ledger::Ledger;
use crate::lock::{Lock, Mode};
use crate::vault::Vault;
use crate::vault::publish::sync_folder;

/// Carries the history of renamed guards over to their new names. Returns what was done, one line each; what cannot be
/// done now is done by a later run.
#[must_use]
pub fn adopt(vault: &Vault, mut ledger: Option<&mut Ledger>, guards: &[Guard]) -> Vec<String> {
    let mut told = Vec::new();
    for guard in guards {
        // Two guards of one folder, of which neither is the former one.
        if guards.iter().filter(|g| g.data == guard.data).count() > 1 {
            continue;
        }
        let in_vault = adopt_snapshots(vault, ledger.as_deref(), guards, guard);
        let in_ledger = ledger
            .as_deref_mut()
            .map_or(Ok(None), |ledger| adopt_memories(ledger, guards, guard));
        let former = in_vault.ok().flatten().or(in_ledger.ok().flatten());
        told.extend(former.map(|former| {
            format!(
                "`{former}` is called `{}` now: its history goes on under the new name",
                guard.name
            )
        }));
    }
    told
}

/// Returns whether a name is one that the settings no longer have.
fn is_former(name: &str, guards: &[Guard]) -> bool {
    guards.iter().all(|g| g.name != name)
}

fn adopt_memories(ledger: &mut Ledger, guards: &[Guard], guard: &Guard) -> Result<Option<String>> {
    if ledger.remembers(&guard.name)? {
        return Ok(None);
    }
    for past in ledger.guards()? {
        if past.data == guard.data
            && is_former(&past.name, guards)
            && ledger.remembers(&past.name)?
        {
            ledger.rename(&past.name, &guard.name)?;
            return Ok(Some(past.name));
        }
    }
    Ok(None)
}

fn adopt_snapshots(
    vault: &Vault,
    ledger: Option<&Ledger>,
    guards: &[Guard],
    guard: &Guard,
) -> Result<Option<String>> {
    if !vault.names(&guard.name)?.is_empty() {
        return Ok(None);
    }
    let past = ledger.map_or_else(|| Ok(Vec::new()), Ledger::guards)?;
    let formers = vault
        .guards()?
        .into_iter()
        .filter(|name| is_former(name, guards));
    for former in formers {
        let data = match past.iter().find(|g| g.name == former) {
            Some(past) => past.data.clone(),
            None => match vault.each_snapshot(&former)?.next_back().transpose()? {
                Some(snapshot) => snapshot.manifest()?.settings.data,
                None => continue,
            },
        };
        if data == guard.data && !vault.names(&former)?.is_empty() {
            move_folder(vault, &former, guard)?;
            return Ok(Some(former));
        }
    }
    Ok(None)
}

/// Gives a guard's folder of snapshots its new name. Whoever works on it under the old one is let finish first.
fn move_folder(vault: &Vault, former: &str, guard: &Guard) -> Result<()> {
    let _lock = Lock::guard(vault, former, Mode::Exclusive, Duration::from_secs(2))?;
    let (from, to) = (vault.guard_folder(former), vault.guard_folder(&guard.name));
    for store in &guard.stores {
        let name = |guard: &str| from.join(format!("migrations-{guard}-{}.json", store.name));
        rename_if_there(&name(former), &name(&guard.name))?;
    }
    // The new name's folder may be there with nothing but a lock in it; anything more keeps it.
    let _ = std::fs::remove_file(to.join(".lock"));
    let _ = std::fs::remove_dir(&to);
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        &from,
        rustix::fs::CWD,
        &to,
        rustix::fs::RenameFlags::NOREPLACE,
    )
    .doing("rename", &from)?;
    sync_folder(vault.root())
}

fn rename_if_there(from: &Path, to: &Path) -> Result<()> {
    match std::fs::rename(from, to) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing("rename", from),
        _ => Ok(()),
    }
}
