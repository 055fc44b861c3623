//! Restoring: a snapshot's files come back, and what stood there is put aside, never deleted.
//!
//! Everything is staged and checked first; then, by the way that the place allows, either the whole folder is exchanged
//! at one instant, or entries move one by one under a written intent, which [`finish`] fulfils after a kill. Killed at
//! any instant there is the old state, the new one, or an intent.
//!
//! The caller holds the guard's lock exclusively and sees to it that the container does not run; [`in_use`] makes sure.

mod attributes;
mod carry;
mod elsewhere;
mod entries;
mod exchange;
pub mod in_use;
mod intent;
mod job;
mod place;
pub mod put_aside;
mod select;
mod stage;
mod staging;
mod step;
mod subvolume;
#[cfg(test)]
pub(in crate::vault) mod tests;
mod undo;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::exchange::Outcome;
use self::intent::Intent;
use self::job::Job;
use self::place::Place;
use super::{Snapshot, Vault};
use crate::aside_name::Name;
use crate::error::{Error, Result};
use crate::guard::Guard;
use crate::progress::{Progress, Silent};
use crate::words::first_few;

pub use self::place::Method;
pub use self::put_aside::PutAside;
pub use self::undo::{Undone, undo};

/// The next step where a snapshot itself is no good.
pub const CHOOSE_ANOTHER: &str = "choose another snapshot";

/// What is to be restored, and where to.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Paths below the data folder; empty for everything. A database stands for its companions too. Where there is no
    /// data folder, one with only these is made.
    pub only: Vec<PathBuf>,
    /// A new or empty folder that receives the files in place of the data folder.
    pub to: Option<PathBuf>,
    /// Restore although a process uses the data folder.
    pub in_use_ok: bool,
    /// The `btrfs` program, by which a data folder that is a subvolume comes back as one.
    pub btrfs: Option<PathBuf>,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The data folder, links resolved.
    pub data: PathBuf,
    /// Number of regular files that would be written.
    pub files: u64,
    /// Their sizes added up.
    pub size_bytes: u64,
    /// The chosen paths, a database's companion replaced by the database; empty for everything.
    pub only: Vec<PathBuf>,
    /// In which way. A place may refuse an exchange that looks possible; then it goes entry by entry.
    pub method: Method,
    /// Where the present state would be put aside, but for the seconds of its name; none if there is none.
    pub put_aside: Option<PathBuf>,
    /// Excluded paths of the present folder that would be kept in the restored one.
    pub carried_over: Vec<PathBuf>,
    /// Pipes, sockets and devices of the snapshot, which are not made.
    pub special_skipped: Vec<PathBuf>,
    /// Who uses the data folder now, and would keep it from being restored.
    pub users: Vec<in_use::User>,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Number of regular files that were written.
    pub files: u64,
    /// Their sizes added up.
    pub size_bytes: u64,
    /// Regular files of an unproven snapshot, whose hashes are not known: only their sizes were compared.
    pub unhashed: u64,
    /// Where the former state lies; none if there was none.
    pub put_aside: Option<PathBuf>,
    /// Excluded paths that were kept from the former folder.
    pub carried_over: Vec<PathBuf>,
    /// Pipes, sockets and devices that were not made.
    pub special_skipped: Vec<PathBuf>,
    /// What else the user should know, such as owners that could not be set.
    pub notes: Vec<String>,
    /// The whole restore.
    pub took: Duration,
}

/// An interrupted restore that was brought to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The data folder, links resolved.
    pub data: PathBuf,
    /// Where the former state lies.
    pub put_aside: PathBuf,
}

/// Returns what [`restore`] would do, changing nothing.
///
/// # Errors
/// As [`restore`], as far as it can be told before trying; a folder in use is no error here.
pub fn plan(guard: &Guard, snapshot: &Snapshot, only: &[PathBuf]) -> Result<Plan> {
    let manifest = snapshot.manifest()?;
    let job = Job::new(guard, snapshot, &manifest, only)?;
    let place = &job.place;
    place.nothing_mounted_below()?;
    let method = match place.method() {
        Method::Exchange if !job.selection.is_whole() => Method::EntryByEntry,
        method => method,
    };
    let at = put_aside::next_time(place)?;
    let aside = |part| Name::Before { at, part };
    let put_aside = match method {
        Method::Rename => None,
        Method::Exchange => Some(place.beside(&aside(false))),
        Method::EntryByEntry => Some(entries::aside_path(
            place,
            &aside(true),
            place.moves_beside(),
        )),
    };
    Ok(Plan {
        files: job.selection.files(),
        size_bytes: job.selection.size_bytes(),
        only: job.selection.chosen.clone(),
        method,
        put_aside,
        carried_over: job.carried.clone(),
        special_skipped: job.selection.special(),
        users: in_use::users_of(&place.data),
        data: place.data.clone(),
    })
}

