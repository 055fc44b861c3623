//! Undoing the last restore: what it put aside comes back, what it brought is put aside in turn.

use std::path::{Path, PathBuf};

use super::entries::{aside_path, moves_for_everything};
use super::exchange::not_here;
use super::intent::{Folders, Intent};
use super::place::Place;
use super::put_aside::{self, CONTENT, Contents, Extent, PutAside};
use super::select::{Moves, SIDECARS, is_sqlite};
use super::step::{exchange, rename_path, sync_folder};
use super::{finish, refuse_if_used};
use crate::aside_name::Name;
use crate::capture::pin::sidecar;
use crate::capture::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::manifest::RelPath;
use crate::vault::Vault;

/// What an undo did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// What is now live again, and where it had been put aside.
    pub now: PutAside,
    /// Where that which was live lies now: the next undo brings it back. None if there was no data folder.
    pub put_aside: Option<PathBuf>,
}

/// Swaps back the newest put-aside of a guard. The caller holds the guard's lock exclusively.
///
/// # Errors
/// [`Error::Usage`] if nothing was put aside, [`Error::CouldNot`] if the data folder is in use.
pub fn undo(vault: &Vault, guard: &Guard, in_use_ok: bool) -> Result<Undone> {
    finish(vault, guard)?;
    let place = Place::of(&guard.data)?;
    let newest = put_aside::list_at(&place)?
        .pop()
        .ok_or_else(|| put_aside::nothing_to_undo(guard))?;
    if !in_use_ok {
        refuse_if_used(&place)?;
    }
    place.nothing_mounted_below()?;
    let put_aside = match newest.extent {
        Extent::Folder => swap_folder(&place, &newest)?,
        Extent::Everything | Extent::Paths(_) => Some(swap_entries(vault, guard, &place, &newest)?),
    };
    Ok(Undone {
        now: newest,
        put_aside,
    })
}

fn swap_folder(place: &Place, newest: &PutAside) -> Result<Option<PathBuf>> {
    if !place.present {
        rename_path(&newest.path, &place.data).doing("rename to", &place.data)?;
        sync_folder(&place.parent)?;
        return Ok(None);
    }
    let at = put_aside::next_time(place)?;
    match exchange(&newest.path, &place.data) {
        Ok(()) => {}
        Err(e) if not_here(e) => {
            return Err(Error::CouldNot {
                what: format!(
                    "`{}` cannot change places with `{}`: {e}",
                    newest.path.display(),
                    place.data.display()
                ),
                hint: None,
            });
        }
        Err(e) => return Err(e).doing("exchange", &place.data),
    }
    sync_folder(&place.parent)?;
    let aside = place.beside(&Name::Before { at, part: false });
    rename_path(&newest.path, &aside).doing("rename to", &aside)?;
    sync_folder(&place.parent)?;
    Ok(Some(aside))
}

fn swap_entries(vault: &Vault, guard: &Guard, place: &Place, newest: &PutAside) -> Result<PathBuf> {
    let contents = Contents::read(&newest.path).ok_or_else(|| put_aside::nothing_to_undo(guard))?;
    let data = Root::open(&place.data)?;
    let content = newest.path.join(CONTENT);
    let kept = Root::open(&content)?;
    let left: Vec<PathBuf> = plain(&contents.left).collect();
    let moves = if contents.whole {
        moves_for_everything(&data, &kept, &left)?
    } else {
        moves_back(&data, &kept, &contents)?
    };
    let name = Name::Before {
        at: put_aside::next_time(place)?,
        part: true,
    };
    let beside = newest.path.parent() == Some(&*place.parent);
    let aside = aside_path(place, &name, beside);
    let described = Contents::new(contents.whole, &moves, &left);
    let folders = Folders {
        data: place.data.clone(),
        staging: content,
        spent: newest.path.clone(),
        aside: aside.clone(),
    };
    Intent::new(guard, folders, described, moves).carry_through(vault, guard)?;
    Ok(aside)
}

/// Returns the moves that undo those of a put-aside. An application may have run since: companions that it made for a
/// restored database go out with it.
fn moves_back(data: &Root, kept: &Root, contents: &Contents) -> Result<Moves> {
    let mut paths: Vec<PathBuf> = plain(&contents.put_aside)
        .chain(plain(&contents.brought_in))
        .collect();
    let databases: Vec<PathBuf> = paths
        .iter()
        .filter(|path| is_sqlite(data, path) || is_sqlite(kept, path))
        .cloned()
        .collect();
    for main in &databases {
        paths.extend(SIDECARS.iter().map(|suffix| sidecar(main, suffix)));
    }
    paths.sort();
    paths.dedup();
    let existing = |root: &Root| -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for path in &paths {
            if root.stat(path).doing("look at", path)?.is_some() {
                found.push(path.clone());
            }
        }
        Ok(found)
    };
    // A path whose folder came in as a whole goes out with that folder.
    let mut out = existing(data)?;
    let all = out.clone();
    out.retain(|path| {
        !path
            .ancestors()
            .skip(1)
            .any(|above| all.iter().any(|p| p == above))
    });
    let mut moves = Moves {
        out,
        r#in: existing(kept)?,
        databases,
    };
    moves.sort();
    Ok(moves)
}

fn plain(list: &[RelPath]) -> impl Iterator<Item = PathBuf> {
    list.iter().map(RelPath::as_path).map(Path::to_owned)
}
