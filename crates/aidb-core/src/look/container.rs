//! A running container, looked at from the host: what it sees at its data path, and which of its own files it has open.
//!
//! Nothing is run inside it, nothing of it is stopped. What may not be looked at is said as such.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, statat,
};

use crate::capture::pin::main_of;
use crate::guard::Guard;
use crate::podman::Container;

/// What a container sees at a guard's data path, compared with the folder on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountProof {
    /// The same folder: device and inode are equal, or the mount leads there.
    Same,
    /// The path is on no mount: it is in the container's own layer.
    InLayer,
    /// The folder that was there when the container started; another one has its name now.
    Exchanged,
    /// Another folder; which one, as far as it is known.
    Other(String),
    /// It could not be found out, or is not asked of this guard.
    Unknown(String),
}

/// What a container wrote to its own layer, noise left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Number of regular files.
    pub files: u64,
    /// Their sizes added up.
    pub size_bytes: u64,
    /// Databases, by their first bytes or, of open files, by their names; as the container names them.
    pub databases: Vec<PathBuf>,
    /// What the application has open there for writing now.
    pub open: Vec<PathBuf>,
    /// Why not everything could be looked at, if that is so.
    pub unknown: Option<String>,
}

/// How many open files of a container are looked at.
const MOST_OPEN_FILES: usize = 8192;

/// Compares what the container sees at the guard's data path with the guard's folder.
#[must_use]
pub fn mount_proof(container: &Container, guard: &Guard) -> MountProof {
    let Some(mount) = &guard.mount else {
        return MountProof::Unknown("the guard names no path in the container".into());
    };
    let host = match std::fs::metadata(&guard.data) {
        Ok(host) => host,
        Err(e) => return MountProof::Unknown(format!("`{}`: {e}", guard.data.display())),
    };
    let pid = container.pid.filter(|pid| is_of(*pid, container));
    let seen = pid.and_then(|pid| identity_inside(pid, mount));
    if seen == Some((host.dev(), host.ino())) {
        return MountProof::Same;
    }
    // Idmapped and stacked filesystems number the same folder in their own way: the declaration decides, unless the
    // container has another folder of the same filesystem there: then ours was exchanged under it.
    match (declared(container, mount, &host), seen) {
        (MountProof::Same, Some((device, inode)))
            if device == host.dev() && inode != host.ino() =>
        {
            MountProof::Exchanged
        }
        (declared, _) => declared,
    }
}

/// Returns what the container's list of mounts says about the path.
fn declared(container: &Container, mount: &Path, host: &Metadata) -> MountProof {
    let Some(found) = container.mount_of(mount) else {
        return MountProof::InLayer;
    };
    if found.source.as_os_str().is_empty() {
        return MountProof::Other("memory".into());
    }
    let rest = mount
        .strip_prefix(&found.destination)
        .unwrap_or(Path::new(""));
    let source = if rest.as_os_str().is_empty() {
        found.source.clone()
    } else {
        found.source.join(rest)
    };
    match std::fs::metadata(&source) {
        Ok(seen) if (seen.dev(), seen.ino()) == (host.dev(), host.ino()) => MountProof::Same,
        Ok(_) => MountProof::Other(format!("`{}`", source.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            MountProof::Other(format!("`{}`, which does not exist", source.display()))
        }
        Err(e) => MountProof::Unknown(format!("`{}`: {e}", source.display())),
    }
}

/// Returns whether the process is still the container's: numbers are used again.
fn is_of(pid: u32, container: &Container) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .is_ok_and(|cgroup| cgroup.contains(&container.id))
        // Without a cgroup of its own, the process tells nothing about whose it is.
        || container.cgroup.is_none() && Path::new(&format!("/proc/{pid}/root")).exists()
}

