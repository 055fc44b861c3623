//! Healing at start: moving a never-initialised database aside. Nothing is deleted.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::capture::Root;
use crate::capture::pin::sidecar;
use crate::error::{IoContext, Result};

/// Moves a database and what belongs to it to names beside it: `webui.db` to `webui.db.empty-TIME`, `webui.db-wal` to
/// `webui.db.empty-TIME-wal`. Returns the new path of the main file.
///
/// The companions go first: killed in between, this leaves an empty main file without a log, which the next run moves.
/// The other way round a log would lie beside the application's new database, and be applied to it.
pub fn quarantine(root: &Root, relative: &Path, now: Timestamp) -> Result<PathBuf> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let parent = relative.parent().unwrap_or(Path::new(""));
    let folder_path = root.path().join(parent);
    let folder = root
        .open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY)
        .doing("open", &folder_path)?;
    let mut number = 0;
    let aside = loop {
        let mut name = relative.as_os_str().to_owned();
        name.push(format!(".empty-{stamp}"));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        let aside = PathBuf::from(name);
        if root
            .stat(&aside)
            .doing("look at", &root.path().join(&aside))?
            .is_none()
        {
            break aside;
        }
        number += 1;
    };
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let (from, to) = (sidecar(relative, suffix), sidecar(&aside, suffix));
        let (Some(from_name), Some(to_name)) = (from.file_name(), to.file_name()) else {
            continue;
        };
        match renameat_with(&folder, from_name, &folder, to_name, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::NOENT) if !suffix.is_empty() => {}
            Err(e) => return Err(e).doing("move aside", &root.path().join(&from)),
        }
    }
    rustix::fs::fsync(&folder).doing("sync the folder", &folder_path)?;
    Ok(root.path().join(aside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_companions_move_with_their_database_and_keep_belonging_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "webui.db",
            "webui.db-wal",
            "webui.db-shm",
            "other.db",
            "webui.db.empty-20261123T060311Z",
        ] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        let now = "2026-11-23T06:03:11Z".parse().unwrap();
        let aside = quarantine(&root, Path::new("webui.db"), now).unwrap();
        assert_eq!(
            aside,
            folder.path().join("webui.db.empty-20261123T060311Z-1")
        );
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "other.db",
                "webui.db.empty-20261123T060311Z",
                "webui.db.empty-20261123T060311Z-1",
                "webui.db.empty-20261123T060311Z-1-shm",
                "webui.db.empty-20261123T060311Z-1-wal",
            ]
        );
        assert_eq!(std::fs::read_to_string(aside).unwrap(), "webui.db");
    }
}