/// Returns what tells whether a restore of `only` needs a path below the data folder; everything if it is empty.
///
/// # Errors
/// [`Error::Usage`] if one of them leads out of the data folder.
pub fn chosen(guard: &Guard, only: &[PathBuf]) -> Result<impl Fn(&Path) -> bool + use<>> {
    let mut chosen = Vec::new();
    for path in only {
        chosen.push(select::below(path, &guard.data)?);
    }
    let everything = chosen.is_empty() || chosen.iter().any(|c| c.as_os_str().is_empty());
    Ok(move |path: &Path| everything || chosen.iter().any(|c| select::belongs(path, c)))
}

/// Restores a snapshot.
///
/// # Errors
/// As [`restore_telling`].
pub fn restore(
    vault: &Vault,
    guard: &Guard,
    snapshot: &Snapshot,
    options: &Options,
) -> Result<Restored> {
    restore_telling(vault, guard, snapshot, options, &Silent)
}

/// Restores a snapshot, and tells how far it has come.
///
/// # Errors
/// [`Error::CouldNot`] if the data folder is in use, cannot be replaced, or the snapshot's files differ from its
/// manifest; [`Error::Usage`] if a chosen path is not in it, or the target folder is not empty. The data is as before.
pub fn restore_telling(
    vault: &Vault,
    guard: &Guard,
    snapshot: &Snapshot,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Restored> {
    let began = Instant::now();
    let manifest = snapshot.manifest()?;
    if let Some(to) = &options.to {
        let mut job = Job::without_present(guard, snapshot, &manifest, &options.only)?;
        job.progress = progress;
        let written = elsewhere::restore(vault, &job, to)?;
        return Ok(restored(written, None, Vec::new(), began));
    }
    finish(vault, guard)?;
    let mut job = Job::new(guard, snapshot, &manifest, &options.only)?;
    job.progress = progress;
    job.btrfs = options.btrfs.as_deref();
    if !options.in_use_ok {
        refuse_if_used(&job.place)?;
    }
    job.place.nothing_mounted_below()?;
    staging::clear_abandoned(&job.place)?;
    let Some(present) = &job.present else {
        return match exchange::restore(&job)? {
            Outcome::Done(written, aside) => Ok(restored(written, aside, Vec::new(), began)),
            Outcome::NotHere => Err(cannot_replace(&job.place)),
        };
    };
    if job.selection.is_whole()
        && job.place.method() == Method::Exchange
        && let Outcome::Done(written, aside) = exchange::restore(&job)?
    {
        return Ok(restored(written, aside, job.carried, began));
    }
    let (written, aside) = entries::restore(vault, &job, present)?;
    Ok(restored(written, Some(aside), job.carried, began))
}

/// Returns whether a restore was interrupted, and waits for [`finish`].
///
/// # Errors
/// [`Error::Io`] or [`Error::CouldNot`] if its intent cannot be read.
pub fn is_unfinished(vault: &Vault, guard: &Guard) -> Result<bool> {
    Ok(Intent::read(vault, guard)?.is_some())
}

/// Brings an interrupted restore of a guard to its end; `None` if there is none.
///
/// The caller holds the guard's lock exclusively, and no container runs on the data.
///
/// # Errors
/// [`Error::CouldNot`] if the intent cannot be understood, [`Error::Io`] if a step fails: it can be tried again.
pub fn finish(vault: &Vault, guard: &Guard) -> Result<Option<Finished>> {
    let mut finished = None;
    if let Some(intent) = Intent::read(vault, guard)? {
        intent.resume(vault, guard)?;
        finished = Some(Finished {
            data: intent.data().to_owned(),
            put_aside: intent.aside().to_owned(),
        });
    }
    let place = match Place::of(&guard.data) {
        Ok(place) => place,
        // What stands there is no data folder: that is not for us to say here, and nothing lies beside it.
        Err(Error::CouldNot { .. }) => return Ok(finished),
        Err(e) => return Err(e),
    };
    if let Some(put_aside) = staging::settle_exchange(&place)? {
        finished = Some(Finished {
            data: place.data,
            put_aside,
        });
    }
    Ok(finished)
}

fn restored(
    written: stage::Written,
    put_aside: Option<PathBuf>,
    carried_over: Vec<PathBuf>,
    began: Instant,
) -> Restored {
    Restored {
        files: written.files,
        size_bytes: written.size_bytes,
        unhashed: written.unhashed,
        put_aside,
        carried_over,
        special_skipped: written.special_skipped,
        notes: written.notes.into_lines(),
        took: began.elapsed(),
    }
}

fn refuse_if_used(place: &Place) -> Result<()> {
    let users = in_use::users_of(&place.data);
    if users.is_empty() {
        return Ok(());
    }
    let said = first_few(users.iter().map(ToString::to_string), "; ");
    Err(Error::CouldNot {
        what: format!("`{}` is in use: {}", place.data.display(), said),
        hint: Some("stop the container first, or use `--stop`".into()),
    })
}

fn cannot_replace(place: &Place) -> Error {
    Error::CouldNot {
        what: format!("`{}` cannot be made here", place.data.display()),
        hint: None,
    }
}
