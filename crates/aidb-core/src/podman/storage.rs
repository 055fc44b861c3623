//! Podman's storage as it lies on disk, read without calling Podman.
//!
//! A container of a unit has `--rm`: it is listed in `overlay-containers/volatile-containers.json`, every other one in
//! `containers.json` beside it; what it wrote outside its mounts is `overlay/LAYER/diff` (seen with Podman 5.4; the
//! format is that of containers/storage). The first call of a boot is known by Podman's own sign: without the file
//! `$XDG_RUNTIME_DIR/libpod/tmp/alive` it takes every container for one of an earlier boot, and removes those with `--rm`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, IoContext, Result};
use crate::settings::Environment;

/// The settings that hold where the user has none, in the order in which they are looked for.
const SYSTEM_SETTINGS: [&str; 2] = [
    "/etc/containers/storage.conf",
    "/usr/share/containers/storage.conf",
];

/// Where Podman keeps images, containers and layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The folder with `overlay`, `overlay-containers` and so on.
    pub root: PathBuf,
    /// The driver that the settings name; `overlay` without any.
    pub driver: String,
    /// Podman's folder for what does not outlive a boot; unknown without `$XDG_RUNTIME_DIR`.
    runtime: Option<PathBuf>,
}

/// A container as the storage knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The id of its image.
    pub image_id: String,
    /// The image as it was asked for, its name completed.
    pub image_name: Option<String>,
    /// When it was made, as Podman wrote it (RFC 3339).
    pub created: String,
    /// Whether it goes with its layer when it ends.
    pub is_volatile: bool,
    /// The folder of its own layer.
    pub upper: PathBuf,
}

/// What runs in a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// The command with its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// `NAME=VALUE`.
    #[serde(default)]
    pub env: Vec<String>,
}

#[derive(Deserialize)]
struct Configuration {
    process: Option<Process>,
    #[serde(default)]
    mounts: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    destination: PathBuf,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    source: PathBuf,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    layer: String,
    #[serde(default)]
    created: String,
    /// Podman's own notes, JSON in a string.
    #[serde(default)]
    metadata: String,
}

#[derive(Deserialize)]
struct ListedImage {
    id: String,
    digest: Option<String>,
    #[serde(default)]
    names: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Notes {
    image_name: Option<String>,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(default)]
    storage: Options,
}

#[derive(Default, Deserialize)]
struct Options {
    driver: Option<String>,
    graphroot: Option<String>,
    rootless_storage_path: Option<String>,
}

