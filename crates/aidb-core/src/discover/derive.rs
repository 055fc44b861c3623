//! From one declared container to its guards, by the catalog. Pure.

use std::path::{Path, PathBuf};

use super::declared::{Container, Volumes};
use super::image::Image;
use super::volume::{Access, Mount, MountSource, Unusable, find, nested};
use super::{DiscoverProblem, DiscoverProblemKind, Discovery};
use crate::catalog::{Catalog, Preset, Volume};
use crate::guard::{Guard, NestedMount, Policy};
use crate::settings::resolve::preset_stores;
use crate::settings::{Environment, NotGuarded};

/// Folders of the host that do not outlive a boot, or are cleaned while it runs.
const EPHEMERAL: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev/shm"];

/// Adds a container's guards, its folders that nobody guards, and what is wrong with them.
pub fn derive(
    container: &Container,
    volumes: &Volumes,
    catalog: &Catalog,
    environment: &Environment,
    found: &mut Discovery,
) {
    let derive = Derive {
        container,
        volumes,
        environment,
    };
    let image = container.image.as_deref().and_then(Image::parse);
    let presets = image
        .as_ref()
        .map(|i| catalog.for_image(i))
        .unwrap_or_default();
    let mut guarded: Vec<&Mount> = Vec::new();
    for (index, (preset_name, preset)) in presets.iter().enumerate() {
        let name = if index == 0 {
            container.name.clone()
        } else {
            format!("{}.{preset_name}", container.name)
        };
        let tag = image.as_ref().and_then(|i| i.tag.as_deref());
        match derive.folder(preset, tag) {
            Ok(None) => {}
            Ok(Some(folder)) => {
                if let Some(ephemeral) = EPHEMERAL.iter().find(|e| folder.data.starts_with(e)) {
                    found.problems.push(derive.lost(
                        &folder.mount,
                        &format!(
                            "`{}`, and `{ephemeral}` does not outlive a boot",
                            folder.data.display()
                        ),
                        Some("mount a folder below your home".to_owned()),
                    ));
                }
                guarded.push(folder.on);
                for inner in &folder.nested {
                    if let Some(host) = &inner.host {
                        found.not_guarded.push(NotGuarded {
                            container: container.name.clone(),
                            folders: vec![host.clone()],
                            why: format!(
                                "it is mounted inside the data of guard `{name}`, at `{}`, and is not part of its snapshots",
                                inner.below.display()
                            ),
                        });
                    }
                }
                guarded.extend(nested(&container.mounts, &folder.mount));
                found.guards.push(Guard {
                    name,
                    container: container.name.clone(),
                    unit: Some(container.unit.clone()),
                    data: folder.data,
                    mount: Some(folder.mount),
                    preset: Some((*preset_name).to_owned()),
                    exclude: preset.exclude.clone(),
                    stores: preset_stores(
                        preset.stores(&container.variables),
                        folder.moved.as_deref(),
                    ),
                    policy: Policy::default(),
                    migrations: std::collections::BTreeMap::new(),
                    nested: folder.nested,
                });
            }
            Err(problem) => found.problems.push(*problem),
        }
    }
    let folders: Vec<PathBuf> = container
        .mounts
        .iter()
        .filter(|mount| mount.keeps() && !guarded.contains(mount))
        .filter_map(|mount| derive.host(mount, Path::new("")))
        .filter(|host| !EPHEMERAL.iter().any(|e| host.starts_with(e)) && !host.starts_with("/dev"))
        .collect();
    if !folders.is_empty() {
        found.not_guarded.push(NotGuarded {
            container: container.name.clone(),
            folders,
            why: derive.why(&presets),
        });
    }
}

struct Derive<'a> {
    container: &'a Container,
    volumes: &'a Volumes,
    environment: &'a Environment,
}

/// A data folder that a container keeps.
struct Folder<'a> {
    on: &'a Mount,
    data: PathBuf,
    mount: PathBuf,
    moved: Option<PathBuf>,
    nested: Vec<NestedMount>,
}

