//! Writing a snapshot's files into a new or empty folder, touching nothing else.

use std::path::Path;

use super::job::Job;
use super::place::Place;
use super::stage::Written;
use super::staging::Staging;
use super::step::{remove_staging, sync_folder};
use crate::error::{Error, IoContext, Result};
use crate::vault::Vault;

/// Writes what `job` selects into `to`.
///
/// # Errors
/// [`Error::Usage`] if the folder holds anything, or lies inside the vault or the data folder.
pub(super) fn restore(vault: &Vault, job: &Job<'_>, to: &Path) -> Result<Written> {
    let to = std::path::absolute(to).doing("resolve", to)?;
    let place = Place::of(&to)?;
    for ours in [
        Some(&*job.place.data),
        vault.root().canonicalize().ok().as_deref(),
    ] {
        if let Some(ours) = ours
            && place.data.starts_with(ours)
        {
            return Err(Error::Usage {
                what: format!("`{}` lies inside `{}`", to.display(), ours.display()),
                hint: Some("name a folder elsewhere".into()),
            });
        }
    }
    if place.present {
        return into_empty(job, &place);
    }
    place.make_parent()?;
    let mut staging =
        Staging::beside(&place, job.sequence).doing("make a folder in", &place.parent)?;
    let written = job.fill(staging.path(), &[], false)?;
    staging
        .rename(place.data.clone())
        .doing("rename to", &place.data)?;
    staging.keep();
    sync_folder(&place.parent)?;
    Ok(written)
}

/// Writes into a folder that is there, which may be the root of a disk.
fn into_empty(job: &Job<'_>, place: &Place) -> Result<Written> {
    let first = std::fs::read_dir(&place.data)
        .doing("list", &place.data)?
        .next();
    if let Some(entry) = first {
        let name = entry.doing("list", &place.data)?.file_name();
        return Err(Error::Usage {
            what: format!(
                "`{}` is not empty: it holds `{}`",
                place.data.display(),
                Path::new(&name).display()
            ),
            hint: Some("name a folder that is new or empty".into()),
        });
    }
    let written = job.fill(&place.data, &[], false);
    if written.is_err() {
        // It was empty: all that is in it is ours.
        for entry in std::fs::read_dir(&place.data)
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = remove_staging(&entry.path());
        }
    }
    written
}