impl Storage {
    /// Returns where the storage is: as `$CONTAINERS_STORAGE_CONF`, the user's or the system's `storage.conf` say, else
    /// in the usual place. A file that cannot be read or understood counts as absent, as Podman would not run with it.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let mine = environment
            .storage_settings
            .clone()
            .unwrap_or_else(|| environment.config_home.join("containers/storage.conf"));
        let mine = read(&mine);
        let is_mine = mine.is_some();
        let system = || {
            SYSTEM_SETTINGS
                .iter()
                .find_map(|file| read(Path::new(file)))
        };
        let options = mine.or_else(system).unwrap_or_default();
        // Inside the user namespace everybody is root; whose storage it is does not change by that.
        let is_root = rustix::process::geteuid().is_root() && !crate::userns::is_inside();
        // The system's `graphroot` is root's; a user has her own even with the system's file.
        let named = options
            .graphroot
            .filter(|_| is_mine || is_root)
            .or(options.rootless_storage_path.filter(|_| !is_root))
            .map(|text| expand(&text, environment));
        let usual = || {
            if is_root {
                PathBuf::from("/var/lib/containers/storage")
            } else {
                environment.data_home.join("containers/storage")
            }
        };
        Self {
            root: named.filter(|p| p.is_absolute()).unwrap_or_else(usual),
            driver: options
                .driver
                .filter(|d| !d.is_empty())
                .unwrap_or_else(|| "overlay".to_owned()),
            runtime: environment.runtime.clone(),
        }
    }

    /// Returns the containers of the storage, without calling Podman.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if the driver keeps no folder for each layer, or if a list cannot be understood;
    /// [`Error::Io`] if it cannot be read.
    pub fn containers(&self) -> Result<Vec<Stored>> {
        if self.driver != "overlay" {
            return Err(Error::CouldNot {
                what: format!(
                    "Podman's storage driver is `{}`; what containers write is found with `overlay` only",
                    self.driver
                ),
                hint: None,
            });
        }
        let mut found = self.list("containers.json", false)?;
        found.extend(self.list("volatile-containers.json", true)?);
        Ok(found)
    }

    fn list(&self, name: &str, is_volatile: bool) -> Result<Vec<Stored>> {
        let path = self.root.join("overlay-containers").join(name);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).doing("read", &path),
        };
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let listed: Vec<Listed> = serde_json::from_slice(&text).map_err(|e| Error::CouldNot {
            what: format!("`{}` cannot be understood: {e}", path.display()),
            hint: None,
        })?;
        // A layer's name is part of a path.
        let is_id =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric());
        Ok(listed
            .into_iter()
            .filter(|c| is_id(&c.layer))
            .map(|c| Stored {
                upper: self.root.join("overlay").join(&c.layer).join("diff"),
                name: c.names.into_iter().next().unwrap_or_default(),
                id: c.id,
                image_id: c.image,
                image_name: serde_json::from_str::<Notes>(&c.metadata)
                    .ok()
                    .and_then(|notes| notes.image_name)
                    .filter(|name| !name.is_empty()),
                created: c.created,
                is_volatile,
            })
            .collect())
    }

    /// Returns whether the storage is what this module reads: where the settings say, with a list of containers.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.driver == "overlay" && self.root.join("overlay-containers").is_dir()
    }

    /// Returns where a container sees something of the host, as its own configuration says; nothing if that cannot be read.
    #[must_use]
    pub fn mount_points(&self, id: &str) -> Vec<PathBuf> {
        let mounts = self.configuration(id).map(|c| c.mounts).unwrap_or_default();
        mounts.into_iter().map(|m| m.destination).collect()
    }

    /// Returns what a container sees of the host and may not write: source and destination. What Podman itself mounts,
    /// from its own folders, is left out.
    #[must_use]
    pub fn read_only_binds(&self, id: &str) -> Vec<(PathBuf, PathBuf)> {
        let mounts = self.configuration(id).map(|c| c.mounts).unwrap_or_default();
        let is_podmans = |path: &Path| {
            let runtime = self.runtime.as_ref();
            path.starts_with(&self.root) || runtime.is_some_and(|r| path.starts_with(r))
        };
        mounts
            .into_iter()
            .filter(|m| m.kind == "bind" && m.options.iter().any(|o| o == "ro"))
            .filter(|m| m.source.is_absolute() && !is_podmans(&m.source))
            .map(|m| (m.source, m.destination))
            .collect()
    }

    /// Returns what runs in a container, as its own configuration says; `None` if that cannot be read.
    #[must_use]
    pub fn process(&self, id: &str) -> Option<Process> {
        self.configuration(id)?.process
    }

    /// Returns the file in which Podman notes the first process of a container that runs.
    pub(super) fn pid_file(&self, id: &str) -> Option<PathBuf> {
        let containers = self.runtime.as_ref()?.join("containers/overlay-containers");
        Some(containers.join(id).join("userdata/pidfile"))
    }

    /// Reads a container's configuration (OCI runtime specification).
    fn configuration(&self, id: &str) -> Option<Configuration> {
        let folder = self.root.join("overlay-containers").join(id);
        let text = std::fs::read(folder.join("userdata/config.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Returns the digest of an image's manifest, without calling Podman; `None` if it cannot be found.
    #[must_use]
    pub fn image_digest(&self, id: &str) -> Option<String> {
        self.images().into_iter().find(|i| i.id == id)?.digest
    }

    /// Returns the id of the image with this digest, whatever its names are by now; `None` if it cannot be found.
    #[must_use]
    pub fn image_of_digest(&self, digest: &str) -> Option<String> {
        let mut images = self.images().into_iter();
        let found = images.find(|i| i.digest.as_deref() == Some(digest))?;
        Some(found.id)
    }

    /// Returns the digest of the image that has this name now; `None` if none has it. A name is what a registry or a build
    /// gives to one image after another, as `localhost/web:1` or `registry/web@sha256:…`.
    #[must_use]
    pub fn digest_of_name(&self, name: &str) -> Option<String> {
        let mut images = self.images().into_iter();
        let has_name = |i: &ListedImage| i.names.iter().flatten().any(|n| n == name);
        images.find(has_name)?.digest
    }

    fn images(&self) -> Vec<ListedImage> {
        let text = std::fs::read(self.root.join("overlay-images/images.json"));
        serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default()
    }

    /// Returns the container of that name, without calling Podman.
    ///
    /// # Errors
    /// As [`Self::containers`].
    pub fn container(&self, name: &str) -> Result<Option<Stored>> {
        Ok(self.containers()?.into_iter().find(|c| c.name == name))
    }

    /// Returns the containers that Podman's next call would remove with their layers, because they are of an earlier
    /// boot. None if Podman was called since this boot.
    ///
    /// # Errors
    /// As [`Self::containers`].
    pub fn left_by_earlier_boot(&self) -> Result<Vec<Stored>> {
        if self.has_been_called() {
            return Ok(Vec::new());
        }
        let mut containers = self.containers()?;
        containers.retain(|c| c.is_volatile);
        Ok(containers)
    }

    /// Returns whether Podman was called since this boot. Without a runtime folder it is not known, and taken for yes.
    fn has_been_called(&self) -> bool {
        self.runtime
            .as_ref()
            .is_none_or(|runtime| runtime.join("libpod/tmp/alive").exists())
    }

    /// Notes that the layers of an earlier boot were read, so that Podman may be called.
    ///
    /// # Errors
    /// [`Error::Io`] if the sign cannot be made.
    pub fn note_layers_read(&self) -> Result<()> {
        let Some(sign) = self.sign() else {
            return Ok(());
        };
        if let Some(folder) = sign.parent() {
            std::fs::create_dir_all(folder).doing("make the folder", folder)?;
        }
        std::fs::File::create(&sign).doing("make the sign", &sign)?;
        Ok(())
    }

    /// Refuses to be Podman's first call of a boot while layers of an earlier one are there that nobody has read.
    pub(super) fn refuse_first_call(&self) -> Result<()> {
        if self.has_been_called() || self.sign().is_some_and(|sign| sign.exists()) {
            return Ok(());
        }
        // That the storage cannot be read does not make Podman's call any worse.
        let left = self.left_by_earlier_boot().unwrap_or_default();
        let Some(first) = left.first() else {
            return Ok(());
        };
        Err(Error::CouldNot {
            what: format!(
                "Podman was not called since this boot, and its first call removes what {} left: `{}`",
                if left.len() == 1 {
                    "a container"
                } else {
                    "containers"
                },
                first.name.escape_debug()
            ),
            hint: Some("`aidb rescue` keeps it first".into()),
        })
    }

    /// The file that says so; it goes with the boot, like Podman's own.
    fn sign(&self) -> Option<PathBuf> {
        Some(self.runtime.as_ref()?.join("aidb/layers-read"))
    }
}

/// Reads a `storage.conf`; `None` if it is absent or cannot be understood.
fn read(path: &Path) -> Option<Options> {
    let text = std::fs::read_to_string(path).ok()?;
    toml::from_str::<File>(&text).ok().map(|file| file.storage)
}

/// Puts in what containers/storage puts in: `$HOME`, `$UID` and a leading `~/`.
fn expand(text: &str, environment: &Environment) -> PathBuf {
    let home = environment.home.to_string_lossy();
    let uid = rustix::process::getuid().as_raw().to_string();
    let text = text
        .replace("${HOME}", &home)
        .replace("$HOME", &home)
        .replace("${UID}", &uid)
        .replace("$UID", &uid);
    match text.strip_prefix("~/") {
        Some(rest) => environment.home.join(rest),
        None => PathBuf::from(text),
    }
}
