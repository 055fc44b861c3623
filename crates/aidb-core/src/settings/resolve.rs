//! From what `stack.json` says to checked values. Every problem of the file is found, not only the first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::check::{Problem, below, one_of};
use super::file::{AlertFile, GuardFile, KeepFile, NotGuardedFile, PolicyFile, StackFile};
use super::overlap::{Overlap, overlaps};
use super::paths::{absolute, exclude_pattern, exclude_set, excluded};
use super::{Environment, Keep, NotGuarded, Settings, Source, Ways};
use crate::catalog::store_file::{StoreFile, inside};
use crate::catalog::{Catalog, Variables, container_path, overlay_stores};
use crate::guard::{Guard, Policy, Store};
use crate::words::nearest;

/// Returns the checked settings of a file, or all of its problems.
pub(super) fn resolve(
    file: StackFile,
    raw: &Value,
    source: &Path,
    environment: &Environment,
) -> Result<Settings, Vec<Problem>> {
    let mut all = Resolve {
        home: &environment.home,
        problems: Vec::new(),
    };
    let vault = all.host_path("/vault", &file.vault);
    let state = match &file.state {
        Some(state) => all.host_path("/state", state),
        None => Some(environment.state_home.join("aidb")),
    };
    let mut programs = file.programs.unwrap_or_default();
    for (key, program) in programs.each_mut() {
        if let Some(path) = program.take() {
            *program = all.host_path(&below("/programs", key), &path.to_string_lossy());
        }
    }
    let alert = all.ways(file.alert);
    let empty = Value::Null;
    let mut guards = Vec::new();
    for (name, guard) in file.guards.unwrap_or_default() {
        let raw = raw
            .get("guards")
            .and_then(|g| g.get(&name))
            .unwrap_or(&empty);
        guards.extend(all.guard(&name, guard, raw));
    }
    all.overlaps(&guards, vault.as_deref(), state.as_deref());
    let not_guarded = file
        .not_guarded
        .unwrap_or_default()
        .into_iter()
        .map(NotGuarded::from)
        .collect();
    match (vault, state) {
        (Some(vault), Some(state)) if all.problems.is_empty() => Ok(Settings {
            source: Source::File(source.to_owned()),
            vault,
            state,
            keep: file.keep.map(Keep::from).unwrap_or_default(),
            guards,
            programs,
            gate: file.gate.unwrap_or_default(),
            alert,
            offsite: file.offsite.unwrap_or(false),
            not_guarded,
            problems: Vec::new(),
        }),
        _ => Err(all.problems),
    }
}

/// Returns whether a text is a container name by Podman's rule.
#[must_use]
pub fn is_container_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

struct Resolve<'a> {
    home: &'a Path,
    problems: Vec<Problem>,
}