impl<'a> Derive<'a> {
    /// Returns the folder of a preset; none if the container has none and that is normal.
    fn folder(
        &self,
        preset: &Preset,
        tag: Option<&str>,
    ) -> Result<Option<Folder<'a>>, Box<DiscoverProblem>> {
        let path = match preset.data_path(tag, &self.container.variables) {
            Ok(Some(path)) => path,
            Ok(None) => return Ok(None),
            Err((variable, value)) => {
                return Err(Box::new(self.problem(
                    DiscoverProblemKind::DataNotKept,
                    format!(
                        "expected an absolute path in `{variable}` of container `{}`, found `{}`, so it cannot be told where its data is",
                        self.container.name,
                        value.escape_debug()
                    ),
                    Some(format!("write `{variable}` as an absolute path on a volume")),
                )));
            }
        };
        let wanted = &path.candidates[0];
        let lost =
            |found: &str, hint: Option<String>| Err(Box::new(self.lost(wanted, found, hint)));
        let mount_it = || {
            Some(format!(
                "add `Volume=%h/{}:{}` to `{}`",
                self.container.name,
                wanted.display(),
                self.container.file.display()
            ))
        };
        let Some(under) = find(&self.container.mounts, &path.candidates) else {
            return match preset.volume {
                Volume::Optional => Ok(None),
                Volume::Required => lost(
                    "none: it would be written to the container's own layer",
                    mount_it(),
                ),
            };
        };
        if preset.volume == Volume::Optional && !under.mount.keeps() {
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
            let (found, hint) = keeps_nothing(&under.mount.source);
            return lost(&found, hint.map(str::to_owned).or_else(mount_it));
        };
        let nested = nested(&self.container.mounts, &under.path)
            .into_iter()
            .filter_map(|inner| {
                Some(NestedMount {
                    below: inner.target.strip_prefix(&under.path).ok()?.to_owned(),
                    host: self.host(inner, Path::new("")),
                })
            })
            .collect();
        Ok(Some(Folder {
            on: under.mount,
            data,
            mount: under.path,
            moved: path.moved_folder,
            nested,
        }))
    }

    /// Returns the folder on the host of what lies below a mount.
    fn host(&self, mount: &Mount, below: &Path) -> Option<PathBuf> {
        let host = match &mount.source {
            MountSource::Folder(path) => path.clone(),
            MountSource::Volume { name, folder } => {
                self.volumes.of_name(name, self.environment).join(folder)
            }
            MountSource::VolumeUnit(unit) => {
                self.volumes
                    .of_unit(unit, self.container.home_manager, self.environment)?
            }
            MountSource::Memory | MountSource::Unusable(_) => return None,
        };
        Some(host.join(below).components().collect())
    }

    fn lost(&self, path: &Path, found: &str, hint: Option<String>) -> DiscoverProblem {
        self.problem(
            DiscoverProblemKind::DataNotKept,
            format!(
                "expected a volume that keeps `{}` of container `{}`, found {found}",
                path.display(),
                self.container.name
            ),
            hint,
        )
    }

    fn problem(
        &self,
        kind: DiscoverProblemKind,
        what: String,
        hint: Option<String>,
    ) -> DiscoverProblem {
        DiscoverProblem {
            container: Some(self.container.name.clone()),
            file: self.container.file.clone(),
            kind,
            what,
            hint,
        }
    }

    fn why(&self, presets: &[(&str, &Preset)]) -> String {
        match (presets.first(), &self.container.image) {
            (Some((preset, _)), _) => format!("preset `{preset}` has no data there"),
            (None, Some(image)) => format!("no preset knows image `{}`", image.escape_debug()),
            (None, None) => "it names no image".to_owned(),
        }
    }
}

/// Returns what a source that keeps nothing is, and what to write in place of it if that is not another volume.
fn keeps_nothing(source: &MountSource) -> (String, Option<&'static str>) {
    match source {
        MountSource::Memory => ("one in memory".to_owned(), None),
        MountSource::VolumeUnit(unit) => (
            format!("`{unit}`, and there is no such unit"),
            Some("write the unit, or mount a folder"),
        ),
        MountSource::Unusable(unusable) => match unusable {
            Unusable::Anonymous => (
                "an anonymous one, which Podman deletes with the container".to_owned(),
                None,
            ),
            Unusable::Tilde(text) => (
                format!("`{}`, and nothing expands `~`", text.escape_debug()),
                Some("write `%h` in place of `~`"),
            ),
            Unusable::Relative(text) if text.starts_with('/') => (
                format!(
                    "`{}`, which has `..` in it, so it cannot be told which folder that is",
                    text.escape_debug()
                ),
                Some("write the path without `..`"),
            ),
            Unusable::Relative(text) => (
                format!(
                    "`{}`, which is relative to the unit file",
                    text.escape_debug()
                ),
                None,
            ),
            Unusable::Specifier(letter, text) => (
                format!(
                    "`{}`, and what `%{letter}` stands for is not known here",
                    text.escape_debug()
                ),
                Some("write the path, or `%h`, `%S`, `%C`, `%E`"),
            ),
            Unusable::Name(text) => (
                format!(
                    "`{}`, which is neither an absolute path nor a volume's name",
                    text.escape_debug()
                ),
                None,
            ),
        },
        MountSource::Folder(_) | MountSource::Volume { .. } => ("another one".to_owned(), None),
    }
}
