//! The folder in which a restore is staged: ours from its name on, removed unless it was used.

use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::io::Errno;

use super::place::Place;
use super::step::{make_folder, remove_staging, rename_path, step, sync_folder};
use super::{put_aside, subvolume};
use crate::aside_name::Name;
use crate::error::{IoContext, Result};

/// A staging folder, removed when dropped, unless it is kept.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
    keep: bool,
}

impl Staging {
    /// Makes it beside the data folder. The error is the system's own, because some have another way out.
    pub fn beside(place: &Place, sequence: u64) -> Result<Self, Errno> {
        step("make staging beside")?;
        Self::make(place.beside(&staging_name(sequence)))
    }

    /// Makes it beside the data folder as a subvolume, as the data folder is one.
    ///
    /// # Errors
    /// [`crate::Error::CouldNot`] if the `btrfs` program cannot be found, or cannot do it.
    pub fn subvolume_beside(place: &Place, sequence: u64, btrfs: Option<&Path>) -> Result<Self> {
        let btrfs = btrfs.ok_or_else(|| crate::Error::CouldNot {
            what: "the program `btrfs` was not found".into(),
            hint: None,
        })?;
        let path = place.beside(&staging_name(sequence));
        // From the first moment, so that one that is half-made goes too.
        let staging = Self { path, keep: false };
        subvolume::make(&staging.path, btrfs)?;
        Ok(staging)
    }

    /// Makes it inside the data folder.
    pub fn inside(place: &Place, sequence: u64) -> Result<Self> {
        let path = place.inside(&staging_name(sequence));
        Self::make(path.clone()).doing("make the folder", &path)
    }

    fn make(path: PathBuf) -> Result<Self, Errno> {
        make_folder(CWD, &path)?;
        Ok(Self { path, keep: false })
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it another name.
    pub fn rename(&mut self, path: PathBuf) -> Result<(), Errno> {
        rename_path(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Leaves it where it is: it is used, or an intent speaks of it.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.keep {
            // Failing here loses nothing: the next restore clears it.
            let _ = remove_staging(&self.path);
        }
    }
}

/// Clears what killed restores left half-made. No intent may be open.
pub(super) fn clear_abandoned(place: &Place) -> Result<()> {
    for (name, path) in place
        .names_beside()?
        .into_iter()
        .chain(place.names_inside()?)
    {
        match name {
            Name::Staging { .. } => remove_staging(&path)?,
            // A put-aside that was emptied by undoing it, or that was never filled.
            Name::Before { part: true, .. } if !put_aside::is_described(&path) => {
                put_aside::remove_if_empty(&path)?;
            }
            Name::Before { .. } | Name::Exchange { .. } => {}
        }
    }
    Ok(())
}

/// Ends an exchange that was interrupted: what had not been exchanged is cleared, what was put aside gets its name.
pub(super) fn settle_exchange(place: &Place) -> Result<Option<PathBuf>> {
    let mut settled = None;
    for (name, path) in place.names_beside()? {
        let Name::Exchange {
            at,
            inode,
            subvolume,
        } = name
        else {
            continue;
        };
        if put_aside::is_staged(&path, inode, subvolume)? {
            remove_staging(&path)?;
            continue;
        }
        let mut aside = place.beside(&Name::Before { at, part: false });
        if aside.symlink_metadata().is_ok() {
            let at = put_aside::next_time(place)?;
            aside = place.beside(&Name::Before { at, part: false });
        }
        rename_path(&path, &aside).doing("rename", &path)?;
        sync_folder(&place.parent)?;
        settled = Some(aside);
    }
    Ok(settled)
}

fn staging_name(sequence: u64) -> Name {
    Name::Staging {
        sequence,
        pid: std::process::id(),
    }
}