/// Returns device and inode of a path as a process sees it. Links in it lead within what the process sees.
fn identity_inside(pid: u32, path: &Path) -> Option<(u64, u64)> {
    let root = openat(
        CWD,
        format!("/proc/{pid}/root"),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let seen = openat2(
        root.as_fd(),
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
    .ok()?;
    let stat = statat(seen.as_fd(), "", AtFlags::EMPTY_PATH).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

/// Returns the regular files of the container's own layer that its processes have open for writing, as they see them.
/// Files without a name are left out: temporary ones are made that way.
#[must_use]
pub fn open_in_layer(container: &Container) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Some(pid) = container.pid.filter(|pid| is_of(*pid, container)) else {
        return found;
    };
    let Ok(root) = statat(CWD, format!("/proc/{pid}/root"), AtFlags::empty()) else {
        return found;
    };
    for_each_open_file(container, pid, |stat, link, process| {
        if stat.st_dev != root.st_dev || stat.st_nlink == 0 {
            return;
        }
        let number = link.file_name().unwrap_or_default();
        let info = format!("/proc/{process}/fdinfo/{}", number.display());
        if is_written(&info)
            && let Ok(name) = std::fs::read_link(link)
        {
            found.insert(name);
        }
    });
    found
}

/// Returns whether a process of the container has a regular file below a path open now, which is as the container names it.
#[must_use]
pub fn has_open_below(container: &Container, path: &Path) -> bool {
    let mut found = false;
    if let Some(pid) = container.pid.filter(|pid| is_of(*pid, container)) {
        for_each_open_file(container, pid, |_, link, _| {
            found |= std::fs::read_link(link).is_ok_and(|name| name.starts_with(path));
        });
    }
    found
}

/// Visits the regular files that the processes of a container have open: what it is, its link in `/proc`, whose it is.
fn for_each_open_file(container: &Container, pid: u32, mut visit: impl FnMut(&Stat, &Path, u32)) {
    let mut left = MOST_OPEN_FILES;
    for process in processes(container, pid) {
        let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
            continue;
        };
        for file in files.flatten().take(left) {
            left -= 1;
            let Ok(stat) = statat(CWD, file.path(), AtFlags::empty()) else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                visit(&stat, &file.path(), process);
            }
        }
    }
}

/// Returns whether a descriptor is open for writing (proc(5): `flags` is octal, the last two bits are the access mode).
fn is_written(fdinfo: &str) -> bool {
    let text = std::fs::read_to_string(fdinfo).unwrap_or_default();
    text.lines()
        .find_map(|l| l.strip_prefix("flags:"))
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & 0o3 != 0)
}

/// Returns the processes of a container: those of its control group, or only its first one.
fn processes(container: &Container, pid: u32) -> Vec<u32> {
    let Some(cgroup) = &container.cgroup else {
        return vec![pid];
    };
    let below = cgroup.strip_prefix("/").unwrap_or(cgroup);
    let mut pending = vec![Path::new("/sys/fs/cgroup").join(below)];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        let listed = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(listed.lines().filter_map(|l| l.parse::<u32>().ok()));
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        pending.extend(
            entries
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path()),
        );
    }
    if found.is_empty() { vec![pid] } else { found }
}

/// Leaves out the logs and journals of databases that are named themselves.
#[must_use]
pub fn without_companions(open: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let is_companion = |path: &PathBuf| {
        let name = path.to_string_lossy();
        main_of(&name).is_some_and(|main| open.contains(Path::new(main)))
    };
    open.iter().filter(|p| !is_companion(p)).cloned().collect()
}

