//! The control groups of containers that run now, to freeze them.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use super::Podman;
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
            let folders = CGROUPS.map(|root| Path::new(root).join(below));
            let freezable = folders.iter().find(|f| f.join("cgroup.freeze").exists());
            let folder = freezable.cloned().ok_or_else(|| Error::CouldNot {
                what: format!("`{}` cannot be frozen", folders[0].display()),
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