impl Resolve<'_> {
    fn problem(&mut self, pointer: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem::new(pointer, what));
    }

    fn host_path(&mut self, pointer: &str, text: &str) -> Option<PathBuf> {
        absolute(text, self.home)
            .map_err(|what| self.problem(pointer, what))
            .ok()
    }

    fn ways(&mut self, file: Option<AlertFile>) -> Ways {
        let default = Ways::default();
        let Some(file) = file else { return default };
        let command = file.command.and_then(|mut words| {
            let Some(program) = words.first_mut() else {
                self.problem("/alert/command", "expected a program, found an empty list");
                return None;
            };
            *program = self
                .host_path("/alert/command/0", program)?
                .to_string_lossy()
                .into_owned();
            Some(words)
        });
        Ways {
            desktop: file.desktop.unwrap_or(default.desktop),
            command,
            quiet: file.quiet_hours.map_or(default.quiet, |hours| {
                Duration::from_secs(u64::from(hours) * 3600)
            }),
        }
    }

    fn guard(&mut self, name: &str, file: GuardFile, raw: &Value) -> Option<Guard> {
        let at = below("/guards", name);
        let before = self.problems.len();
        self.container_name(&at, name);
        let container = file.container.unwrap_or_else(|| name.to_owned());
        if container != name {
            self.container_name(&below(&at, "container"), &container);
        }
        if let Some(unit) = &file.unit
            && (!unit.ends_with(".service") || unit.contains(['/', ' ']))
        {
            self.problem(
                below(&at, "unit"),
                format!(
                    "expected a name such as `podman-{name}.service`, found `{}`",
                    unit.escape_debug()
                ),
            );
        }
        let data = self.host_path(&below(&at, "data"), &file.data);
        let mount = file.mount.and_then(|mount| {
            let path = container_path(&mount);
            if path.is_none() {
                self.problem(
                    below(&at, "mount"),
                    format!(
                        "expected an absolute path without `..`, found `{}`",
                        mount.escape_debug()
                    ),
                );
            }
            path
        });
        let catalog = Catalog::builtin();
        let preset = file.preset.as_deref().and_then(|wanted| {
            let found = catalog.preset(wanted);
            if found.is_none() {
                let names: Vec<&str> = catalog.names().collect();
                let hint = match nearest(wanted, names.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("expected {}", one_of(&names)),
                };
                self.problem(
                    below(&at, "preset"),
                    format!("unknown preset `{}`, {hint}", wanted.escape_debug()),
                );
            }
            found
        });
        let exclude = file
            .exclude
            .unwrap_or_else(|| preset.map(|p| p.exclude.clone()).unwrap_or_default());
        let mut usable = true;
        for (index, pattern) in exclude.iter().enumerate() {
            if let Err(what) = exclude_pattern(pattern) {
                usable = false;
                self.problem(below(&below(&at, "exclude"), &index.to_string()), what);
            }
        }
        let stores = self.stores(
            &below(&at, "stores"),
            preset
                .map(|p| p.stores(&Variables::new()))
                .unwrap_or_default(),
            raw.get("stores"),
        );
        if usable {
            self.kept(&below(&at, "exclude"), &exclude, &stores);
        }
        let migrations = self.migrations(
            &below(&at, "migrations"),
            file.migrations.unwrap_or_default(),
            &stores,
        );
        (self.problems.len() == before).then_some(Guard {
            name: name.to_owned(),
            container,
            unit: file.unit,
            data: data?,
            mount,
            preset: file.preset,
            exclude,
            stores,
            policy: file.policy.map(Policy::from).unwrap_or_default(),
            migrations,
            nested: Vec::new(),
        })
    }

    fn container_name(&mut self, pointer: &str, name: &str) {
        if !is_container_name(name) {
            self.problem(
                pointer,
                format!(
                    "expected a container name (a letter or digit, then letters, digits, `_`, `.`, `-`), found `{}`",
                    name.escape_debug()
                ),
            );
        }
    }

    fn stores(
        &mut self,
        pointer: &str,
        preset: BTreeMap<String, StoreFile>,
        written: Option<&Value>,
    ) -> Vec<Store> {
        let written = written
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, store)| (name.clone(), (!store.is_null()).then(|| store.clone())))
            .collect();
        let mut stores = Vec::new();
        for (name, store) in overlay_stores(preset, written) {
            let at = below(pointer, &name);
            if name.is_empty() || name.contains(['/', '\0']) || name.chars().any(char::is_control) {
                self.problem(
                    &at,
                    format!(
                        "expected a name without `/`, found `{}`",
                        name.escape_debug()
                    ),
                );
                continue;
            }
            let store = serde_path_to_error::deserialize::<_, StoreFile>(store);
            match store.map(|store| store.into_store(&name)) {
                Ok(Ok(store)) => stores.push(store),
                Ok(Err(bad)) => {
                    for bad in bad {
                        self.problem(below(&at, bad.key), bad.what);
                    }
                }
                Err(error) => self.problem(&at, error.into_inner().to_string()),
            }
        }
        stores
    }

    /// Sees to it that no store is excluded from what is kept.
    fn kept(&mut self, pointer: &str, patterns: &[String], stores: &[Store]) {
        for (index, pattern) in patterns.iter().enumerate() {
            let Ok(set) = exclude_set(std::slice::from_ref(pattern)) else {
                continue;
            };
            for store in stores.iter().filter(|s| s.path != Path::new(".")) {
                if excluded(&set, &store.path) {
                    self.problem(
                        below(pointer, &index.to_string()),
                        format!(
                            "expected a pattern that keeps every store, found `{}`, which excludes store `{}` (`{}`)",
                            pattern.escape_debug(),
                            store.name,
                            store.path.display()
                        ),
                    );
                }
            }
        }
    }

    fn migrations(
        &mut self,
        pointer: &str,
        written: BTreeMap<String, String>,
        stores: &[Store],
    ) -> BTreeMap<String, PathBuf> {
        let names: Vec<&str> = stores.iter().map(|s| s.name.as_str()).collect();
        let mut migrations = BTreeMap::new();
        for (store, folder) in written {
            let at = below(pointer, &store);
            if !names.contains(&store.as_str()) {
                self.problem(
                    &at,
                    if names.is_empty() {
                        "expected the name of a store, and there are none".to_owned()
                    } else {
                        format!("expected {}, found another name", one_of(&names))
                    },
                );
            } else if let Some(folder) = self.host_path(&at, &folder) {
                migrations.insert(store, folder);
            }
        }
        migrations
    }

    fn overlaps(&mut self, guards: &[Guard], vault: Option<&Path>, state: Option<&Path>) {
        for clash in overlaps(guards, vault, state) {
            let pointer = match &clash {
                Overlap::Vault { .. } => "/vault".to_owned(),
                Overlap::State { .. } => "/state".to_owned(),
                Overlap::Guards { inner, .. } => below(&below("/guards", inner), "data"),
            };
            self.problem(pointer, clash.to_string());
        }
    }
}

