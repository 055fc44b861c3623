//! What `podman container inspect` and `podman image inspect` say, as far as it is used.
//!
//! Only names that every Podman since 4.0 has are required; the rest is absent where it is not told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Inspected")]
pub struct Container {
    /// 64 hexadecimal digits; another at each start of a unit that has `--rm`.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// The id of its image: the hash of the image's configuration, 64 hexadecimal digits.
    pub image_id: String,
    /// The digest of its image's manifest, `sha256:…`.
    pub image_digest: Option<String>,
    /// The image as it was asked for.
    pub image_name: Option<String>,
    /// When it was started; absent if it never was.
    pub started_at: Option<Timestamp>,
    /// Whether it runs now; a paused one does.
    pub running: bool,
    /// Whether it is frozen.
    pub paused: bool,
    /// The number of its first process on the host, while it runs.
    pub pid: Option<u32>,
    /// Its control group below `/sys/fs/cgroup`.
    pub cgroup: Option<PathBuf>,
    /// What it sees of the host.
    pub mounts: Vec<Mount>,
    /// The storage driver, such as `overlay`.
    pub driver: String,
    /// The folder of its own layer: all that it wrote outside its mounts. Only `overlay` has one.
    pub upper: Option<PathBuf>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it goes with all of its layer when it ends (`--rm`).
    pub is_removed_at_end: bool,
}

/// A folder or file of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mount {
    /// In which way.
    #[serde(rename = "Type")]
    pub kind: Mounted,
    /// The volume's name, if it is one.
    pub name: Option<String>,
    /// Where it is on the host; empty for memory.
    #[serde(default)]
    pub source: PathBuf,
    /// Where the container sees it.
    pub destination: PathBuf,
    /// Whether it may write.
    #[serde(rename = "RW", default)]
    pub is_writable: bool,
}

/// In which way a container sees something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mounted {
    /// A path of the host.
    Bind,
    /// A volume of Podman's.
    Volume,
    /// Memory.
    Tmpfs,
    /// Anything else, such as an image.
    #[serde(other)]
    Other,
}

impl Container {
    /// Returns the mount through which the container sees `path`, the innermost if there are several.
    #[must_use]
    pub fn mount_of(&self, path: &Path) -> Option<&Mount> {
        self.mounts
            .iter()
            .filter(|m| path.starts_with(&m.destination))
            .max_by_key(|m| m.destination.components().count())
    }
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// The hash of its configuration, 64 hexadecimal digits.
    pub id: String,
    /// The digest of its manifest, `sha256:…`.
    pub digest: Option<String>,
    /// When it was built.
    pub created: Option<Timestamp>,
    /// Its names.
    #[serde(rename = "RepoTags", default, deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// Its names with the digests under which registries have it.
    #[serde(rename = "RepoDigests", default, deserialize_with = "or_default")]
    pub digests: Vec<String>,
}

/// Podman writes `null` for an empty list.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    image: String,
    image_digest: Option<String>,
    image_name: Option<String>,
    state: State,
    #[serde(default, deserialize_with = "or_default")]
    mounts: Vec<Mount>,
    graph_driver: Option<GraphDriver>,
    #[serde(default)]
    driver: String,
    config: Option<Config>,
    host_config: Option<HostConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    pid: u32,
    started_at: Option<Timestamp>,
    cgroup_path: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    data: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default, deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    auto_remove: bool,
}

impl From<Inspected> for Container {
    fn from(told: Inspected) -> Self {
        let upper = told
            .graph_driver
            .as_ref()
            .and_then(|d| d.data.get("UpperDir"))
            .filter(|upper| !upper.is_empty())
            .map(PathBuf::from);
        let State {
            running,
            paused,
            pid,
            started_at,
            cgroup_path,
        } = told.state;
        Self {
            id: told.id,
            name: told.name.trim_start_matches('/').to_owned(),
            image_id: told.image,
            image_digest: told.image_digest.filter(|d| !d.is_empty()),
            image_name: told.image_name.filter(|n| !n.is_empty()),
            // A container that was never started has the year 1.
            started_at: started_at.filter(|at| *at > Timestamp::UNIX_EPOCH),
            running: running || paused,
            paused,
            pid: Some(pid).filter(|pid| *pid > 0),
            cgroup: cgroup_path.filter(|path| !path.as_os_str().is_empty()),
            mounts: told.mounts,
            driver: told.graph_driver.map_or(told.driver, |d| d.name),
            upper,
            labels: told.config.map(|c| c.labels).unwrap_or_default(),
            is_removed_at_end: told.host_config.is_some_and(|h| h.auto_remove),
        }
    }
}