/// Returns whether a file, by its name, is likely a database: its bytes may not be readable for us.
#[must_use]
pub fn is_named_like_a_database(path: &Path) -> bool {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase());
    name.is_some_and(|name| {
        let name = main_of(&name).unwrap_or(&name);
        [".db", ".sqlite", ".sqlite3", ".db3"]
            .iter()
            .any(|extension| name.ends_with(extension))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::podman::{Mount, Mounted};

    fn guard(data: &Path) -> Guard {
        Guard {
            mount: Some("/data".into()),
            ..Guard::of_folder("web", data)
        }
    }

    fn container(mounts: &[(&Path, &str)]) -> Container {
        Container {
            id: "c0ffee".into(),
            name: "web".into(),
            image_id: String::new(),
            image_digest: None,
            image_name: None,
            started_at: None,
            running: true,
            paused: false,
            pid: None,
            cgroup: None,
            mounts: mounts
                .iter()
                .map(|(source, destination)| Mount {
                    kind: Mounted::Bind,
                    name: None,
                    source: (*source).to_owned(),
                    destination: destination.into(),
                    is_writable: true,
                })
                .collect(),
            driver: "overlay".into(),
            upper: None,
            labels: std::collections::BTreeMap::new(),
            is_removed_at_end: true,
        }
    }

    #[test]
    fn the_mount_leads_to_our_folder_or_to_another_or_to_none() {
        let home = tempfile::tempdir().unwrap();
        let (data, other) = (home.path().join("data"), home.path().join("other"));
        std::fs::create_dir_all(other.join("data")).unwrap();
        std::fs::create_dir(&data).unwrap();
        let link = home.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for (mounts, expected) in [
            (vec![(data.as_path(), "/data")], MountProof::Same),
            (vec![(link.as_path(), "/data")], MountProof::Same),
            (vec![(home.path(), "/")], MountProof::Same),
            (
                vec![(data.as_path(), "/dat"), (data.as_path(), "/data/below")],
                MountProof::InLayer,
            ),
            (vec![], MountProof::InLayer),
            (
                vec![(Path::new(""), "/data")],
                MountProof::Other("memory".into()),
            ),
            (
                vec![(data.as_path(), "/data"), (other.as_path(), "/")],
                MountProof::Same,
            ),
            (
                vec![(other.as_path(), "/")],
                MountProof::Other(format!("`{}`", other.join("data").display())),
            ),
        ] {
            let proof = mount_proof(&container(&mounts), &guard(&data));
            assert_eq!(proof, expected, "{mounts:?}");
        }
    }

    /// This very process stands for a container's: it sees the folder as it is.
    #[test]
    fn what_a_process_sees_is_compared_by_device_and_inode() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut container = container(&[(&data, data.to_str().unwrap())]);
        container.pid = Some(std::process::id());
        let guard = Guard {
            mount: Some(data.clone()),
            ..guard(&data)
        };
        assert_eq!(mount_proof(&container, &guard), MountProof::Same);
        // The guard's folder is another one now; a process that started before still has the old one. Here the process
        // sees `data` at its mount, and the guard means `moved`.
        let moved = home.path().join("moved");
        std::fs::create_dir(&moved).unwrap();
        let guard = Guard {
            data: moved,
            ..guard
        };
        let proof = mount_proof(&container, &guard);
        assert!(
            matches!(proof, MountProof::Other(_) | MountProof::Exchanged),
            "{proof:?}"
        );
    }

    #[test]
    fn a_file_that_is_open_for_writing_in_the_layer_is_named() {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = folder.path().canonicalize().unwrap().join("chats.db");
        let written = std::fs::File::create(&path).unwrap();
        let mut container = container(&[]);
        container.pid = Some(std::process::id());
        let root = std::fs::metadata("/").unwrap().dev();
        let found = open_in_layer(&container);
        // Where /tmp is a filesystem of its own, it is no part of this process's root.
        assert_eq!(
            found.contains(&path),
            written.metadata().unwrap().dev() == root,
            "{found:?}"
        );
        drop(written);
        let _read = std::fs::File::open(&path).unwrap();
        assert!(!open_in_layer(&container).contains(&path));
    }

    #[test]
    fn a_database_that_is_open_is_named_once() {
        let open = ["/a.db", "/a.db-shm", "/a.db-wal", "/b.db-wal", "/run.log"];
        let named = without_companions(&open.map(PathBuf::from).into());
        assert_eq!(named, ["/a.db", "/b.db-wal", "/run.log"].map(PathBuf::from));
    }

    #[test]
    fn databases_are_known_by_their_names() {
        for (name, is) in [
            ("/app/webui.db", true),
            ("/app/chroma.sqlite3-wal", true),
            ("/var/log/app.log", false),
            ("/app/db", false),
        ] {
            assert_eq!(is_named_like_a_database(Path::new(name)), is, "{name}");
        }
    }
}
