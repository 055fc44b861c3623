//! What of a snapshot is to be restored, and what it takes the place of.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::capture::pin::sidecar;
use crate::capture::walk::Root;
use crate::error::{Error, IoContext, Result};
use crate::guard::{Guard, StoreKind};
use crate::manifest::{Entry, Kind, Manifest};

/// The files that belong to an SQLite database beside its main file, in the order in which they are moved.
pub(super) const SIDECARS: [&str; 3] = ["-shm", "-wal", "-journal"];

/// What is to be restored.
#[derive(Debug)]
pub(super) struct Selection<'m> {
    /// The entries and, for chosen paths, the folders that lead to them; parents first.
    pub entries: Vec<&'m Entry>,
    /// The chosen paths, none below another; empty for everything.
    pub chosen: Vec<PathBuf>,
}

impl Selection<'_> {
    /// Returns whether everything is restored.
    pub fn is_whole(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Returns the number of regular files.
    pub fn files(&self) -> u64 {
        self.sizes().count() as u64
    }

    /// Returns their sizes added up.
    pub fn size_bytes(&self) -> u64 {
        self.sizes().sum()
    }

    fn sizes(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().filter_map(|e| match e.kind {
            Kind::File { size_bytes, .. } => Some(size_bytes),
            _ => None,
        })
    }

    /// Returns the pipes, sockets and devices, which are not restored.
    pub fn special(&self) -> Vec<PathBuf> {
        let special = self
            .entries
            .iter()
            .filter(|e| matches!(e.kind, Kind::Special { .. }));
        special.map(|e| e.path.as_path().to_owned()).collect()
    }
}

/// The sources that tell whether a path is an SQLite database.
pub(super) struct Databases<'a> {
    pub guard: &'a Guard,
    pub manifest: &'a Manifest,
    pub snapshot: &'a Root,
    pub present: Option<&'a Root>,
}

impl Databases<'_> {
    /// Returns whether `path` is the main file of one, by the stores or by its first bytes, kept or present.
    pub fn has(&self, path: &Path) -> bool {
        let stores = self
            .guard
            .stores
            .iter()
            .chain(&self.manifest.settings.stores);
        let is_store = |kind: StoreKind, at: &Path| match kind {
            StoreKind::Sqlite => at == path,
            StoreKind::Chroma => at.join("chroma.sqlite3") == path,
            _ => false,
        };
        stores
            .into_iter()
            .any(|s| is_store(s.kind, s.path.strip_prefix(".").unwrap_or(&s.path)))
            || is_sqlite(self.snapshot, path)
            || self.present.is_some_and(|root| is_sqlite(root, path))
    }

    /// Returns the main file if `path` is a companion of a database.
    pub fn main_of(&self, path: &Path) -> Option<PathBuf> {
        let bytes = path.as_os_str().as_bytes();
        let main = SIDECARS
            .iter()
            .find_map(|suffix| bytes.strip_suffix(suffix.as_bytes()))?;
        let main = PathBuf::from(OsStr::from_bytes(main));
        self.has(&main).then_some(main)
    }
}

/// Returns whether a regular file begins like an SQLite database (SQLite file format, 1.3.1).
pub(super) fn is_sqlite(root: &Root, path: &Path) -> bool {
    let mut magic = [0; 16];
    root.open_file(path)
        .is_ok_and(|file| file.read_exact_at(&mut magic, 0).is_ok())
        && &magic == b"SQLite format 3\0"
}

/// Returns what `only` chooses from the manifest; everything if it is empty.
///
/// A companion of a database stands for the database: one without the other would be another state.
///
/// # Errors
/// [`Error::Usage`] if a path is not in the snapshot or leads out of the data folder.
pub(super) fn select<'m>(
    manifest: &'m Manifest,
    only: &[PathBuf],
    databases: &Databases<'_>,
) -> Result<Selection<'m>> {
    let mut chosen = BTreeSet::new();
    for path in only {
        let path = below(path, &databases.guard.data)?;
        if path.as_os_str().is_empty() {
            chosen.clear();
            break;
        }
        let path = databases.main_of(&path).unwrap_or(path);
        let Some(entry) = manifest.entries.iter().find(|e| e.path.as_path() == path) else {
            return Err(Error::Usage {
                what: format!("the snapshot holds no `{}`", path.display()),
                hint: None,
            });
        };
        if let Kind::Special { what } = &entry.kind {
            return Err(Error::Usage {
                what: format!(
                    "`{}` is a {what}, which snapshots do not keep",
                    path.display()
                ),
                hint: None,
            });
        }
        chosen.insert(path);
    }
    let chosen: Vec<PathBuf> = chosen
        .iter()
        .filter(|path| !path.ancestors().skip(1).any(|above| chosen.contains(above)))
        .cloned()
        .collect();
    if chosen.is_empty() {
        return Ok(Selection {
            entries: manifest.entries.iter().collect(),
            chosen,
        });
    }
    let mut wanted: Vec<PathBuf> = chosen.clone();
    for main in chosen.iter().filter(|path| databases.has(path)) {
        wanted.extend(SIDECARS.iter().map(|suffix| sidecar(main, suffix)));
    }
    let is_wanted = |entry: &&Entry| {
        let path = entry.path.as_path();
        wanted
            .iter()
            .any(|w| path.starts_with(w) || w.starts_with(path) && entry.kind == Kind::Folder)
    };
    Ok(Selection {
        entries: manifest.entries.iter().filter(is_wanted).collect(),
        chosen,
    })
}