impl From<KeepFile> for Keep {
    fn from(file: KeepFile) -> Self {
        let default = Self::default();
        Self {
            last: file.last.unwrap_or(default.last),
            daily: file.daily.unwrap_or(default.daily),
            weekly: file.weekly.unwrap_or(default.weekly),
            monthly: file.monthly.unwrap_or(default.monthly),
            archives: file.archives.unwrap_or(default.archives),
        }
    }
}

impl From<PolicyFile> for Policy {
    fn from(file: PolicyFile) -> Self {
        let default = Self::default();
        Self {
            uninitialised: file.uninitialised.unwrap_or(default.uninitialised),
            missing: file.missing.unwrap_or(default.missing),
            damaged: file.damaged.unwrap_or(default.damaged),
            shrunken: file.shrunken.unwrap_or(default.shrunken),
            mount: file.mount.unwrap_or(default.mount),
        }
    }
}

impl From<NotGuardedFile> for NotGuarded {
    fn from(file: NotGuardedFile) -> Self {
        Self {
            container: file.container,
            folders: file.folders.into_iter().map(PathBuf::from).collect(),
            why: file
                .why
                .unwrap_or_else(|| "no preset knows its image".to_owned()),
        }
    }
}

/// Returns the stores of a preset for a container with these variables, as checked values, for a folder that the
/// variables may have moved.
pub(crate) fn preset_stores(
    stores: BTreeMap<String, StoreFile>,
    moved_folder: Option<&Path>,
) -> Vec<Store> {
    stores
        .into_iter()
        .filter_map(|(name, mut file)| {
            if let (Some(folder), Some(path)) = (moved_folder, &file.path) {
                let path = inside(path).ok()?;
                let rest = path.strip_prefix(folder).ok()?;
                file.path = Some(if rest.as_os_str().is_empty() {
                    ".".to_owned()
                } else {
                    rest.to_string_lossy().into_owned()
                });
            }
            file.into_store(&name).ok()
        })
        .collect()
}
