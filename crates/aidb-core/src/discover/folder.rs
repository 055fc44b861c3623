//! The data folders of one declared container, and where they are on the host. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::declared::Container;
use super::keeps_nothing::keeps_nothing;
use super::volume::{Access, Mount, MountSource, find, nested};
use super::volume_unit::{Place, Volumes};
use crate::catalog::store_file::StoreFile;
use crate::catalog::{DataPath, Preset, Volume};
use crate::guard::NestedMount;
use crate::settings::{DiscoverProblem, DiscoverProblemKind, Environment};

/// A folder that a container can have a guard of.
pub(super) struct Candidate<'a> {
    /// The guard's name.
    pub name: String,
    pub preset_name: &'a str,
    pub preset: &'a Preset,
    tag: Option<&'a str>,
    /// The store whose database a variable has moved out of the other folders, and where the container has it.
    database: Option<(&'a str, PathBuf)>,
}

/// A data folder that a container keeps.
pub(super) struct Folder<'a> {
    pub on: &'a Mount,
    pub data: PathBuf,
    pub mount: PathBuf,
    pub moved: Option<PathBuf>,
    pub stores: BTreeMap<String, StoreFile>,
    pub nested: Vec<NestedMount>,
    /// What belongs to the data and is elsewhere: where the container has it, and the host.
    pub outside: Vec<(PathBuf, Option<PathBuf>)>,
}

/// What is a container's, by its mounts and variables.
pub(super) struct Folders<'a> {
    pub container: &'a Container,
    pub volumes: &'a Volumes,
    pub environment: &'a Environment,
}

