//! Known images: where their data is inside the container, which stores it has, what healthy ones show.
//!
//! The facts stand in `nix/catalog.json`, which the Home Manager module reads too; the rules by which they apply
//! (which preset an image gets, which path it uses) are pure functions here and the same in Nix. A fact that is
//! not known for sure is absent: a store without a contract is only looked at as the format that it is.

pub mod store_file;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

pub use self::database::{DatabaseAt, StoreFileEnv};
use crate::catalog::store_file::{StoreFile, lay_over};
use crate::guard::{Guard, Store};
use crate::image::Image;

mod database;

static BUILTIN: LazyLock<Catalog> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../nix/catalog.json"))
        .expect("nix/catalog.json is part of this program, and a test reads it")
});

/// The environment variables of a container.
pub type Variables = BTreeMap<String, String>;

/// What is known of images.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Catalog {
    /// The version of the catalog's own format.
    pub schema: u32,
    /// Folders of the host by what is to be expected of them.
    pub host_folders: HostFolders,
    /// What is known, by name.
    pub presets: BTreeMap<String, Preset>,
}

/// Folders of the host by what is to be expected of them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostFolders {
    /// Those that do not outlive a boot, or are cleaned while it runs.
    pub ephemeral: Vec<PathBuf>,
    /// The system's own: nothing that an application makes is there.
    pub system: Vec<PathBuf>,
}

impl HostFolders {
    /// Returns the folder that the path is in and that does not outlive a boot.
    #[must_use]
    pub fn ephemeral_of(&self, path: &Path) -> Option<&Path> {
        self.ephemeral
            .iter()
            .map(PathBuf::as_path)
            .find(|folder| path.starts_with(folder))
    }

    /// Returns whether the path is the system's own.
    #[must_use]
    pub fn is_system(&self, path: &Path) -> bool {
        self.system.iter().any(|folder| path.starts_with(folder))
    }
}

/// What is known of one application's images.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Preset {
    /// What a person should know about it.
    pub note: Option<String>,
    /// Last components of the image names that it is for.
    pub images: Vec<String>,
    /// Where the container has its data, absolute; a preset without images may lack it.
    pub data_path: Option<PathBuf>,
    /// Other places where a mount at exactly that path is the data folder.
    #[serde(default)]
    pub also_data_paths: Vec<PathBuf>,
    /// The variable that moves the data.
    pub data_env: Option<String>,
    /// The folder below the data path that the variable moves, if it does not move all of it.
    pub data_env_folder: Option<PathBuf>,
    /// Tags whose images have their data elsewhere; the first that matches counts.
    #[serde(default)]
    pub by_tag: Vec<ByTag>,
    /// Whether losing the data is a loss.
    pub volume: Volume,
    /// Whether only files taken while the application is down are a usable copy.
    #[serde(default)]
    pub at_rest_only: bool,
    /// Further data folders of the same container, as presets of their own.
    #[serde(default)]
    pub extra_folders: Vec<ExtraFolder>,
    /// What is not kept, relative to the data folder.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Which variable puts the SQLite file of a store somewhere else.
    #[serde(default)]
    pub store_file_env: BTreeMap<String, StoreFileEnv>,
    /// What belongs to the data and is often mounted elsewhere.
    #[serde(default)]
    pub parts: Vec<Part>,
    /// Stores that are only there if each of these variables is unset or matches one of the patterns.
    #[serde(default)]
    pub store_unless_env: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The data stores inside the folder.
    pub stores: BTreeMap<String, StoreFile>,
}

/// Where images with certain tags have their data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ByTag {
    /// Tags, `*` matches any run of characters.
    pub tags: Vec<String>,
    /// In place of the preset's path.
    pub data_path: PathBuf,
    /// In place of the preset's variable.
    pub data_env: Option<String>,
}

/// A further data folder of the same container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtraFolder {
    /// Tags, `*` matches any run of characters; `*` alone also matches an image without a tag.
    pub tags: Vec<String>,
    /// The preset of that folder.
    pub preset: String,
}

/// A part of the data that is often mounted elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Part {
    /// Where it is, relative to the data folder.
    pub path: PathBuf,
    /// The variable that moves it.
    pub variable: String,
}

/// Whether a container without a volume for its data loses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Volume {
    /// The data would be lost.
    Required,
    /// A cache: losing it is normal.
    Optional,
}

/// Where a container has its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPath {
    /// The paths in order of preference: a mount at exactly one of them wins, else the first that lies below one.
    pub candidates: Vec<PathBuf>,
    /// What store paths begin with that is not part of this folder, because a variable moved only a part.
    pub moved_folder: Option<PathBuf>,
    /// The same for a container that mounts nothing but the part that a variable could move.
    pub part: Option<Box<DataPath>>,
}

impl Catalog {
    /// Returns the catalog that belongs to this program.
    #[must_use]
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Returns the preset of that name.
    #[must_use]
    pub fn preset(&self, name: &str) -> Option<&Preset> {
        self.presets.get(name)
    }

