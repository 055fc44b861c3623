//! The control groups of containers that run now, to freeze them: as Podman tells them, or as its files do.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::{Podman, Storage};
use crate::capture::freeze::Cgroups;
use crate::error::{Error, Result};

/// Where control groups of version 2 are mounted, alone or beside those of version 1.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// The containers of guards. Podman is asked when they are to be frozen, and once.
#[derive(Debug)]
pub struct Containers {
    podman: Podman,
    names: Vec<String>,
    found: OnceCell<Vec<PathBuf>>,
}

impl Containers {
    /// Returns the containers with these names.
    #[must_use]
    pub fn new(podman: Podman, names: Vec<String>) -> Self {
        Self {
            podman,
            names,
            found: OnceCell::new(),
        }
    }
}

impl Cgroups for Containers {
    /// Returns the folders of those that run. One that does not run writes nothing.
    fn find(&self) -> Result<Vec<PathBuf>> {
        if let Some(found) = self.found.get() {
            return Ok(found.clone());
        }
        let mut found = Vec::new();
        for name in &self.names {
            let Some(container) = self.podman.container(name)?.filter(|c| c.running) else {
                continue;
            };
            let below = container.cgroup.ok_or_else(|| Error::CouldNot {
                what: format!("Podman does not tell the control group of `{name}`"),
                hint: None,
            })?;
            let below = below.strip_prefix("/").unwrap_or(&below);
            let folder = freezable(below).ok_or_else(|| Error::CouldNot {
                what: format!("`{}/{}` cannot be frozen", CGROUPS[0], below.display()),
                hint: Some("control groups of version 2 are needed".into()),
            })?;
            if !found.contains(&folder) {
                found.push(folder);
            }
        }
        let _ = self.found.set(found.clone());
        Ok(found)
    }
}

fn freezable(below: &Path) -> Option<PathBuf> {
    let mut folders = CGROUPS.iter().map(|root| Path::new(root).join(below));
    folders.find(|f| f.join("cgroup.freeze").exists())
}

/// Returns the control group of a container that runs, without calling Podman; `None` if it does not run, or that cannot be
/// told.
#[must_use]
pub fn of_running(storage: &Storage, id: &str) -> Option<PathBuf> {
    let pid = first_process(storage, id)?;
    let listed = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    freezable(&named_for(&listed, id)?)
}

/// Returns whether a container that was started has ended, though Podman may not have cleared it up yet, without calling
/// Podman. `false` where that cannot be told.
#[must_use]
pub fn has_ended(storage: &Storage, id: &str) -> bool {
    let Some(pid) = first_process(storage, id) else {
        return false;
    };
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the name, which may hold anything (proc(5)): a zombie is no application any more.
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Returns the number of a container's first process, which Podman notes in its runtime folder.
fn first_process(storage: &Storage, id: &str) -> Option<u32> {
    let text = std::fs::read_to_string(storage.pid_file(id)?).ok()?;
    text.trim().parse().ok()
}

/// Returns the control group that bears the container's id, of those that a process is in (cgroups(7)): what the container
/// made below is frozen with it. A process that has its number by now is in none.
fn named_for(listed: &str, id: &str) -> Option<PathBuf> {
    let path = listed.lines().find_map(|l| l.strip_prefix("0::/"))?;
    let path = Path::new(path);
    let is_named = |folder: &&Path| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.contains(id)
    };
    path.ancestors().filter(is_named).last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    #[test]
    fn the_group_that_bears_the_id_is_the_containers_and_no_other_is() {
        for (listed, expected) in [
            (
                "0::/user.slice/user-1000.slice/web.service/libpod-payload-c0ffee\n",
                Some("user.slice/user-1000.slice/web.service/libpod-payload-c0ffee"),
            ),
            (
                "1:name=systemd:/x\n0::/machine.slice/libpod-c0ffee.scope/container/system.slice\n",
                Some("machine.slice/libpod-c0ffee.scope"),
            ),
            ("0::/user.slice/another.service\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(
                named_for(listed, "c0ffee"),
                expected.map(PathBuf::from),
                "{listed:?}"
            );
        }
    }

    #[test]
    fn a_container_has_ended_when_its_first_process_is_a_zombie_or_gone() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            runtime: Some(folder.path().to_owned()),
            ..Environment::of_home(folder.path())
        };
        let storage = Storage::of(&environment);
        let file = storage.pid_file("c0ffee").unwrap();
        assert!(!has_ended(&storage, "c0ffee"), "nothing is known of it");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut process = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::fs::write(&file, process.id().to_string()).unwrap();
        assert!(!has_ended(&storage, "c0ffee"), "it runs");
        // Without its input it ends, and nobody has asked after it.
        drop(process.stdin.take());
        while !has_ended(&storage, "c0ffee") {
            std::thread::yield_now();
        }
        process.wait().unwrap();
        assert!(has_ended(&storage, "c0ffee"), "it is gone");
    }
}
