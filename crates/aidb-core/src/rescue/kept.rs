//! Rescues in the vault: how one is written, found again, and when an old one goes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::inside::Answer;
use super::layer::{Database, LeftOut};
use super::{Found, Outcome, Request};
use crate::error::{Error, Result};
use crate::folder::remove_tree;
use crate::guard::Guard;
use crate::look::sqlite::disk;
use crate::manifest::{Entry, Gap, Kind, RelPath, content_id};
use crate::vault::meant::meant;
use crate::vault::publish::{Staged as Size, publish as make_visible, write_json};
use crate::vault::{SnapshotName, Vault};

/// The version of `rescue.json` that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// How many rescues with a database are kept, beside the first.
const KEPT_WITH_DATABASE: usize = 5;

/// How many without one.
const KEPT_WITHOUT: usize = 3;

/// The record of what was kept of a container's layer: the content of `rescue.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this file's format.
    pub format: u32,
    /// Its place among the guard's rescues.
    pub sequence: u64,
    /// The guard's name.
    pub guard: String,
    /// The container's name.
    pub container: String,
    /// The container's id.
    pub container_id: String,
    /// The id of its image.
    pub image_id: Option<String>,
    /// Why it was kept, as the hook said it.
    pub reason: String,
    /// When.
    pub taken_at: Timestamp,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// Number of regular files that were kept.
    pub files: u64,
    /// Their sizes added up.
    pub size_bytes: u64,
    /// The databases in the layer, kept or not.
    pub databases: Vec<Database>,
    /// What did not fit, or for which the time was not enough.
    pub left_out: Vec<LeftOut>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// What never stood still while it was copied.
    pub unsteady: Vec<RelPath>,
    /// For how long the container was frozen, milliseconds.
    #[serde(default)]
    pub frozen_ms: u64,
    /// Names of the image that the container had deleted.
    pub deleted: Vec<RelPath>,
    /// Why files of other users could not be read, if it was so.
    pub outside: Option<String>,
    /// The version of the tool that kept it.
    pub tool_version: String,
    /// All that was kept, as paths below the container's root, parents first.
    pub entries: Vec<Entry>,
}

impl Record {
    /// Returns the databases that hold tables, or that could not be read to tell.
    pub fn telling_databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter().filter(|d| d.is_telling())
    }

    /// Returns the databases that are among what was kept.
    pub fn kept_databases(&self) -> impl Iterator<Item = &Database> {
        self.databases
            .iter()
            .filter(|d| self.entries.iter().any(|e| e.path == d.path))
    }

    /// Returns how much the databases hold that were kept and hold tables, pages.
    #[must_use]
    pub fn content(&self) -> u64 {
        let telling = self.kept_databases().filter(|d| d.is_telling());
        telling.map(Database::content).sum()
    }
}

/// A rescue in the vault.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescue {
    /// Its name within the guard's rescues.
    pub name: SnapshotName,
    /// Its folder.
    pub path: PathBuf,
    /// What it is.
    pub record: Record,
}

impl Rescue {
    /// Returns the id that users know: `GUARD/rescue/NAME`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/rescue/{}", self.record.guard, self.name)
    }

    /// Returns the folder that holds the files.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path.join("data")
    }
}

pub(super) fn folder(vault: &Vault, guard: &str) -> PathBuf {
    vault.guard_folder(guard).join("rescue")
}

/// Returns a guard's rescues, oldest first. What has no readable record is none.
///
/// # Errors
/// [`Error::Io`] if they cannot be listed.
pub fn list(vault: &Vault, guard: &str) -> Result<Vec<Rescue>> {
    let folder = folder(vault, guard);
    let open = |name: SnapshotName| {
        let path = folder.join(name.to_string());
        let text = std::fs::read(path.join("rescue.json")).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.format <= FORMAT).then_some(Rescue { name, path, record })
    };
    Ok(names(&folder)?.into_iter().filter_map(open).collect())
}

/// Returns a guard's rescue by its number or an unambiguous beginning of its name; without one, the one
/// whose databases hold the most, of equal ones the newest: a container that starts on nothing at every restart leaves its
/// smallest last.
///
/// # Errors
/// [`Error::Usage`] if there is none, or several fit.
pub fn find(vault: &Vault, guard: &str, id: Option<&str>) -> Result<Rescue> {
    let all = list(vault, guard)?;
    let Some(id) = id else {
        return all
            .into_iter()
            .max_by_key(|r| r.record.content())
            .ok_or_else(|| Error::Usage {
                what: format!("nothing was rescued of `{guard}`"),
                hint: None,
            });
    };
    let id = id.rsplit_once('/').map_or(id, |(_, id)| id);
    meant(all, |r| &r.name, id, guard, "rescue")
}

