//! A Home Manager generation as a folder: the units and settings that it links, before they are linked.

use std::path::{Path, PathBuf};

use crate::discover::container_unit::UnitFile;
use crate::error::{IoContext, Result};
use crate::settings::{Environment, Settings};

/// Unit files are a few KiB; what is larger is none.
const LARGEST_BYTES: u64 = 1 << 20;

/// A generation: `GENERATION/home-files` mirrors the home folder.
#[derive(Debug, Clone)]
pub struct Generation {
    /// What becomes `~/.config`.
    config: PathBuf,
    /// Where its units lie.
    units: PathBuf,
}

/// What a switch does to a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing: it is the same, or says that it goes on as it is until its next start.
    None,
    /// It is stopped, and started with another text.
    Other,
    /// It is stopped for good.
    Gone,
}

impl Generation {
    /// Returns the generation in a folder.
    #[must_use]
    pub fn at(folder: &Path, environment: &Environment) -> Self {
        let below = environment.config_home.strip_prefix(&environment.home);
        let below = below.unwrap_or(Path::new(".config"));
        let config = folder.join("home-files").join(below);
        Self {
            units: config.join("systemd/user"),
            config,
        }
    }

    /// Returns what is there now, however it came: the person's own configuration, and what systemd's generators made of
    /// it, as a quadlet's unit.
    #[must_use]
    pub fn present(environment: &Environment) -> Vec<Self> {
        let mut present = vec![Self {
            units: environment.config_home.join("systemd/user"),
            config: environment.config_home.clone(),
        }];
        present.extend(environment.runtime.as_ref().map(|runtime| Self {
            units: runtime.join("systemd/generator"),
            config: environment.config_home.clone(),
        }));
        present
    }

    /// Returns its settings; none if the module is not enabled in it.
    ///
    /// # Errors
    /// [`crate::Error::Settings`] if this program cannot use them.
    pub fn settings(&self, environment: &Environment) -> Result<Option<Settings>> {
        let file = self.config.join("aidb/stack.json");
        if file.symlink_metadata().is_err() {
            return Ok(None);
        }
        Settings::load(Some(&file), environment).map(Some)
    }

    /// Returns a unit with its drop-ins, as systemd merges them; none if the generation does not have it. A unit of a
    /// template is that template.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a file of it cannot be read.
    pub fn unit(&self, name: &str) -> Result<Option<UnitFile>> {
        let folder = &self.units;
        let template = name.split_once('@').and_then(|(stem, rest)| {
            let (_, suffix) = rest.rsplit_once('.')?;
            Some(format!("{stem}@.{suffix}"))
        });
        for name in [Some(name.to_owned()), template].into_iter().flatten() {
            let mut unit = UnitFile::default();
            if !read_into(&folder.join(&name), &mut unit)? {
                continue;
            }
            let parts = folder.join(format!("{name}.d"));
            let mut files: Vec<PathBuf> = match std::fs::read_dir(&parts) {
                Ok(entries) => entries.filter_map(|e| Some(e.ok()?.path())).collect(),
                Err(_) => Vec::new(),
            };
            files.retain(|f| f.extension().is_some_and(|e| e == "conf"));
            files.sort();
            for file in files {
                read_into(&file, &mut unit)?;
            }
            return Ok(Some(unit));
        }
        Ok(None)
    }

    /// Returns whether a unit of this generation takes a snapshot when it stops: by lines of its own, or by its
    /// companion.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if a file cannot be read.
    pub fn keeps_at_stop(&self, name: &str) -> Result<bool> {
        let takes = |unit: Option<UnitFile>| {
            unit.is_some_and(|unit| {
                ["ExecStop", "ExecStopPost"].iter().any(|key| {
                    let mut lines = unit.all("Service", key).into_iter();
                    lines.any(|line| line.contains("aidb-snapshot take"))
                })
            })
        };
        let stem = name.strip_suffix(".service").unwrap_or(name);
        let companion = format!("aidb-keep-{}.service", stem.replace('@', "-"));
        Ok(takes(self.unit(name)?) || takes(self.unit(&companion)?))
    }
}

