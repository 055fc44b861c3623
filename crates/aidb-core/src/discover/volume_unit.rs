//! Volumes that `.volume` units define, and where Podman has a volume's data. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::container_unit::{UnitFile, expand};
use crate::settings::Environment;

/// The volumes that `.volume` units define, by the unit's file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volumes(BTreeMap<String, VolumeUnit>);

/// One volume unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VolumeUnit {
    name: String,
    place: Place,
}

/// Where a volume has its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a folder of the host.
    Folder(PathBuf),
    /// In memory: made anew, empty, whenever it is mounted.
    Memory,
}

impl Volumes {
    /// Reads one volume unit: the name of its file without `.volume`, and the section that has its assignments.
    pub fn read(&mut self, stem: &str, section: &str, unit: &UnitFile, environment: &Environment) {
        let name = unit
            .last(section, "VolumeName")
            .map_or_else(|| format!("systemd-{stem}"), str::to_owned);
        let arguments = unit.words(section, "PodmanArgs");
        let device = option(&arguments, "device").or_else(|| unit.last(section, "Device"));
        let kind = option(&arguments, "type").or_else(|| unit.last(section, "Type"));
        let is_memory = |kind: Option<&str>| matches!(kind, Some("tmpfs" | "ramfs"));
        let is_bind = matches!(kind, None | Some("none" | "bind"));
        let place = if is_memory(kind) || is_memory(device) {
            Place::Memory
        } else {
            let folder = device
                .filter(|_| is_bind)
                .and_then(|device| expand(device, environment).ok())
                .map(PathBuf::from)
                // A block device is no folder that could be read.
                .filter(|d| {
                    d.is_absolute() && (!d.starts_with("/dev") || d.starts_with("/dev/shm"))
                });
            Place::Folder(folder.unwrap_or_else(|| storage(&name, environment)))
        };
        self.0
            .insert(format!("{stem}.volume"), VolumeUnit { name, place });
    }

    /// Returns where a volume has its data that a unit such as `data.volume` defines; none if there is no such unit.
    #[must_use]
    pub fn of_unit(
        &self,
        unit: &str,
        home_manager: bool,
        environment: &Environment,
    ) -> Option<Place> {
        if let Some(volume) = self.0.get(unit) {
            return Some(volume.place.clone());
        }
        // Home Manager names the volume as its option, and the unit `podman-` and that.
        let name = unit.strip_suffix(".volume")?.strip_prefix("podman-")?;
        home_manager.then(|| Place::Folder(storage(name, environment)))
    }

    /// Returns where a named volume has its data.
    #[must_use]
    pub fn of_name(&self, name: &str, environment: &Environment) -> Place {
        self.0
            .values()
            .find(|volume| volume.name == name)
            .map_or_else(
                || Place::Folder(storage(name, environment)),
                |volume| volume.place.clone(),
            )
    }
}

/// Returns the last value of an option among arguments of `podman volume create` (`--opt device=/srv/data`).
fn option<'a>(arguments: &'a [String], key: &str) -> Option<&'a str> {
    arguments.iter().rev().find_map(|word| {
        let word = ["--opt=", "-o=", "-o"]
            .iter()
            .find_map(|flag| word.strip_prefix(flag))
            .unwrap_or(word);
        word.strip_prefix(key)?.strip_prefix('=')
    })
}

/// Returns where rootless Podman has a named volume's data (its default graphroot).
fn storage(name: &str, environment: &Environment) -> PathBuf {
    environment
        .data_home
        .join("containers/storage/volumes")
        .join(name)
        .join("_data")
}