pub(super) fn names(folder: &Path) -> Result<Vec<SnapshotName>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Io {
                doing: "list",
                path: folder.to_owned(),
                source,
            });
        }
    };
    let mut names: Vec<SnapshotName> = entries
        .filter_map(|e| SnapshotName::parse(e.ok()?.file_name().to_str()?))
        .collect();
    names.sort();
    Ok(names)
}

/// What a rescue is published from.
pub(super) struct Staged<'a> {
    pub guard: &'a Guard,
    pub found: &'a Found,
    pub request: &'a Request,
    /// The staged folder; its `data` holds the files.
    pub path: PathBuf,
    pub taken_at: Timestamp,
    pub began: Instant,
}

/// Writes the record of what was staged, makes it visible, and lets go of old ones. The caller holds the guard's lock.
pub(super) fn publish(vault: &Vault, staged: &Staged<'_>, answer: Answer) -> Result<Outcome> {
    let folder = folder(vault, &staged.guard.name);
    let content = content_id(&answer.kept.entries);
    let newest = list(vault, &staged.guard.name)?.pop();
    if let Some(newest) =
        newest.filter(|r| content.is_some() && content_id(&r.record.entries) == content)
    {
        return Ok(Outcome::Same(newest));
    }
    let sequence = names(&folder)?.last().map_or(0, |n| n.sequence) + 1;
    let short: String = staged.found.id.chars().take(12).collect();
    let name = SnapshotName::new(sequence, staged.taken_at, &short);
    let record = record(staged, sequence, answer);
    write_json(&staged.path.join("rescue.json"), &record)?;
    crate::folder::make(&folder)?;
    let path = folder.join(name.to_string());
    make_visible(&staged.path, &path, Size::new(record.entries.len()))?;
    for old in old(&list(vault, &staged.guard.name)?) {
        // Failing here keeps more than need be.
        let _ = remove_tree(&old.path);
    }
    Ok(Outcome::Kept(Rescue { name, path, record }))
}

fn record(staged: &Staged<'_>, sequence: u64, answer: Answer) -> Record {
    let Answer {
        look,
        kept,
        outside,
    } = answer;
    let sizes = kept.entries.iter().filter_map(|e| match e.kind {
        Kind::File { size_bytes, .. } => Some(size_bytes),
        _ => None,
    });
    let (files, size_bytes) = sizes.fold((0, 0), |(n, sum), size| (n + 1, sum + size));
    let databases = look.databases.into_iter().map(|database| {
        let copy = staged.path.join("data").join(database.path.as_path());
        let read = disk::read(&copy).ok();
        let pages = read.as_ref().map(|d| d.pages);
        let tables = read.and_then(|d| d.tables).map(|t| t.len() as u64);
        Database {
            pages: pages.filter(|_| tables.is_some()),
            tables,
            ..database
        }
    });
    let mut gaps = look.unreadable;
    gaps.extend(kept.gaps);
    Record {
        format: FORMAT,
        sequence,
        guard: staged.guard.name.clone(),
        container: staged.found.container.clone(),
        container_id: staged.found.id.clone(),
        image_id: staged.found.image_id.clone(),
        reason: staged.request.reason.to_owned(),
        taken_at: staged.taken_at,
        took_ms: milliseconds(staged.began.elapsed()),
        files,
        size_bytes,
        databases: databases.collect(),
        left_out: kept.left_out,
        gaps,
        unsteady: kept.unsteady,
        frozen_ms: kept.frozen_ms,
        deleted: look.deleted,
        outside,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        entries: kept.entries,
    }
}

/// Returns the rescues that go: of those with a database all but the first, the last few and the one that holds the
/// most, of those without all but the last few. An application that writes to its layer at every run must not fill the disk.
fn old(rescues: &[Rescue]) -> Vec<&Rescue> {
    let (with, without): (Vec<&Rescue>, Vec<&Rescue>) = rescues
        .iter()
        .partition(|r| r.record.telling_databases().next().is_some());
    let beyond = |all: &[&'_ Rescue], first: usize, last: usize| {
        let end = all.len().saturating_sub(last).max(first.min(all.len()));
        first.min(all.len())..end
    };
    let most = with.iter().max_by_key(|r| r.record.content()).copied();
    let mut old = with[beyond(&with, 1, KEPT_WITH_DATABASE)].to_vec();
    old.retain(|r| !most.is_some_and(|most| std::ptr::eq(most, *r)));
    old.extend(&without[beyond(&without, 0, KEPT_WITHOUT)]);
    old
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