impl<'a> Folders<'a> {
    /// Returns the folders of these presets, then those of databases that a variable has moved out of them.
    pub fn candidates(
        &self,
        presets: &[(&'a str, &'a Preset)],
        tag: Option<&'a str>,
    ) -> Vec<Candidate<'a>> {
        let name = &self.container.name;
        let mut candidates: Vec<Candidate> = presets
            .iter()
            .enumerate()
            .map(|(index, &(preset_name, preset))| Candidate {
                name: match index {
                    0 => name.clone(),
                    _ => format!("{name}.{preset_name}"),
                },
                preset_name,
                preset,
                tag,
                database: None,
            })
            .collect();
        let mut databases = Vec::new();
        for folder in &candidates {
            let found = self.folder(folder);
            for (store, at) in folder.preset.moved_databases(&self.container.variables) {
                if self.below_folder(folder, &found, &at).is_none() {
                    databases.push(Candidate {
                        name: format!("{name}.{store}"),
                        database: Some((store, at)),
                        ..*folder
                    });
                }
            }
        }
        candidates.append(&mut databases);
        candidates
    }

    /// Returns where a moved database is below a data folder; none if it is not in there.
    fn below_folder(
        &self,
        candidate: &Candidate,
        found: &Result<Option<Folder>, Box<DiscoverProblem>>,
        at: &Path,
    ) -> Option<PathBuf> {
        match found {
            Ok(Some(folder)) => self.below_data(&folder.data, at),
            Ok(None) => None,
            Err(_) => {
                let place = self.place(candidate).ok()??;
                Some(at.strip_prefix(place.candidates.first()?).ok()?.to_owned())
            }
        }
    }

    fn below_data(&self, data: &Path, at: &Path) -> Option<PathBuf> {
        Some(self.host_at(at)?.strip_prefix(data).ok()?.to_owned())
    }

    /// Returns where the data of a candidate is looked for.
    fn place(&self, candidate: &Candidate) -> Result<Option<DataPath>, (String, String)> {
        if let Some((_, at)) = &candidate.database {
            return Ok(at.parent().map(|parent| DataPath {
                candidates: vec![parent.to_owned()],
                moved_folder: None,
                part: None,
            }));
        }
        let is_mounted =
            |place: &DataPath| find(&self.container.mounts, &place.candidates).is_some();
        let whole = candidate
            .preset
            .data_path(candidate.tag, &self.container.variables)?;
        Ok(whole.map(|mut whole| match whole.part.take() {
            Some(part) if !is_mounted(&whole) && is_mounted(&part) => *part,
            _ => whole,
        }))
    }

    /// Returns the folder of a candidate; none if the container has none and that is normal.
    pub fn folder(
        &self,
        candidate: &Candidate,
    ) -> Result<Option<Folder<'a>>, Box<DiscoverProblem>> {
        let preset = candidate.preset;
        let variables = &self.container.variables;
        let path = match self.place(candidate) {
            Ok(Some(path)) => path,
            Ok(None) => return Ok(None),
            Err((variable, value)) => return Err(Box::new(self.unclear(&variable, &value))),
        };
        let wanted = &path.candidates[0];
        let lost = |found: &str, hint: Option<String>| {
            if candidate.database.is_none() && preset.is_elsewhere(variables) {
                Ok(None)
            } else {
                Err(Box::new(self.lost(wanted, found, hint)))
            }
        };
        let mount_it = || {
            Some(format!(
                "add `Volume=%h/{}:{}` to `{}`",
                candidate.name,
                wanted.display(),
                self.container.file.display()
            ))
        };
        let mounts = &self.container.mounts;
        if let Some((_, file)) = &candidate.database
            && mounts.iter().any(|m| m.target == *file)
        {
            let found = format!(
                "`{}` alone, and what SQLite writes beside it goes with the container",
                file.display()
            );
            return lost(&found, mount_it());
        }
        let Some(under) = find(mounts, &path.candidates) else {
            return match preset.volume {
                Volume::Optional => Ok(None),
                Volume::Required => lost(
                    "none: it would be written to the container's own layer",
                    mount_it(),
                ),
            };
        };
        if preset.volume == Volume::Optional && !self.keeps(under.mount) {
            return Ok(None);
        }
        match under.mount.access {
            Access::Overlay => {
                return lost(
                    "one with `O`, whose writes vanish with the container",
                    Some("take `O` away from the volume's options".to_owned()),
                );
            }
            Access::ReadOnly => {
                return lost(
                    "one with `ro`, which the container cannot write",
                    Some("take `ro` away from the volume's options".to_owned()),
                );
            }
            Access::Writable => {}
        }
        let Some(data) = self.host(under.mount, &under.below) else {
            let is_memory = self.is_in_memory(under.mount);
            let (found, hint) = keeps_nothing(&under.mount.source, is_memory);
            return lost(&found, hint.map(str::to_owned).or_else(mount_it));
        };
        let inner = nested(mounts, &under.path);
        let nested = inner
            .iter()
            .filter_map(|inner| {
                Some(NestedMount {
                    below: inner.target.strip_prefix(&under.path).ok()?.to_owned(),
                    host: self.host(inner, Path::new("")),
                })
            })
            .collect();
        let outside = match candidate.database {
            Some(_) => Vec::new(),
            None => self.outside(preset, &data, &under.path, &inner),
        };
        Ok(Some(Folder {
            on: under.mount,
            stores: self.stores(candidate, &data),
            data,
            mount: under.path,
            moved: path.moved_folder,
            nested,
            outside,
        }))
    }

    /// Returns the stores of a candidate's folder: a database that a variable has moved is where that says.
    fn stores(&self, candidate: &Candidate, data: &Path) -> BTreeMap<String, StoreFile> {
        let variables = &self.container.variables;
        let mut stores = candidate.preset.stores(variables);
        let text = |path: &Path| Some(path.to_string_lossy().into_owned());
        if let Some((own, at)) = &candidate.database {
            stores.retain(|name, _| name == own);
            for store in stores.values_mut() {
                store.path = at.file_name().and_then(|name| text(Path::new(name)));
            }
            return stores;
        }
        for (name, at) in candidate.preset.moved_databases(variables) {
            match (self.below_data(data, &at), stores.get_mut(name)) {
                (Some(below), Some(store)) => store.path = text(&below),
                _ => {
                    stores.remove(name);
                }
            }
        }
        stores
    }

    /// Returns what belongs to a folder's data and is elsewhere.
    fn outside(
        &self,
        preset: &Preset,
        data: &Path,
        mount: &Path,
        inner: &[&Mount],
    ) -> Vec<(PathBuf, Option<PathBuf>)> {
        let variables = &self.container.variables;
        let mut outside: Vec<(PathBuf, Option<PathBuf>)> = preset
            .parts
            .iter()
            .filter_map(
                |part| match variables.get(&part.variable).filter(|v| !v.is_empty()) {
                    Some(moved) => crate::catalog::container_path(moved),
                    None => Some(mount.join(&part.path)),
                },
            )
            .map(|at| {
                let host = self.host_at(&at);
                (at, host)
            })
            .filter(|(_, host)| host.as_ref().is_none_or(|host| !host.starts_with(data)))
            .collect();
        // The files of a server belong together, whatever is in them.
        if preset.at_rest_only {
            for inner in inner.iter().filter(|inner| self.keeps(inner)) {
                let part = (inner.target.clone(), self.host(inner, Path::new("")));
                if !outside.contains(&part) {
                    outside.push(part);
                }
            }
        }
        outside
    }

    /// Returns where a volume's data is; none if the mount is of no volume, or of one that there is not.
    fn place_of(&self, mount: &Mount) -> Option<Place> {
        match &mount.source {
            MountSource::Volume { name, .. } => Some(self.volumes.of_name(name, self.environment)),
            MountSource::VolumeUnit(unit) => {
                self.volumes
                    .of_unit(unit, self.container.home_manager, self.environment)
            }
            MountSource::Folder(_) | MountSource::Memory | MountSource::Unusable(_) => None,
        }
    }

    fn is_in_memory(&self, mount: &Mount) -> bool {
        self.place_of(mount) == Some(Place::Memory)
    }

    /// Returns whether what the container writes to a mount stays on the host.
    pub fn keeps(&self, mount: &Mount) -> bool {
        mount.keeps() && !self.is_in_memory(mount)
    }

    /// Returns the folder on the host of what lies below a mount.
    pub fn host(&self, mount: &Mount, below: &Path) -> Option<PathBuf> {
        let host = match (&mount.source, self.place_of(mount)) {
            (MountSource::Folder(path), _) => path.clone(),
            (MountSource::Volume { folder, .. }, Some(Place::Folder(volume))) => {
                volume.join(folder)
            }
            (_, Some(Place::Folder(volume))) => volume,
            _ => return None,
        };
        Some(host.join(below).components().collect())
    }

    /// Returns what the container sees at a path of its own.
    fn host_at(&self, at: &Path) -> Option<PathBuf> {
        let under = find(&self.container.mounts, &[at.to_owned()])?;
        self.host(under.mount, &under.below)
    }

    /// Returns what is said of data at a path of the container that nothing keeps.
    pub fn lost(&self, path: &Path, found: &str, hint: Option<String>) -> DiscoverProblem {
        self.not_kept(
            format!(
                "expected a volume that keeps `{}` of container `{}`, found {found}",
                path.display(),
                self.container.name
            ),
            hint,
        )
    }

    fn unclear(&self, variable: &str, value: &str) -> DiscoverProblem {
        self.not_kept(
            format!(
                "expected an absolute path in `{variable}` of container `{}`, found `{}`, so it cannot be told where its data is",
                self.container.name,
                value.escape_debug()
            ),
            Some(format!(
                "write `{variable}` as an absolute path on a volume"
            )),
        )
    }

    fn not_kept(&self, what: String, hint: Option<String>) -> DiscoverProblem {
        DiscoverProblem {
            container: Some(self.container.name.clone()),
            file: self.container.file.clone(),
            kind: DiscoverProblemKind::DataNotKept,
            what,
            hint,
        }
    }
}
