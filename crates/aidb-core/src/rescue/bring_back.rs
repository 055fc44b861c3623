//! Bringing a rescue back: what the container had in a folder of its own becomes part of the guard's data folder.
//!
//! It is done by the restore of snapshots, with all that this promises: staged, hashes compared, what was there put
//! aside, undone by `undo`. For that, a snapshot is laid out of the chosen part of the rescue, in staging.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::kept::Rescue;
use crate::capture::copy::transfer;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::look::scan::database_file;
use crate::manifest::{Entry, FORMAT, Kind, Manifest, Numbering, Pairing, Summary};
use crate::staging::Staging;
use crate::vault::publish::write_json;
use crate::vault::{Snapshot, SnapshotName, Vault};

/// A rescue laid out as a snapshot, until dropped.
#[derive(Debug)]
pub struct Brought {
    /// For [`crate::vault::restore::restore`].
    pub snapshot: Snapshot,
    /// What it holds, as names of the data folder; to be given as `only`, because what else is in the data folder stays.
    pub only: Vec<PathBuf>,
    /// The folder of the container that becomes the data folder.
    pub from: PathBuf,
    /// Where it lies; removed when dropped.
    pub staging: Staging,
}

/// Lays out a kept file as a link, or as a copy where the vault is read-only and the place another disk.
fn link(kept: &Path, here: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(kept, here) {
        Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => {
            transfer(&File::open(kept)?, &File::create_new(here)?).map(drop)
        }
        other => other,
    }
}

impl Rescue {
    /// Lays out what the container had below `from`: without it, where the container has its data, or where it has a
    /// database of the guard's by name. With an empty `from`, everything, as paths below the container's root.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no such folder in it, or if it cannot be told which one is meant.
    pub fn bring_back(&self, vault: &Vault, guard: &Guard, from: Option<&Path>) -> Result<Brought> {
        let from = match from {
            Some(from) => from.strip_prefix("/").unwrap_or(from).to_owned(),
            None => self.folder_of(guard)?,
        };
        let entries = self.below(&from);
        if entries.is_empty() {
            return Err(Error::Usage {
                what: format!("`{}` holds nothing below `/{}`", self.id(), from.display()),
                hint: Some(format!("`aidb show {}` shows what there is", self.id())),
            });
        }
        let staging = Staging::new(&vault.staging_folder(), &format!("rescue-{}", guard.name))?;
        let path = staging.path().join("snapshot");
        let data = path.join("data");
        crate::folder::make(&data)?;
        for entry in &entries {
            let (kept, here) = (
                self.data().join(&from).join(entry.path.as_path()),
                data.join(entry.path.as_path()),
            );
            match &entry.kind {
                Kind::Folder => std::fs::create_dir_all(&here).doing("make the folder", &here)?,
                Kind::Symlink { target } => {
                    std::os::unix::fs::symlink(target.as_path(), &here)
                        .doing("make the link", &here)?;
                }
                Kind::File { .. } => link(&kept, &here).doing("lay out", &here)?,
                Kind::HardLink { .. } | Kind::Special { .. } => {}
            }
        }
        let top = |e: &Entry| e.path.as_path().iter().next().map(PathBuf::from);
        let only: BTreeSet<PathBuf> = entries.iter().filter_map(top).collect();
        write_json(&path.join("manifest.json"), &self.manifest(guard, entries))?;
        let name = SnapshotName::new(self.record.sequence, self.record.taken_at, "rescue");
        let snapshot = Snapshot::open(name, path)?.ok_or_else(|| Error::CouldNot {
            what: format!("`{}` cannot be laid out", self.id()),
            hint: None,
        })?;
        Ok(Brought {
            snapshot,
            only: only.into_iter().collect(),
            from: Path::new("/").join(from),
            staging,
        })
    }

    /// Returns the entries below a folder of the container, as paths below that.
    fn below(&self, from: &Path) -> Vec<Entry> {
        let entries = self.record.entries.iter();
        entries
            .filter_map(|entry| {
                let path = entry.path.as_path().strip_prefix(from).ok()?;
                let inside = path.iter().next().is_some();
                inside.then(|| Entry {
                    path: path.into(),
                    ..entry.clone()
                })
            })
            .collect()
    }

    /// Finds the folder of the container that is to become the data folder.
    fn folder_of(&self, guard: &Guard) -> Result<PathBuf> {
        if let Some(mount) = guard
            .mount
            .as_deref()
            .and_then(|m| m.strip_prefix("/").ok())
            && !self.below(mount).is_empty()
        {
            return Ok(mount.to_owned());
        }
        let files: Vec<PathBuf> = guard.stores.iter().filter_map(database_file).collect();
        let folders: BTreeSet<PathBuf> = self
            .record
            .kept_databases()
            .filter(|d| d.is_telling())
            .flat_map(|d| {
                let path = d.path.as_path();
                let named = files.iter().filter(|file| path.ends_with(file));
                named.filter_map(|file| {
                    path.ancestors()
                        .nth(file.iter().count())
                        .map(Path::to_owned)
                })
            })
            .collect();
        let mut folders = folders.into_iter();
        match (folders.next(), folders.next()) {
            (Some(folder), None) => Ok(folder),
            (found, _) => {
                let databases: Vec<String> = self
                    .record
                    .kept_databases()
                    .map(|d| format!("`/{}`", d.path.as_path().display()))
                    .collect();
                let has = match databases.as_slice() {
                    [] => "no database".to_owned(),
                    some => some.join(", "),
                };
                let what = if found.is_some() {
                    "several folders with a database of this guard's name"
                } else {
                    "nothing where this guard has its data"
                };
                Err(Error::Usage {
                    what: format!("`{}` holds {what}; it holds {has}", self.id()),
                    hint: Some("`--from FOLDER` says which folder of the container becomes the data folder".into()),
                })
            }
        }
    }

    fn manifest(&self, guard: &Guard, entries: Vec<Entry>) -> Manifest {
        let record = &self.record;
        let local = record.taken_at.to_zoned_datetime(TimeZone::system());
        let sizes = entries.iter().filter_map(|e| match e.kind {
            Kind::File { size_bytes, .. } => Some(size_bytes),
            _ => None,
        });
        let (files, size_bytes) = sizes.fold((0, 0), |(n, sum), size| (n + 1, sum + size));
        Manifest {
            summary: Summary {
                format: FORMAT,
                sequence: record.sequence,
                guard: guard.name.clone(),
                reason: "rescue".into(),
                taken_at: record.taken_at,
                local_date: local.date(),
                local_offset: local.strftime("%:z").to_string(),
                invocation: None,
                pairing: Pairing {
                    container_id: Some(record.container_id.clone()),
                    ..Pairing::default()
                },
                suspicious: None,
                files,
                size_bytes,
                new_bytes: 0,
                blocked_ms: 0,
                frozen_ms: 0,
                numbering: Numbering::Container,
                took_ms: record.took_ms,
                gaps: Vec::new(),
                unsteady: Vec::new(),
                tool_version: record.tool_version.clone(),
                imported: false,
            },
            settings: guard.clone(),
            root: None,
            entries,
        }
    }
}
