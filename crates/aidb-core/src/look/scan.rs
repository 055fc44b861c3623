//! Looking at a guard: from its folder, live or in a snapshot, to an observation.
//!
//! A live database is never judged where it lies: plain reads beside a writer are torn, and SQLite changes what it
//! opens. A private clone is taken under the pin, and everything is read from it.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::FileType;
use rustix::io::Errno;

use super::application::{self, Application, Terms};
use super::fingerprint::{Fingerprint, FolderMark};
use super::observation::{Checked, Database, GuardObservation, Place, StoreObservation};
use super::private::{self, Private};
use super::standing::Standing;
use super::way::{Depth, Way, Where};
use super::{boot, ollama, reading};
use crate::capture::Root;
use crate::capture::pin::{COMPANIONS, sidecar};
use crate::error::told;
use crate::guard::{Guard, Store, StoreKind};

/// For how long a full look stands.
const LASTS: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Looks at a guard whose files lie in `folder`.
#[must_use]
pub fn guard(guard: &Guard, folder: &Path, way: &Way) -> GuardObservation {
    let place = folder_place(folder);
    let root = match (&place, Root::open(folder)) {
        (Place::Folder, Ok(root)) => root,
        (Place::Folder, Err(e)) => {
            return GuardObservation {
                folder: Place::Unreadable(told(&e)),
                stores: Vec::new(),
                legacy_database: None,
            };
        }
        _ => {
            return GuardObservation {
                folder: place,
                stores: Vec::new(),
                legacy_database: None,
            };
        }
    };
    let stores = guard
        .stores
        .iter()
        .map(|s| store(&root, guard, s, way))
        .collect();
    let legacy = Path::new("ollama.db");
    let is_open_webui = guard.preset.as_deref() == Some("open-webui");
    let has_legacy = is_open_webui && matches!(root.stat(legacy), Ok(Some(_)));
    GuardObservation {
        folder: place,
        stores,
        legacy_database: has_legacy.then(|| folder.join(legacy)),
    }
}

/// The data folder's own path is the user's word: a link to a folder is a folder.
fn folder_place(folder: &Path) -> Place {
    match std::fs::metadata(folder) {
        Ok(m) if m.is_dir() => Place::Folder,
        Ok(m) if m.is_file() => Place::File(m.len()),
        Ok(_) => Place::Special("special file"),
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Place::Absent
        }
        Err(e) => Place::Unreadable(e.to_string()),
    }
}

/// Looks at one store.
fn store(root: &Root, guard: &Guard, store: &Store, way: &Way) -> StoreObservation {
    let file = database_file(store);
    let mut seen = StoreObservation {
        name: store.name.clone(),
        path: root.path().join(&store.path),
        place: place(root, &store.path),
        odd_companion: None,
        database: None,
        application: None,
        checked: Checked::Nothing,
        could_not: None,
        no_room: None,
        deadline_hit: false,
        fingerprint: None,
        folders: Vec::new(),
    };
    if !matches!(seen.place, Place::File(_) | Place::Folder) {
        return seen;
    }
    seen.checked = Checked::Bytes;
    let Some(file) = file else {
        if matches!(seen.place, Place::Folder) {
            twice(way, &mut seen, |seen| {
                look_at_application(root, guard, store, way, seen);
            });
            if way.depth >= Depth::Contents {
                read_contents(root, store, way, &mut seen);
            }
        }
        return seen;
    };
    match place(root, &file) {
        Place::File(_) => {}
        // The store's folder is there: its database is not, or is none.
        other if matches!(seen.place, Place::Folder) => {
            seen.path = root.path().join(&file).components().collect();
            seen.place = other;
            return seen;
        }
        _ => return seen,
    }
    seen.odd_companion = COMPANIONS.into_iter().find_map(|suffix| {
        let path = sidecar(&file, suffix);
        let place = place(root, &path);
        let odd = matches!(place, Place::Folder | Place::Symlink(_) | Place::Special(_));
        odd.then_some((path, place))
    });
    if seen.odd_companion.is_some() {
        // The application would hang on it, fail, or follow it: there is no database to be looked at.
        return seen;
    }
    let began = SystemTime::now();
    let before = way.standing.and_then(|_| Fingerprint::of(root, &file));
    let standing = way.standing.and_then(|s| s.get(&store.name));
    if let Some(standing) = standing
        && before.as_ref() == Some(&standing.fingerprint)
        && standing.contract == store.contract
        && standing.folders.iter().all(|folder| folder.stands(root))
        && (way.damage_stands || !standing.database.shows_damage())
        && lasts(standing)
    {
        seen.checked = Checked::Standing;
        seen.database = Some(standing.database.clone());
        seen.application = standing.uploads.clone().map(Application::of_uploads);
        return seen;
    }
    twice(way, &mut seen, |seen| {
        look(root, store, &file, way, seen);
        look_at_application(root, guard, store, way, seen);
    });
    // Only what was the same before and after the look was looked at. Chroma's index files are written through memory
    // maps, which no time tells.
    let lasting = before.filter(|_| store.kind == StoreKind::Sqlite);
    let folders = match seen.application.as_ref().map(|a| &a.terms) {
        Some(Terms::Uploads(uploads)) => uploads
            .folders
            .as_ref()
            .and_then(|folders| FolderMark::of(root, folders, began)),
        _ => Some(Vec::new()),
    };
    if let (Some(before), Some(folders)) = (lasting, folders)
        && Fingerprint::of(root, &file).as_ref() == Some(&before)
    {
        seen.fingerprint = Some(before);
        seen.folders = folders;
    }
    seen
}

