//! Replacing entries of the data folder, chosen ones or all: staged, then moved one by one under an intent.

use std::path::{Path, PathBuf};

use super::exchange::not_here;
use super::intent::{Folders, Intent};
use super::job::Job;
use super::place::Place;
use super::put_aside::{self, Contents};
use super::select::{Moves, is_sqlite, moves_for_chosen};
use super::stage::Written;
use super::staging::Staging;
use crate::aside_name::{Name, is_ours};
use crate::capture::walk::Root;
use crate::error::{IoContext, Result};
use crate::guard::Guard;
use crate::vault::Vault;

/// Restores the selected entries.
pub(super) fn restore(vault: &Vault, job: &Job<'_>, present: &Root) -> Result<(Written, PathBuf)> {
    let place = &job.place;
    let (mut staging, beside) = stage_somewhere(job)?;
    let left = left_in_place(job);
    let mut carried = job.carried.clone();
    carried.retain(|top| !left.contains(top));
    let written = job.fill(staging.path(), &carried, false)?;

    let staged = Root::open(staging.path())?;
    let moves = if job.selection.is_whole() {
        moves_for_everything(present, &staged, &left)?
    } else {
        moves_for_chosen(&job.selection, &job.databases(), present)?
    };
    let name = Name::Before {
        at: put_aside::next_time(place)?,
        part: true,
    };
    let aside = aside_path(place, &name, beside);
    let contents = Contents::new(job.selection.is_whole(), &moves, &left);
    let folders = Folders {
        data: place.data.clone(),
        staging: staging.path().to_owned(),
        spent: staging.path().to_owned(),
        aside: aside.clone(),
    };
    let done = Intent::new(job.guard, folders, contents, moves).carry_through(vault, job.guard);
    // An intent that still stands speaks of it. Else nothing is left in it but copies of what the snapshot holds.
    if done.is_err() && may_be_open(vault, job.guard) {
        staging.keep();
    }
    done.map(|()| (written, aside))
}

/// Returns the path of a new put-aside, beside or inside the data folder.
pub(super) fn aside_path(place: &Place, name: &Name, beside: bool) -> PathBuf {
    if beside {
        place.beside(name)
    } else {
        place.inside(name)
    }
}

/// Returns whether an intent stands, or whether that cannot be told.
fn may_be_open(vault: &Vault, guard: &Guard) -> bool {
    Intent::file(vault, guard).try_exists().unwrap_or(true)
}

/// Makes the staging folder beside the data folder, out of the application's sight, or inside where that must be.
fn stage_somewhere(job: &Job<'_>) -> Result<(Staging, bool)> {
    let place = &job.place;
    if place.moves_beside() {
        match Staging::beside(place, job.sequence) {
            Ok(staging) => return Ok((staging, true)),
            Err(e) if not_here(e) => {}
            Err(e) => return Err(e).doing("make a folder in", &place.parent),
        }
    }
    Ok((Staging::inside(place, job.sequence)?, false))
}

/// Returns the excluded entries that need not move when everything else does.
fn left_in_place(job: &Job<'_>) -> Vec<PathBuf> {
    let mut left = Vec::new();
    if job.selection.is_whole() {
        let tops = job
            .carried
            .iter()
            .filter(|top| top.components().count() == 1);
        left.extend(tops.cloned());
    }
    left
}

/// Returns the moves that put all entries of `new` in the place of those of `old`, but for those of ours and `left`.
pub(super) fn moves_for_everything(old: &Root, new: &Root, left: &[PathBuf]) -> Result<Moves> {
    let out: Vec<PathBuf> = top_names(old.path())?
        .into_iter()
        .filter(|name| !is_ours(name.as_os_str()) && !left.contains(name))
        .collect();
    let into = top_names(new.path())?;
    let mut databases: Vec<PathBuf> = out.iter().chain(&into).cloned().collect();
    databases.sort();
    databases.dedup();
    databases.retain(|path| is_sqlite(old, path) || is_sqlite(new, path));
    let mut moves = Moves {
        out,
        r#in: into,
        databases,
    };
    moves.sort();
    Ok(moves)
}

fn top_names(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).doing("list", folder)? {
        names.push(entry.doing("list", folder)?.file_name().into());
    }
    Ok(names)
}
