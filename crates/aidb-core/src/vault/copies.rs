//! Which copies of a guard there are, and on which disks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Vault;
use crate::error::Result;
use crate::guard::Guard;
use crate::judge::copies::Copies;

/// How deep devices may lie over each other: encryption on volumes on partitions on loops.
const MOST_LAYERS: usize = 16;

/// Returns what is known of a guard's copies in the vault. `off_site` is the caller's to know.
///
/// # Errors
/// [`crate::Error::Io`] if the archives cannot be listed.
pub fn of_guard(vault: &Vault, guard: &Guard, off_site: bool) -> Result<Copies> {
    let archives = vault.archives(&guard.name)?;
    let newest = archives.iter().rev().find(|a| !a.damaged);
    let archived_at = newest.and_then(|a| Some(a.head().ok()?.summary.taken_at));
    let data = disks_of(&guard.data);
    let elsewhere = |path: &Path| are_other(data.as_ref(), disks_of(path).as_ref());
    let archive_elsewhere = newest.is_some_and(|a| elsewhere(&a.path));
    Ok(Copies {
        archived_at,
        on_other_disk: archive_elsewhere || elsewhere(vault.root()),
        off_site,
    })
}

/// Returns whether two sets of disks are known and have none in common.
fn are_other(one: Option<&BTreeSet<PathBuf>>, two: Option<&BTreeSet<PathBuf>>) -> bool {
    matches!((one, two), (Some(one), Some(two)) if one.is_disjoint(two))
}

/// Returns the disks that hold a path, as `/sys` names them; `None` if it cannot be told, as for a network's.
fn disks_of(path: &Path) -> Option<BTreeSet<PathBuf>> {
    let path = path.canonicalize().ok()?;
    let text = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let device = device_of(&text, &path)?.canonicalize().ok()?;
    let name = device.file_name()?;
    let mut disks = BTreeSet::new();
    add_disks(
        &Path::new("/sys/class/block").join(name),
        &mut disks,
        MOST_LAYERS,
    )?;
    (!disks.is_empty()).then_some(disks)
}

/// Returns the device that is mounted where `path` lies (proc(5)).
fn device_of(mountinfo: &str, path: &Path) -> Option<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?.replace("\\040", " ");
        let source = line.split_once(" - ")?.1.split(' ').nth(1)?;
        Some((PathBuf::from(point), source))
    });
    let fitting = mounts.filter(|(point, _)| path.starts_with(point));
    // Of equally long ones the last: it lies on top.
    let (_, source) = fitting.max_by_key(|(point, _)| point.components().count())?;
    source.starts_with("/dev/").then(|| source.into())
}

/// Follows a block device down to whole disks.
fn add_disks(device: &Path, disks: &mut BTreeSet<PathBuf>, layers: usize) -> Option<()> {
    let device = device.canonicalize().ok()?;
    let below = layers.checked_sub(1)?;
    if let Ok(file) = std::fs::read_to_string(device.join("loop/backing_file")) {
        disks.extend(disks_of(Path::new(file.trim_end()))?);
        return Some(());
    }
    let slaves: Vec<_> = std::fs::read_dir(device.join("slaves"))
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    if !slaves.is_empty() {
        for slave in slaves {
            add_disks(&slave.path(), disks, below)?;
        }
        return Some(());
    }
    let disk = if device.join("partition").exists() {
        device.parent()?.to_owned()
    } else {
        device
    };
    disks.insert(disk);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 22 0:25 / /mnt/a\\040b rw shared:9 - btrfs /dev/mapper/crypt rw
31 22 0:26 / /mnt/net rw - nfs4 server:/x rw
32 30 8:3 / /mnt/a\\040b rw - ext4 /dev/sdb1 rw
";

    #[test]
    fn a_path_lies_on_the_mount_that_covers_it() {
        for (path, device) in [
            ("/home/x", Some("/dev/sda2")),
            ("/mnt/a b/x", Some("/dev/sdb1")),
            ("/mnt/net/x", None),
            ("/mnt/network", Some("/dev/sda2")),
        ] {
            assert_eq!(
                device_of(MOUNTS, Path::new(path)),
                device.map(PathBuf::from),
                "{path}"
            );
        }
    }

    #[test]
    fn only_what_is_known_to_be_another_disk_is_one() {
        let disks = |names: &[&str]| Some(names.iter().map(PathBuf::from).collect());
        for (one, two, other) in [
            (disks(&["sda"]), disks(&["sdb"]), true),
            (disks(&["sda"]), disks(&["sda"]), false),
            (disks(&["sda", "sdb"]), disks(&["sdb"]), false),
            (disks(&["sda"]), None, false),
            (None, None, false),
        ] {
            assert_eq!(
                are_other(one.as_ref(), two.as_ref()),
                other,
                "{one:?} {two:?}"
            );
        }
    }

    #[test]
    fn what_lies_beside_the_data_is_on_its_disk() {
        let folder = tempfile::tempdir().unwrap();
        let disks = disks_of(folder.path());
        assert!(!are_other(
            disks.as_ref(),
            disks_of(&std::env::temp_dir()).as_ref()
        ));
    }
}
