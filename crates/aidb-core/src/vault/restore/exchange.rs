//! Replacing the data folder as a whole: staged beside it, then both change places at one instant.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rustix::io::Errno;

use super::job::Job;
use super::place::Place;
use super::stage::Written;
use super::staging::Staging;
use super::step::{exchange, rename_path, sync_folder};
use super::{put_aside, subvolume};
use crate::aside_name::Name;
use crate::error::{Error, IoContext, Result, told};

/// How an exchange ended.
pub(super) enum Outcome {
    /// The data folder is the restored one.
    Done(Written, Option<PathBuf>),
    /// It cannot be done at this place, and nothing was changed: there is another way.
    NotHere,
}

/// Returns whether an error says that this place does not allow it, rather than that something is wrong: a mount
/// point, a folder inside a subvolume, a parent that may not be written, a filesystem that knows no exchange.
pub(super) fn not_here(error: Errno) -> bool {
    matches!(
        error,
        Errno::BUSY
            | Errno::XDEV
            | Errno::INVAL
            | Errno::ACCESS
            | Errno::PERM
            | Errno::ROFS
            | Errno::NAMETOOLONG
            | Errno::NOSYS
    )
}

/// Returns the words for a data folder that is a subvolume no longer.
fn plain_now(place: &Place, why: &Error) -> String {
    format!(
        "`{}` was a Btrfs subvolume and is a plain folder now, which snapper, btrbk and quotas do not cover: {}",
        place.data.display(),
        told(why)
    )
}

/// Restores by exchange, or by mere renaming where there is no data folder.
pub(super) fn restore(job: &Job<'_>) -> Result<Outcome> {
    let place = &job.place;
    if !place.present {
        place.make_parent()?;
    }
    let mut plain = None;
    let as_subvolume = if place.present && subvolume::is_subvolume(&place.data) {
        Staging::subvolume_beside(place, job.sequence, job.btrfs)
            .map_err(|e| plain = Some(plain_now(place, &e)))
            .ok()
    } else {
        None
    };
    let mut staging = match as_subvolume.map_or_else(|| Staging::beside(place, job.sequence), Ok) {
        Ok(staging) => staging,
        Err(e) if place.present && not_here(e) => return Ok(Outcome::NotHere),
        Err(e) => return Err(e).doing("make a folder in", &place.parent),
    };
    let mut written = job.fill(staging.path(), &job.carried, true)?;
    written.notes.other.extend(plain);
    if !place.present {
        staging
            .rename(place.data.clone())
            .doing("rename to", &place.data)?;
        staging.keep();
        sync_folder(&place.parent)?;
        return Ok(Outcome::Done(written, None));
    }

    let at = put_aside::next_time(place)?;
    let staged = staging.path();
    let inode = std::fs::metadata(staged).doing("look at", staged)?.ino();
    let subvolume = if subvolume::is_subvolume(staged) {
        Some(subvolume::id(staged).doing("look at", staged)?)
    } else {
        None
    };
    // From here on its name tells whether what stands under it is the staged folder or the one that was put aside.
    let changing = place.beside(&Name::Exchange {
        at,
        inode,
        subvolume,
    });
    match staging.rename(changing.clone()) {
        Ok(()) => {}
        Err(e) if not_here(e) => return Ok(Outcome::NotHere),
        Err(e) => return Err(e).doing("rename to", &changing),
    }
    match exchange(&changing, &place.data) {
        Ok(()) => staging.keep(),
        Err(e) if not_here(e) => return Ok(Outcome::NotHere),
        Err(e) => return Err(e).doing("exchange", &place.data),
    }
    sync_folder(&place.parent)?;
    let aside = place.beside(&Name::Before { at, part: false });
    rename_path(&changing, &aside).doing("rename to", &aside)?;
    sync_folder(&place.parent)?;
    Ok(Outcome::Done(written, Some(aside)))
}