    /// Returns the names of all presets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.presets.keys().map(String::as_str)
    }

    /// Returns the presets of an image's data folders: its own first, then those of further folders.
    #[must_use]
    pub fn for_image(&self, image: &Image) -> Vec<(&str, &Preset)> {
        let Some((name, own)) = self
            .presets
            .iter()
            .find(|(_, preset)| preset.images.iter().any(|known| image.is(known)))
        else {
            return Vec::new();
        };
        let mut folders = vec![(name.as_str(), own)];
        for extra in &own.extra_folders {
            let tag = image.tag.as_deref().unwrap_or_default();
            if extra.tags.iter().any(|t| matches_wildcard(t, tag))
                && let Some((name, preset)) = self.presets.get_key_value(&extra.preset)
            {
                folders.push((name.as_str(), preset));
            }
        }
        folders
    }

    /// Returns where the container of a guard has its data: what the paths that its databases hold are relative to. Where
    /// the settings do not say it, the preset knows, unless they have the preset's stores at other places.
    #[must_use]
    pub fn mount<'g>(&'g self, guard: &'g Guard) -> Option<&'g Path> {
        let by_preset = || {
            let preset = self.preset(guard.preset.as_deref()?)?;
            let is_moved = |store: &Store| {
                let known = preset.stores.get(&store.name).and_then(|s| s.path.as_ref());
                known.is_some_and(|path| Path::new(path) != store.path)
            };
            let is_as_known = !guard.stores.iter().any(is_moved);
            preset.data_path.as_deref().filter(|_| is_as_known)
        };
        guard.mount.as_deref().or_else(by_preset)
    }
}

impl Preset {
    /// Returns where a container of this tag and with these variables has its data.
    ///
    /// # Errors
    /// The variable and its value, if it moves the data to a place that cannot be told.
    pub fn data_path(
        &self,
        tag: Option<&str>,
        variables: &Variables,
    ) -> Result<Option<DataPath>, (String, String)> {
        let tag = tag.unwrap_or_default();
        let by_tag = self
            .by_tag
            .iter()
            .find(|b| b.tags.iter().any(|t| matches_wildcard(t, tag)));
        let (paths, variable) = match by_tag {
            Some(found) => (vec![found.data_path.clone()], found.data_env.as_deref()),
            None => (
                self.data_path
                    .iter()
                    .chain(&self.also_data_paths)
                    .cloned()
                    .collect(),
                self.data_env.as_deref(),
            ),
        };
        let moved = variable.and_then(|name| {
            let value = variables.get(name).filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        if let Some((name, value)) = moved {
            let Some(to) = container_path(value) else {
                return Err((name.to_owned(), value.clone()));
            };
            let folder = self.data_env_folder.clone();
            let stays = match &folder {
                Some(folder) => paths.first().is_some_and(|path| path.join(folder) == to),
                None => paths.first() == Some(&to),
            };
            if !stays {
                return Ok(Some(DataPath {
                    candidates: vec![to],
                    moved_folder: folder,
                    part: None,
                }));
            }
        }
        let part = self.data_env_folder.as_ref().and_then(|folder| {
            Some(Box::new(DataPath {
                candidates: vec![paths.first()?.join(folder)],
                moved_folder: Some(folder.clone()),
                part: None,
            }))
        });
        Ok((!paths.is_empty()).then_some(DataPath {
            candidates: paths,
            moved_folder: None,
            part,
        }))
    }

    /// Returns whether what such a container must not lose is elsewhere, on a server.
    #[must_use]
    pub fn is_elsewhere(&self, variables: &Variables) -> bool {
        let there = self.stores(variables);
        let mut needed = self
            .stores
            .iter()
            .filter(|(_, store)| !store.optional.unwrap_or_default())
            .map(|(name, _)| name)
            .peekable();
        needed.peek().is_some() && needed.all(|name| !there.contains_key(name))
    }

    /// Returns the stores that a container with these variables has; without variables, all of them.
    #[must_use]
    pub fn stores(&self, variables: &Variables) -> BTreeMap<String, StoreFile> {
        self.stores
            .iter()
            .filter(|(name, _)| self.database_at(name, variables) != DatabaseAt::Elsewhere)
            .filter(|(name, _)| {
                self.store_unless_env.get(*name).is_none_or(|rules| {
                    rules.iter().all(|(variable, patterns)| {
                        variables
                            .get(variable)
                            .filter(|value| !value.is_empty())
                            .is_none_or(|value| patterns.iter().any(|p| matches_wildcard(p, value)))
                    })
                })
            })
            .map(|(name, store)| (name.clone(), store.clone()))
            .collect()
    }
}

/// Returns a path as a container sees it, without `.` and doubled slashes; none if it is not absolute or has `..`.
#[must_use]
pub fn container_path(text: &str) -> Option<PathBuf> {
    if !text.starts_with('/') {
        return None;
    }
    let mut path = PathBuf::from("/");
    for component in Path::new(text).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Returns whether a text matches a pattern in which `*` stands for any run of characters, and nothing else is special.
#[must_use]
pub fn matches_wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// Returns a preset's stores with what is written laid over them, as JSON.
pub(crate) fn overlay_stores(
    preset: BTreeMap<String, StoreFile>,
    written: BTreeMap<String, Option<Value>>,
) -> BTreeMap<String, Value> {
    let mut stores: BTreeMap<String, Value> = preset
        .into_iter()
        .filter_map(|(name, store)| Some((name, serde_json::to_value(store).ok()?)))
        .collect();
    for (name, store) in written {
        match store {
            None => {
                stores.remove(&name);
            }
            Some(store) => lay_over(
                stores
                    .entry(name)
                    .or_insert_with(|| Value::Object(serde_json::Map::new())),
                store,
                2,
            ),
        }
    }
    stores
}

#[cfg(test)]
mod tests;
