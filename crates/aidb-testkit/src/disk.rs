//! Disks of other filesystems, in files: for root only.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{is_root, left_out};

/// A filesystem of its own, mounted until dropped.
#[derive(Debug)]
pub struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// Makes and mounts a filesystem (`ext4`, `btrfs`, `xfs`) of so many MiB; where that cannot be done, says that
    /// `what` is left out.
    #[must_use]
    pub fn new(kind: &str, mib: u64, what: &str) -> Option<Self> {
        if !is_root() {
            left_out(what, "mounting a disk needs root");
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("aidb-disk-")
            .tempdir()
            .unwrap();
        let (image, mount) = (folder.path().join("image"), folder.path().join("mount"));
        std::fs::create_dir(&mount).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(mib << 20).unwrap();
        let mkfs = format!("mkfs.{kind}");
        let made = run(Command::new(&mkfs)
            .arg(if kind == "ext4" { "-qF" } else { "-q" })
            .arg(&image));
        if !made {
            left_out(what, &format!("`{mkfs}` does not work here"));
            return None;
        }
        let mounted = run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&mount));
        if !mounted {
            left_out(what, &format!("a disk of {kind} cannot be mounted here"));
            return None;
        }
        Some(Self { folder })
    }

    /// Returns where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mount: &Path = &self.path();
        let gone = run(Command::new("umount").arg(mount))
            || run(Command::new("umount").arg("--lazy").arg(mount));
        if !gone {
            left_out("unmounting", &mount.display().to_string());
        }
    }
}

fn run(command: &mut Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|s| s.success())
}
