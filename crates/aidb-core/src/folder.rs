//! Folders of ours, made for us alone and removed whole, and files.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::error::{IoContext as _, Result};
use crate::step::step;

/// Makes a folder, and its parents, for us alone.
///
/// # Errors
/// [`crate::Error::Io`] if it cannot be made.
pub fn make(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .doing("make the folder", path)
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes a tree of ours, in which folders may be read-only. What is gone already is removed: the maker of a staging
/// folder and whoever clears up may be at it at once.
pub(crate) fn remove_tree(path: &Path) -> std::io::Result<()> {
    step("remove")?;
    match remove_all(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn remove_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = std::fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return std::fs::remove_file(path);
    }
    if metadata.permissions().mode() & 0o700 != 0o700 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    for entry in std::fs::read_dir(path)? {
        remove_tree(&entry?.path())?;
    }
    std::fs::remove_dir(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_already_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        remove_tree(&folder.path().join("gone")).unwrap();
    }
}
