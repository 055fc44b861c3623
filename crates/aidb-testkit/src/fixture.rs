//! The packed files of real applications.

use std::fs::File;
use std::path::{Path, PathBuf};

/// Returns the folder of the packed fixtures: `$AIDB_FIXTURES`, for a program that runs where it was not built, or else
/// the one of the sources.
#[must_use]
pub fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("AIDB_FIXTURES") {
        return folder.into();
    }
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// Unpacks `NAME.tar.xz` and moves the content of its one folder to `target`; or `NAME.db.xz` to the file `target`.
pub fn unpack(name: &str, target: &Path) {
    let database = folder().join(format!("{name}.db.xz"));
    if database.exists() {
        let mut reader = xz2::read::XzDecoder::new(File::open(&database).unwrap());
        std::io::copy(&mut reader, &mut File::create(target).unwrap()).unwrap();
        return;
    }
    let packed = folder().join(format!("{name}.tar.xz"));
    let parent = target.parent().unwrap();
    std::fs::create_dir_all(parent).unwrap();
    let beside = tempfile::tempdir_in(parent).unwrap();
    let reader = xz2::read::XzDecoder::new(
        File::open(&packed).unwrap_or_else(|e| panic!("{}: {e}", packed.display())),
    );
    let mut archive = tar::Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_mtime(true);
    archive.unpack(beside.path()).unwrap();
    let only = std::fs::read_dir(beside.path())
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::rename(only, target).unwrap();
}
