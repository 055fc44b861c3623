//! Folders of half-made things.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{IoContext as _, Result};
use crate::folder::{self, remove_tree};
use crate::lock::{Lock, Mode};
use crate::step::step;

/// A folder of half-made things, ours until dropped, then removed. The next run clears what a killed one left.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    _lock: Lock,
}

impl Staging {
    /// Makes a staging folder in `root`, a folder for nothing else, after clearing those that no lock holds.
    pub fn new(root: &Path, purpose: &str) -> Result<Self> {
        folder::make(root)?;
        // Whoever makes or clears folders here does it under this lock, so that a folder is never seen without its own.
        let _gate = Lock::on(
            &root.join(".lock"),
            Mode::Exclusive,
            Duration::from_secs(5),
            "the vault's staging folder",
        )?;
        clear_abandoned(root)?;
        let mut number = 0;
        let path = loop {
            let path = root.join(format!("{purpose}-{}-{number}", std::process::id()));
            step("make folder").doing("make the folder", &path)?;
            match rustix::fs::mkdir(&path, rustix::fs::Mode::RWXU) {
                Ok(()) => break path,
                Err(rustix::io::Errno::EXIST) => number += 1,
                Err(e) => return Err(e).doing("make the folder", &path),
            }
        };
        let lock = Lock::on(
            &path.join(".lock"),
            Mode::Exclusive,
            Duration::ZERO,
            "a new staging folder",
        )?;
        Ok(Self { path, _lock: lock })
    }

    /// Returns the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Failing here loses nothing: the next run clears it.
        let _ = remove_tree(&self.path);
    }
}

/// Removes the staging folders whose maker is gone.
fn clear_abandoned(root: &Path) -> Result<()> {
    for entry in std::fs::read_dir(root).doing("list", root)? {
        let path = entry.doing("list", root)?.path();
        if path.is_dir()
            && Lock::on(
                &path.join(".lock"),
                Mode::Exclusive,
                Duration::ZERO,
                "staging",
            )
            .is_ok()
        {
            remove_tree(&path).doing("clear", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_cleared_and_what_a_living_one_holds_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(".staging");
        let living = Staging::new(&root, "take").unwrap();
        std::fs::write(living.path().join("half"), "x").unwrap();
        let dead = root.join("take-1-0");
        std::fs::create_dir_all(dead.join("data")).unwrap();
        std::fs::write(dead.join("data/half"), "x").unwrap();
        let next = Staging::new(&root, "take").unwrap();
        assert!(living.path().join("half").exists());
        assert!(!dead.exists());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