/// Returns a path that a person typed as one below the data folder.
pub(super) fn below(path: &Path, data: &Path) -> Result<PathBuf> {
    use std::path::Component;
    let outside = || Error::Usage {
        what: format!("`{}` is not below the data folder", path.display()),
        hint: Some(format!("name it relative to {}", data.display())),
    };
    let relative = if path.is_absolute() {
        path.strip_prefix(data).map_err(|_| outside())?
    } else {
        path
    };
    relative
        .components()
        .filter(|c| *c != Component::CurDir)
        .map(|c| match c {
            Component::Normal(part) => Ok(part),
            _ => Err(outside()),
        })
        .collect()
}

/// Returns whether `path` is `chosen`, lies below it, or would be its companion if it is a database.
pub(super) fn belongs(path: &Path, chosen: &Path) -> bool {
    let family = SIDECARS.iter().map(|suffix| sidecar(chosen, suffix));
    path.starts_with(chosen) || family.into_iter().any(|f| f == path) || {
        // Whoever names a companion means the database.
        let mut mains = SIDECARS.iter().map(|suffix| sidecar(path, suffix));
        mains.any(|companion| companion == chosen)
    }
}

/// What moves out of the data folder and what moves in, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moves {
    pub out: Vec<PathBuf>,
    pub r#in: Vec<PathBuf>,
    /// Main files of databases among them.
    pub databases: Vec<PathBuf>,
}

/// Returns the moves that put the staged paths of `selection` in the place of the present ones.
///
/// # Errors
/// [`Error::CouldNot`] if a chosen path lies below something that is no folder now.
pub(super) fn moves_for_chosen(
    selection: &Selection<'_>,
    databases: &Databases<'_>,
    present: &Root,
) -> Result<Moves> {
    let mut moves = Moves::default();
    let exists = |path: &Path| {
        present
            .stat(path)
            .doing("look at", &present.path().join(path))
    };
    let mut into = BTreeSet::new();
    for path in &selection.chosen {
        let mut family = vec![path.clone()];
        if databases.has(path) {
            moves.databases.push(path.clone());
            family.extend(SIDECARS.iter().map(|suffix| sidecar(path, suffix)));
        }
        let top = top_absent(present, path)?;
        for member in family {
            if top.is_none() && exists(&member)?.is_some() {
                moves.out.push(member.clone());
            }
            if selection.entries.iter().any(|e| e.path.as_path() == member) {
                into.insert(top.clone().unwrap_or(member));
            }
        }
    }
    moves.r#in = into.into_iter().collect();
    moves.sort();
    Ok(moves)
}

/// Returns the topmost folder that leads to `path` and is absent now.
fn top_absent(present: &Root, path: &Path) -> Result<Option<PathBuf>> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    for folder in above.into_iter().filter(|p| !p.as_os_str().is_empty()) {
        match present.stat(folder).doing("look at", folder)? {
            None => return Ok(Some(folder.to_owned())),
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Some(_) => {
                return Err(Error::CouldNot {
                    what: format!("`{}` is no folder now", folder.display()),
                    hint: Some(format!("restore `{}` itself", folder.display())),
                });
            }
        }
    }
    Ok(None)
}

impl Moves {
    /// Brings the moves into the order in which no wrong pair ever lies side by side.
    ///
    /// A database's companions go first, on both ways: a new main file never finds an old `-wal`. `manifests` goes
    /// last: Ollama removes blobs that no manifest names, and ignores manifests whose blobs are missing.
    pub fn sort(&mut self) {
        let rank = |databases: &[PathBuf], path: &Path| {
            let companion = databases
                .iter()
                .any(|main| SIDECARS.iter().any(|suffix| sidecar(main, suffix) == path));
            match path.file_name() {
                _ if companion => 0,
                Some(name) if name == "manifests" => 2,
                _ => 1,
            }
        };
        for list in [&mut self.out, &mut self.r#in] {
            list.sort_by_cached_key(|p| {
                (
                    rank(&self.databases, p),
                    p.clone().into_os_string().into_vec(),
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companions_move_first_and_manifests_last() {
        let list = ["manifests", "a", "db", "db-journal", "db-wal", "zz"];
        let list: Vec<PathBuf> = list.iter().map(PathBuf::from).collect();
        let mut moves = Moves {
            out: list.clone(),
            r#in: list,
            databases: vec!["db".into()],
        };
        moves.sort();
        let names = ["db-journal", "db-wal", "a", "db", "zz", "manifests"];
        assert_eq!(moves.out, names.map(PathBuf::from));
        assert_eq!(moves.out, moves.r#in);
    }

    #[test]
    fn a_path_that_was_typed_is_taken_below_the_data_folder_or_refused() {
        let data = Path::new("/srv/data");
        for (typed, path) in [
            ("webui.db", Some("webui.db")),
            ("./uploads//a/", Some("uploads/a")),
            ("/srv/data/uploads", Some("uploads")),
            (".", Some("")),
            ("../x", None),
            ("a/../../x", None),
            ("/srv/other", None),
        ] {
            let got = below(Path::new(typed), data).ok();
            assert_eq!(got, path.map(PathBuf::from), "{typed}");
        }
    }
}
