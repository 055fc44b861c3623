//! Which snapshot or archive a restore brings back, opened and ready.

use std::path::Path;

use aidb_cli::Ui;
use aidb_cli::text::when;
use aidb_core::Error;
use aidb_core::guard::Guard;
use aidb_core::manifest::Kind;
use aidb_core::stack::{Kept, Stack};
use aidb_core::staging::Staging;
use aidb_core::vault::restore::{self, CHOOSE_ANOTHER};
use aidb_core::vault::{Archive, Snapshot};
use jiff::Timestamp;

/// A snapshot whose files lie ready.
pub struct Ready {
    pub guard: Guard,
    pub snapshot: Snapshot,
    /// The id as it was chosen: an archive's ends in `.tar.xz`.
    pub id: String,
    /// What an archive was unpacked to; removed when dropped.
    unpacked: Option<Staging>,
}

impl Ready {
    /// Returns a snapshot that was laid out in a folder of ours.
    pub fn laid_out(guard: &Guard, snapshot: Snapshot, id: String, folder: Staging) -> Self {
        Self {
            guard: guard.clone(),
            snapshot,
            id,
            unpacked: Some(folder),
        }
    }

    /// Returns whether it lies in a folder of ours, which is locked already.
    pub fn is_laid_out(&self) -> bool {
        self.unpacked.is_some()
    }
}

/// Returns what is to be restored: what was asked for, else the newest proven snapshot from before `before`, else an
/// archive from before it.
pub fn choose(
    stack: &Stack,
    guard: &Guard,
    id: Option<&str>,
    before: Option<Timestamp>,
) -> aidb_core::Result<Kept> {
    if let Some(id) = id {
        return named(stack, guard, id);
    }
    let in_time = |at: Timestamp| before.is_none_or(|before| at < before);
    let newest = stack
        .vault
        .each_snapshot(&guard.name)?
        .rev()
        .find(|s| {
            s.as_ref()
                .map_or(true, |s| s.is_good() && in_time(s.summary.taken_at))
        })
        .transpose()?;
    if let Some(newest) = newest {
        return Ok(Kept::Snapshot(Box::new(newest)));
    }
    let archives = stack.vault.archives(&guard.name)?;
    let sound = archives.into_iter().rev().filter(|a| !a.damaged);
    let archive = sound
        .into_iter()
        .find(|a| a.head().is_ok_and(|h| in_time(h.summary.taken_at)));
    let what = match before {
        Some(before) => format!(
            "`{}` has no proven snapshot from before {}",
            guard.name,
            when(before)
        ),
        None => format!("`{}` has no proven snapshot", guard.name),
    };
    let hint = match archive {
        Some(archive) => from_archive(&archive),
        None => format!(
            "`aidb list {}` shows what there is; `--snapshot ID` takes any of it",
            guard.name
        ),
    };
    Err(Error::CouldNot {
        what,
        hint: Some(hint),
    })
}

fn named(stack: &Stack, guard: &Guard, id: &str) -> aidb_core::Result<Kept> {
    let Some((of, id)) = id.split_once('/') else {
        return stack.kept(&format!("{}/{id}", guard.name));
    };
    // Another guard's snapshot with the same number is not what was meant.
    if of != guard.name
        && stack
            .settings
            .select_one(of)
            .map_or(true, |g| g.name != guard.name)
    {
        return Err(Error::Usage {
            what: format!("`{of}/{id}` is no snapshot of `{}`", guard.name),
            hint: Some(format!("`aidb list {}` shows what there is", guard.name)),
        });
    }
    stack.kept(&format!("{}/{id}", guard.name))
}

/// Returns the command that restores from an archive.
fn from_archive(archive: &Archive) -> String {
    format!(
        "`aidb restore {} --snapshot {}{}` restores from its archive",
        archive.guard,
        archive.name,
        aidb_core::vault::archive::SUFFIX
    )
}

/// Opens what was chosen; an archive is unpacked and verified, of which only what is asked for is written.
pub fn ready(
    stack: &Stack,
    guard: &Guard,
    kept: Kept,
    only: &[std::path::PathBuf],
    write: bool,
    ui: &Ui,
) -> aidb_core::Result<Ready> {
    let id = kept.id();
    let (snapshot, unpacked) = match kept {
        Kept::Snapshot(snapshot) => (*snapshot, None),
        Kept::Archive(archive) => {
            let (manifest, _) = archive.manifest()?;
            let has_links = manifest
                .entries
                .iter()
                .any(|e| matches!(e.kind, Kind::HardLink { .. }));
            let chosen = restore::chosen(guard, if has_links { &[] } else { only })?;
            let wanted = |path: &Path| write && chosen(path);
            let progress = ui.progress();
            let place = stack.place_to_unpack();
            let (staging, snapshot) = archive.unpack(&place, &wanted, &*progress)?;
            (snapshot, Some(staging))
        }
    };
    Ok(Ready {
        guard: guard.clone(),
        snapshot,
        id,
        unpacked,
    })
}

/// Lets an error that says that a snapshot is rotten name its archive, if there is one.
pub fn with_archive(stack: &Stack, snapshot: &Snapshot, error: Error) -> Error {
    let Error::CouldNot { what, hint } = error else {
        return error;
    };
    let rotten = hint.as_deref() == Some(CHOOSE_ANOTHER);
    let archives = stack.vault.archives(&snapshot.summary.guard);
    let archive = archives
        .into_iter()
        .flatten()
        .find(|a| rotten && a.name == snapshot.name && !a.damaged);
    Error::CouldNot {
        what,
        hint: archive.as_ref().map(from_archive).or(hint),
    }
}