/// Returns what the switch from one generation to another does to a unit, by the rules of sd-switch: units are compared
/// without what only describes them, and `X-SwitchMethod=keep-old` leaves one alone.
///
/// # Errors
/// [`crate::Error::Io`] if a unit cannot be read.
pub fn change(from: &Generation, to: &Generation, unit: &str) -> Result<Change> {
    let Some(old) = from.unit(unit)? else {
        // The switch stops only what the old generation brought.
        return Ok(Change::None);
    };
    let Some(new) = to.unit(unit)? else {
        return Ok(Change::Gone);
    };
    let keeps_old = new.last("Unit", "X-SwitchMethod") == Some("keep-old");
    let told = [("Unit", "Description"), ("Unit", "Documentation")];
    let same = old.without(&told) == new.without(&told);
    Ok(if same || keeps_old {
        Change::None
    } else {
        Change::Other
    })
}

/// Reads a file into a unit, following links; returns whether there is one.
fn read_into(file: &Path, unit: &mut UnitFile) -> Result<bool> {
    let size = match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Ok(false),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e).doing("look at", file),
    };
    if size > LARGEST_BYTES {
        return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge)).doing("read", file);
    }
    let bytes = std::fs::read(file).doing("read", file)?;
    unit.read(&String::from_utf8_lossy(&bytes));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a generation of these units.
    fn generation(folder: &Path, units: &[(&str, &str)]) -> Generation {
        let environment = Environment::of_home(Path::new("/home/alice"));
        let generation = Generation::at(folder, &environment);
        for (name, text) in units {
            let file = generation.config.join("systemd/user").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        generation
    }

    #[test]
    fn what_a_switch_does_to_a_unit() {
        let base = "[Unit]\nDescription=one\n[Service]\nExecStart=run a\n";
        for (old, new, expected) in [
            (Some(base), Some(base), Change::None),
            (
                Some(base),
                Some("[Unit]\nDescription=two\nDocumentation=x\n[Service]\nExecStart=run a\n"),
                Change::None,
            ),
            (
                Some(base),
                Some("[Unit]\nDescription=one\n[Service]\nExecStart=run b\n"),
                Change::Other,
            ),
            (
                Some(base),
                Some("[Unit]\nX-SwitchMethod=keep-old\n[Service]\nExecStart=run b\n"),
                Change::None,
            ),
            (Some(base), None, Change::Gone),
            (None, Some(base), Change::None),
            (None, None, Change::None),
        ] {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let units = |text: Option<&'static str>| text.map(|t| ("a.service", t));
            let from = generation(from.path(), units(old).as_slice());
            let to = generation(to.path(), units(new).as_slice());
            assert_eq!(
                change(&from, &to, "a.service").unwrap(),
                expected,
                "{old:?} {new:?}"
            );
        }
    }

    #[test]
    fn a_drop_in_and_a_template_count() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let unit = ("a@.service", "[Service]\nExecStart=run %i\n");
        let from = generation(from.path(), &[unit]);
        let to = generation(
            to.path(),
            &[
                unit,
                ("a@.service.d/x.conf", "[Service]\nEnvironment=A=b\n"),
            ],
        );
        assert_eq!(change(&from, &to, "a@b.service").unwrap(), Change::Other);
        assert_eq!(change(&from, &from, "a@b.service").unwrap(), Change::None);
    }

    #[test]
    fn a_hook_is_a_line_of_the_unit_or_of_its_companion() {
        let folder = tempfile::tempdir().unwrap();
        let generation = generation(
            folder.path(),
            &[
                (
                    "podman-a.service",
                    "[Service]\nExecStop=-%E/aidb/bin/aidb-snapshot take --reason stop a\nExecStop=podman rm a\n",
                ),
                ("podman-b.service", "[Service]\nExecStop=podman rm b\n"),
                ("c.service", "[Service]\nExecStart=c\n"),
                (
                    "aidb-keep-c.service",
                    "[Service]\nExecStop=-%E/aidb/bin/aidb-snapshot take --reason stop c\n",
                ),
            ],
        );
        let keeps = |unit| generation.keeps_at_stop(unit).unwrap();
        assert!(keeps("podman-a.service") && keeps("c.service"));
        assert!(!keeps("podman-b.service") && !keeps("nowhere.service"));
    }
}
