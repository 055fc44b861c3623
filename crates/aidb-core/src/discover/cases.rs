//! nix/cases.json, which the Home Manager module's functions are tested with, too: one rule for both.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Discovery;
use super::container_unit::{expand, words};
use super::mount_lines::{parse_mount, parse_volume};
use super::tests::Home;
use super::volume::{Access, Mount, MountSource, Unusable};
use crate::catalog::{Catalog, DatabaseAt, Variables, container_path, matches_wildcard};
use crate::guard::{Guard, StoreKind};
use crate::image::Image;
use crate::settings::{DiscoverProblemKind, Environment};

/// Returns the cases of one kind: what is given and what is expected.
fn cases<T: DeserializeOwned>(kind: &str) -> Vec<T> {
    let all: Value = serde_json::from_str(include_str!("../../../../nix/cases.json")).unwrap();
    let cases: Vec<T> = serde_json::from_value(all[kind].clone()).unwrap();
    assert!(cases.len() > 3, "{kind}");
    cases
}

fn environment() -> Environment {
    Environment::of_home(std::path::Path::new("/home/alice"))
}

#[test]
fn texts_are_read_as_systemd_reads_them() {
    for (pattern, text, expected) in cases::<(String, String, bool)>("wildcards") {
        assert_eq!(
            matches_wildcard(&pattern, &text),
            expected,
            "{pattern} {text}"
        );
    }
    for (text, expected) in cases::<(String, Option<String>)>("containerPaths") {
        let found = container_path(&text).map(|p| p.display().to_string());
        assert_eq!(found, expected, "{text}");
    }
    for (text, expected) in cases::<(String, Option<String>)>("specifiers") {
        assert_eq!(expand(&text, &environment()).ok(), expected, "{text}");
    }
    for (text, expected) in cases::<(String, Vec<String>)>("words") {
        assert_eq!(words(&text), expected, "{text}");
    }
}

#[test]
fn images_and_variables_tell_what_is_where() {
    let catalog = Catalog::builtin();
    for (text, expected) in cases::<(String, Option<(String, Option<String>)>)>("images") {
        let found = Image::parse(&text).map(|i| (i.path.join("/"), i.tag));
        assert_eq!(found, expected, "{text}");
    }
    for (text, expected) in cases::<(String, Vec<String>)>("presets") {
        let image = Image::parse(&text);
        let found = image.map(|i| catalog.for_image(&i)).unwrap_or_default();
        let found: Vec<&str> = found.into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, expected, "{text}");
    }
    for (preset, tag, variables, expected) in
        cases::<(String, Option<String>, Variables, Value)>("dataPaths")
    {
        let known = catalog.preset(&preset).unwrap();
        let found = match known.data_path(tag.as_deref(), &variables) {
            Ok(path) => {
                let path = path.unwrap();
                serde_json::json!({ "path": path.candidates[0], "moved": path.moved_folder })
            }
            Err((variable, _)) => serde_json::json!({ "variable": variable }),
        };
        assert_eq!(found, expected, "{preset} {tag:?} {variables:?}");
    }
    for (preset, store, variables, expected) in cases::<(String, String, Variables, bool)>("stores")
    {
        let stores = catalog.preset(&preset).unwrap().stores(&variables);
        assert_eq!(
            stores.contains_key(&store),
            expected,
            "{preset} {variables:?}"
        );
    }
}

/// Paths of stores, by guard and store.
type Paths = BTreeMap<String, BTreeMap<String, String>>;

#[test]
fn variables_tell_where_databases_are() {
    for (preset, store, variables, expected) in
        cases::<(String, String, Variables, Option<String>)>("storeFiles")
    {
        let known = Catalog::builtin().preset(&preset).unwrap();
        let found = match known.database_at(&store, &variables) {
            DatabaseAt::Here => None,
            DatabaseAt::Elsewhere => Some("elsewhere".to_owned()),
            DatabaseAt::Path(path) => Some(path.display().to_string()),
        };
        assert_eq!(found, expected, "{preset} {variables:?}");
    }
    for (given, expected) in cases::<(Given, Paths)>("databases") {
        let databases = |guard: &Guard| {
            let sqlite = guard.stores.iter().filter(|s| s.kind == StoreKind::Sqlite);
            sqlite
                .map(|s| (s.name.clone(), s.path.display().to_string()))
                .collect()
        };
        let found: Paths = given
            .discover()
            .guards
            .iter()
            .map(|guard| (guard.name.clone(), databases(guard)))
            .collect();
        assert_eq!(found, expected, "{given:?}");
    }
}

