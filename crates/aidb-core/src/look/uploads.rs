//! Uploaded files: those that a database names, as the container sees them, against those that are there.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::sqlite::values::{ByTable, Wanted};
use super::tour::{Kind, Several, Tour};
use super::way::{Way, Where};
use crate::capture::{Root, walk::Exclude};
use crate::guard::{Column, Guard};

/// What was found of the files that a database names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploads {
    /// Names below the data folder that were compared.
    pub named: u64,
    /// Those that are no regular file.
    pub missing: Several,
    /// The first of them, relative to the data folder.
    pub first_missing: Option<PathBuf>,
    /// The folders in which they were looked for, relative to the data folder; `None` if they are too many to be asked
    /// each time, or lie elsewhere.
    #[serde(skip)]
    pub folders: Option<BTreeSet<PathBuf>>,
}

/// How many folders of uploaded files are asked whether anything came or went.
const MOST_FOLDERS: usize = 64;

/// Returns what must be known of the database.
pub(super) fn wanted(column: &Column) -> Wanted {
    Wanted {
        table: column.table.clone(),
        columns: vec![column.column.clone()],
    }
}

/// Looks for the files; `None` if the database did not tell them, or where the container sees them is not known.
pub(super) fn look(
    tour: &mut Tour,
    guard: &Guard,
    way: &Way,
    column: &Column,
    values: &ByTable,
) -> Option<Uploads> {
    let (mount, _) = way.mount?;
    let values = values.get(&column.table)?;
    let exclude = Exclude::new(&guard.exclude).unwrap_or_default();
    let mut others = Others {
        guard,
        roots: Vec::new(),
    };
    let mut found = Uploads {
        folders: Some(BTreeSet::new()),
        ..Uploads::default()
    };
    for (row, _) in &values.rows {
        let Some(below) = row.first().and_then(|path| below(path, mount)) else {
            continue;
        };
        let is_nested = guard.nested.iter().any(|n| below.starts_with(&n.below));
        found.note_folder(&below, is_nested);
        let kind = if is_nested {
            // What is on another mount is in no copy of this folder.
            if matches!(way.place, Where::Ours) {
                continue;
            }
            let Some(kind) = others.kind(&below, way) else {
                continue;
            };
            kind
        } else {
            if matches!(way.place, Where::Ours) && exclude.matches(&below) {
                continue;
            }
            match tour.kind(&below) {
                Some(kind) => kind,
                None if tour.ended.is_some() => break,
                None => continue,
            }
        };
        found.named += 1;
        let what = match kind {
            Kind::File(_) => continue,
            Kind::Absent => "",
            Kind::Folder => " is a folder",
            Kind::Symlink => " is a symbolic link",
            Kind::Special(_) => " is a special file",
        };
        found.missing.add(format!("`{}`{what}", below.display()));
        found.first_missing.get_or_insert(below);
    }
    Some(found)
}

impl Uploads {
    fn note_folder(&mut self, file: &Path, is_elsewhere: bool) {
        let Some(folders) = &mut self.folders else {
            return;
        };
        let parent = file.parent().unwrap_or(Path::new(""));
        if !folders.contains(parent) {
            folders.insert(parent.to_owned());
        }
        if is_elsewhere || folders.len() > MOST_FOLDERS {
            self.folders = None;
        }
    }
}

/// Returns where a path of the container lies below the data folder, if it does.
fn below(path: &str, mount: &Path) -> Option<PathBuf> {
    // Objects in a bucket (`s3://…`) and links are no paths, and relative ones are nobody's promise.
    let path = Path::new(path.strip_prefix("file://").unwrap_or(path));
    let below = path.strip_prefix(mount).ok()?;
    let is_plain = below
        .components()
        .all(|c| matches!(c, Component::Normal(_)));
    (path.is_absolute() && is_plain && !below.as_os_str().is_empty()).then(|| below.to_owned())
}

/// The other host folders that the container sees below its data folder.
struct Others<'a> {
    guard: &'a Guard,
    roots: Vec<(PathBuf, Option<Root>)>,
}

impl Others<'_> {
    /// Returns what lies at a path below a nested mount; `None` if that cannot be told.
    fn kind(&mut self, below: &Path, way: &Way) -> Option<Kind> {
        let nested = self
            .guard
            .nested
            .iter()
            .filter(|n| below.starts_with(&n.below))
            .max_by_key(|n| n.below.components().count())?;
        let host = nested.host.as_ref()?;
        let inside = below.strip_prefix(&nested.below).ok()?;
        if !self.roots.iter().any(|(path, _)| path == host) {
            self.roots.push((host.clone(), Root::open(host).ok()));
        }
        let (_, root) = self.roots.iter().find(|(path, _)| path == host)?;
        Tour::new(root.as_ref()?, way.deadline).kind(inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_the_mount_are_looked_for() {
        let mount = Path::new("/app/backend/data");
        let cases = [
            ("/app/backend/data/uploads/a b.pdf", Some("uploads/a b.pdf")),
            ("/app/backend/data//uploads/./x", Some("uploads/x")),
            ("/app/backend/data/uploads/../../x", None),
            ("/app/backend/data", None),
            ("/app/backend/database/x", None),
            ("/etc/passwd", None),
            ("uploads/x", None),
            ("s3://bucket/app/backend/data/x", None),
            ("https://example.org/app/backend/data/x", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(
                below(path, mount).as_deref(),
                expected.map(Path::new),
                "{path}"
            );
        }
    }
}