/// Returns whether a look is young enough to stand: bits rot under every fingerprint.
fn lasts(standing: &Standing) -> bool {
    let age = Timestamp::now().duration_since(standing.at);
    !age.is_negative() && age < LASTS
}

/// Returns the file that holds a store's database, relative to the data folder, for the kinds that have one.
#[must_use]
pub fn database_file(store: &Store) -> Option<PathBuf> {
    match store.kind {
        StoreKind::Sqlite => Some(store.path.clone()),
        StoreKind::Chroma => Some(store.path.join("chroma.sqlite3")),
        StoreKind::Ollama | StoreKind::Qdrant | StoreKind::Files => None,
    }
}

/// Compares with its name what a file holds whose name tells that.
fn read_contents(root: &Root, store: &Store, way: &Way, seen: &mut StoreObservation) {
    let Some(Terms::Ollama(found)) = seen.application.as_mut().map(|a| &mut a.terms) else {
        return;
    };
    let hashed = ollama::verify_blobs(root, &store.path, way.deadline);
    if hashed.complete {
        seen.checked = Checked::Full;
    } else {
        seen.deadline_hit = true;
    }
    found.hashed = Some(hashed);
}

/// Says damage only if a second look agrees: what a first one saw may have been a moment of somebody's write.
fn twice(way: &Way, seen: &mut StoreObservation, look: impl Fn(&mut StoreObservation)) {
    look(seen);
    let is_bad = |seen: &StoreObservation| {
        seen.database.as_ref().is_some_and(Database::shows_damage)
            || seen
                .application
                .as_ref()
                .is_some_and(application::Application::shows_damage)
    };
    if matches!(way.place, Where::Live(_)) && is_bad(seen) && Instant::now() < way.deadline {
        let mut again = seen.clone();
        look(&mut again);
        if again.could_not.is_none() && !is_bad(&again) {
            *seen = again;
        }
    }
}

/// Looks at what lies beside a database, or at a store that has none.
fn look_at_application(
    root: &Root,
    guard: &Guard,
    store: &Store,
    way: &Way,
    seen: &mut StoreObservation,
) {
    let opened = seen.database.as_mut().and_then(|d| d.opened.as_mut());
    let values = opened.map(|o| std::mem::take(&mut o.values));
    seen.application = application::look(root, guard, store, way, values.as_ref());
    let ended = seen.application.as_ref().and_then(|a| a.ended);
    seen.deadline_hit |= ended == Some(super::tour::Ended::Late);
}

fn look(root: &Root, store: &Store, file: &Path, way: &Way, seen: &mut StoreObservation) {
    let (path, written_ns, _folder) = match way.place {
        Where::Ours => (root.path().join(file), None, None),
        Where::Live(scratch) => match private::copy(root, file, scratch, way.deadline) {
            Ok(Private::Copy {
                path,
                written_ns,
                folder,
            }) => (path, written_ns, Some(folder)),
            Ok(Private::InPlace { database, why }) => {
                seen.no_room = Some(why);
                seen.database = Some(*database);
                return;
            }
            Err(why) => {
                seen.could_not = Some(why);
                return;
            }
        },
    };
    match reading::observe(&path, store, way, seen) {
        Ok(database) => {
            seen.database = Some(Database {
                written_ns,
                boot: boot::id().filter(|_| matches!(way.place, Where::Live(_))),
                ..database
            });
        }
        Err(e) => seen.could_not = Some(format!("the private copy could not be read: {e}")),
    }
}

/// Returns what lies at a path below the data folder.
fn place(root: &Root, relative: &Path) -> Place {
    if relative == Path::new(".") {
        return Place::Folder;
    }
    let stat = match root.stat(relative) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Place::Absent,
        Err(Errno::LOOP) => {
            return Place::Unreadable("a folder on the way to it is a symbolic link".to_owned());
        }
        Err(e) => return Place::Unreadable(e.to_string()),
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Place::Folder,
        FileType::RegularFile => match root.open_file(relative) {
            Ok(_) => Place::File(u64::try_from(stat.st_size).unwrap_or(0)),
            Err(Errno::NOENT) => Place::Absent,
            Err(e) => Place::Unreadable(e.to_string()),
        },
        FileType::Symlink => Place::Symlink(root.read_link(relative).unwrap_or_default()),
        FileType::Fifo => Place::Special("pipe"),
        FileType::Socket => Place::Special("socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Place::Special("device"),
        FileType::Unknown => Place::Special("file of unknown kind"),
    }
}