/// Returns a mount as the cases write it: kind, what it is, a folder within, access.
fn short(read: Result<Mount, String>) -> String {
    let Ok(mount) = read else {
        return "odd".to_owned();
    };
    let source = match mount.source {
        MountSource::Folder(path) => format!("folder {}", path.display()),
        MountSource::Volume { name, folder } if folder.as_os_str() == "." => {
            format!("volume {name}")
        }
        MountSource::Volume { name, folder } => format!("volume {name} {}", folder.display()),
        MountSource::VolumeUnit(unit) => format!("volumeUnit {unit}"),
        MountSource::Memory => "memory".to_owned(),
        MountSource::Unusable(why) => {
            let why = match why {
                Unusable::Anonymous => "anonymous",
                Unusable::Tilde(_) => "tilde",
                Unusable::Relative(_) => "relative",
                Unusable::Specifier(..) => "specifier",
                Unusable::Name(_) => "name",
            };
            format!("unusable {why}")
        }
    };
    match mount.access {
        Access::Writable => source,
        Access::ReadOnly => format!("{source} ro"),
        Access::Overlay => format!("{source} O"),
    }
}

#[test]
fn mounts_are_told_apart() {
    for (text, expected) in cases::<(String, String)>("volumes") {
        assert_eq!(
            short(parse_volume(&text, &environment())),
            expected,
            "{text}"
        );
    }
    for (text, expected) in cases::<(String, String)>("mounts") {
        assert_eq!(
            short(parse_mount(&text, &environment())),
            expected,
            "{text}"
        );
    }
}

/// One container as a configuration declares it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    image: String,
    #[serde(default)]
    volumes: Vec<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    podman_args: Vec<String>,
    /// Further lines of its quadlet.
    #[serde(default)]
    lines: BTreeMap<String, Value>,
}

/// What becomes of it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Expected {
    /// The data folder of each guard.
    guards: BTreeMap<String, String>,
    /// Of how many data folders it is said that they are lost, or will be at the next boot.
    #[serde(default)]
    lost: usize,
    /// How many parts of its data are in no snapshot.
    #[serde(default)]
    incomplete: usize,
    /// How many of its mounts were not understood.
    #[serde(default)]
    odd: usize,
    /// Host folders that nobody guards.
    #[serde(default)]
    not_guarded: Vec<Vec<String>>,
}

impl Given {
    fn discover(&self) -> Discovery {
        let mut lines = vec![format!(
            "[Container]\nContainerName=c\nImage={}",
            self.image
        )];
        lines.extend(self.volumes.iter().map(|v| format!("Volume={v}")));
        lines.extend(
            self.environment
                .iter()
                .map(|(k, v)| format!("Environment=\"{k}={v}\"")),
        );
        if !self.podman_args.is_empty() {
            lines.push(format!("PodmanArgs={}", self.podman_args.join(" ")));
        }
        for (key, values) in &self.lines {
            let several = values
                .as_array()
                .cloned()
                .unwrap_or_else(|| vec![values.clone()]);
            lines.extend(
                several
                    .iter()
                    .map(|v| format!("{key}={}", v.as_str().unwrap())),
            );
        }
        let quadlet = |name: &str| format!("containers/systemd/{name}");
        Home::new(&[
            (&quadlet("c.container"), &lines.join("\n")),
            (&quadlet("data.volume"), "[Volume]\nVolumeName=data\n"),
            (
                &quadlet("dev.volume"),
                "[Volume]\nVolumeName=dev\nType=none\nDevice=/srv/dev\n",
            ),
            (
                &quadlet("disk.volume"),
                "[Volume]\nVolumeName=disk\nDevice=/dev/sda1\n",
            ),
            (
                &quadlet("mem.volume"),
                "[Volume]\nVolumeName=mem\nType=tmpfs\nDevice=tmpfs\n",
            ),
            (
                &quadlet("ram.volume"),
                "[Volume]\nVolumeName=ram\nPodmanArgs=--opt type=ramfs --opt=device=ramfs\n",
            ),
            (
                &quadlet("shm.volume"),
                "[Volume]\nVolumeName=shm\nType=none\nDevice=/dev/shm/x\n",
            ),
            (
                &quadlet("percent.volume"),
                "[Volume]\nVolumeName=percent\nDevice=/srv/50%%\n",
            ),
            (
                &quadlet("wi.image"),
                "[Image]\nImage=ghcr.io/open-webui/open-webui:v1\n",
            ),
        ])
        .discover()
    }
}

#[test]
fn containers_become_guards() {
    for (given, expected) in cases::<(Given, Expected)>("containers") {
        let found = given.discover();
        let of_kind = |kind| found.problems.iter().filter(|p| p.kind == kind).count();
        let text = |path: &std::path::PathBuf| path.display().to_string();
        let became = Expected {
            guards: found
                .guards
                .iter()
                .map(|g| (g.name.clone(), text(&g.data)))
                .collect(),
            lost: of_kind(DiscoverProblemKind::DataNotKept),
            incomplete: of_kind(DiscoverProblemKind::Incomplete),
            odd: of_kind(DiscoverProblemKind::Odd),
            not_guarded: found
                .not_guarded
                .iter()
                .map(|n| n.folders.iter().map(text).collect())
                .collect(),
        };
        assert_eq!(became, expected, "{given:?}");
    }
}
