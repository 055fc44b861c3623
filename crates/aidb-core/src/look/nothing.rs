//! Is there anything to keep? An application that never came up leaves folders, empty files, and at most a database
//! without a table.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::scan::database_file;
use super::sqlite::disk;
use crate::capture::Root;
use crate::capture::pin::{main_of, sidecar};
use crate::capture::walk::Exclude;
use crate::error::Result;
use crate::guard::Guard;

/// Returns whether a guard's folder holds nothing that anybody made: what is excluded left aside, no file has a byte but
/// databases of its stores that never held a table, under their names or where a start moved them aside.
///
/// It tells nothing of what was there before: whoever asks knows the history. What cannot be looked at may be something.
///
/// # Errors
/// [`crate::Error::Io`] if the folder cannot be opened.
pub fn is_nothing(guard: &Guard) -> Result<bool> {
    let root = Root::open(&guard.data)?;
    let databases: Vec<PathBuf> = guard.stores.iter().filter_map(database_file).collect();
    // A database that was made answers before the folder is walked.
    let is_there = |file: &PathBuf| !matches!(root.stat(file), Ok(None));
    let mut present = databases.iter().filter(|file| is_there(file));
    if present.any(|file| !never_held_a_table(&root, file)) {
        return Ok(false);
    }
    let walk = root.walk_data(&Exclude::new(&guard.exclude)?);
    let is_empty =
        walk.found
            .iter()
            .all(|found| match FileType::from_raw_mode(found.stat.st_mode) {
                FileType::Directory => true,
                FileType::RegularFile => {
                    found.stat.st_size == 0
                        || databases.iter().any(|file| belongs_to(&found.path, file))
                            && is_of_empty_database(&root, &found.path)
                }
                _ => false,
            });
    Ok(is_empty && walk.unreadable.is_empty())
}

/// Returns whether a file has a database's name, or one that begins with it as those of its companions do, and of what a
/// start moved aside.
fn belongs_to(path: &Path, database: &Path) -> bool {
    let text = |p: &Path| p.as_os_str().to_string_lossy().into_owned();
    let (path, database) = (text(path), text(database));
    path.strip_prefix(&database)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
}

/// Returns whether a file is a database that never held a table, or a companion of one.
fn is_of_empty_database(root: &Root, path: &Path) -> bool {
    let text = path.as_os_str().to_string_lossy();
    let main = main_of(&text).map_or(path, Path::new);
    never_held_a_table(root, main)
}

fn never_held_a_table(root: &Root, main: &Path) -> bool {
    let Ok(file) = root.open_file(main) else {
        return false;
    };
    let wal = root.open_file(&sidecar(main, "-wal")).ok();
    let journal = root.open_file(&sidecar(main, "-journal")).ok();
    disk::read_files(&file, wal.as_ref(), journal.as_ref()).is_ok_and(|d| d.never_initialised)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(data: &Path) -> Guard {
        Guard {
            exclude: vec!["cache/**".into()],
            ..Guard::of_database("web", data)
        }
    }

    fn empty_database(path: &Path) {
        let db = rusqlite::Connection::open(path).unwrap();
        db.execute_batch("pragma journal_mode = wal; pragma user_version = 1; begin; commit")
            .unwrap();
    }

    #[test]
    fn what_a_failed_first_start_leaves_is_nothing_and_any_byte_of_a_person_is_something() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let is = |expected: bool, why: &str| {
            assert_eq!(is_nothing(&guard(data)).unwrap(), expected, "{why}");
        };
        is(true, "an empty folder");
        std::fs::create_dir_all(data.join("uploads/deep")).unwrap();
        std::fs::create_dir_all(data.join("cache")).unwrap();
        std::fs::write(data.join("cache/model"), "made anew").unwrap();
        std::fs::write(data.join("webui.db"), "").unwrap();
        is(true, "folders, a cache and an empty file");
        std::fs::rename(data.join("webui.db"), data.join("webui.db.empty-1")).unwrap();
        empty_database(&data.join("webui.db"));
        assert!(std::fs::metadata(data.join("webui.db")).unwrap().len() > 0);
        is(true, "a database without a table");
        std::fs::write(data.join("uploads/deep/a"), "x").unwrap();
        is(false, "an upload");
        std::fs::remove_file(data.join("uploads/deep/a")).unwrap();
        is(true, "and without it");
        let db = rusqlite::Connection::open(data.join("webui.db")).unwrap();
        db.execute_batch("create table chat (id)").unwrap();
        is(false, "a table, still in the log");
        drop(db);
        is(false, "a table");
    }

    #[test]
    fn a_file_of_another_name_is_no_companion() {
        for (path, is) in [
            ("webui.db", true),
            ("webui.db-wal", true),
            ("webui.db.empty-20261125T180000Z", true),
            ("webui.db.empty-20261125T180000Z-wal", true),
            ("webui.dbx", false),
            ("old/webui.db", false),
        ] {
            let found = belongs_to(Path::new(path), Path::new("webui.db"));
            assert_eq!(found, is, "{path}");
        }
    }
}
