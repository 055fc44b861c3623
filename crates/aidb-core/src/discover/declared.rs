//! The containers and volumes that unit files declare: quadlets, their drop-ins, and Home Manager's finished units.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::container_unit::{UnitFile, expand};
use super::mount_lines::{parse_arguments, parse_mount, parse_tmpfs, parse_volume};
use super::volume::Mount;
use super::volume_unit::Volumes;
use crate::catalog::Variables;
use crate::settings::{DiscoverProblem, DiscoverProblemKind, Environment, is_container_name};

/// Unit files are a few KiB; a file beyond this is none.
const LARGEST_BYTES: u64 = 1 << 20;
/// How deep folders of quadlets may lie in each other.
const DEEPEST: usize = 8;

/// What unit files declare.
#[derive(Debug, Default)]
pub struct Declared {
    /// The containers, each name once.
    pub containers: Vec<Container>,
    /// The volumes of `.volume` units.
    pub volumes: Volumes,
    /// What could not be read or understood.
    pub problems: Vec<DiscoverProblem>,
}

/// One declared container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The systemd unit that runs it.
    pub unit: String,
    /// The file that declares it.
    pub file: PathBuf,
    /// The image, as written or as an `.image` unit says.
    pub image: Option<String>,
    /// What it mounts.
    pub mounts: Vec<Mount>,
    /// Its environment variables.
    pub variables: Variables,
    /// Whether Home Manager made the unit: its volume units are named otherwise.
    pub home_manager: bool,
}

/// Returns what the unit files of this person declare.
#[must_use]
pub fn declared(environment: &Environment) -> Declared {
    let mut reader = Reader {
        environment,
        declared: Declared::default(),
        images: BTreeMap::new(),
    };
    let quadlets = environment.config_home.join("containers/systemd");
    let mut units = Vec::new();
    for file in reader.files(&quadlets, DEEPEST, &mut BTreeSet::new()) {
        let extension = file
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        let (section, Some(stem)) = (
            match extension {
                "container" => "Container",
                "volume" => "Volume",
                "image" => "Image",
                _ => continue,
            },
            file.file_stem().and_then(|s| s.to_str()).map(str::to_owned),
        ) else {
            continue;
        };
        // `NAME@.container` is a template: it runs nothing.
        if stem.ends_with('@') {
            continue;
        }
        if let Some(unit) = reader.quadlet(&file, &quadlets) {
            units.push((file, stem, section, "", unit));
        }
    }
    for file in reader.files(
        &environment.config_home.join("systemd/user"),
        1,
        &mut BTreeSet::new(),
    ) {
        let Some(stem) = file
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_suffix(".service"))
            .filter(|n| n.starts_with("podman-"))
            .map(str::to_owned)
        else {
            continue;
        };
        let mut unit = UnitFile::default();
        reader.read_into(&file, &mut unit, false);
        for (section, suffix) in [
            ("Container", ""),
            ("Volume", "-volume"),
            ("Image", "-image"),
        ] {
            if unit.has(&format!("X-{section}"))
                && let Some(stem) = stem.strip_suffix(suffix)
            {
                units.push((file.clone(), stem.to_owned(), section, "X-", unit.clone()));
            }
        }
    }
    for (_, stem, section, prefix, unit) in &units {
        match *section {
            "Volume" => {
                let section = format!("{prefix}Volume");
                let volumes = &mut reader.declared.volumes;
                volumes.read(stem, &section, unit, environment);
            }
            "Image" => {
                if let Some(image) = unit.last(&format!("{prefix}Image"), "Image") {
                    reader
                        .images
                        .insert(format!("{stem}.image"), image.to_owned());
                }
            }
            _ => {}
        }
    }
    for (file, stem, section, prefix, unit) in &units {
        if *section == "Container" {
            reader.container(file, stem, &format!("{prefix}Container"), unit);
        }
    }
    reader.declared
}

struct Reader<'a> {
    environment: &'a Environment,
    declared: Declared,
    images: BTreeMap<String, String>,
}

impl Reader<'_> {
    fn problem(
        &mut self,
        file: &Path,
        kind: DiscoverProblemKind,
        container: Option<&str>,
        what: String,
    ) {
        self.declared.problems.push(DiscoverProblem {
            container: container.map(str::to_owned),
            file: file.to_owned(),
            kind,
            what,
            hint: None,
        });
    }

    /// Returns the files below a folder in order of their paths, following links, each folder once. Folders of drop-ins
    /// are left out.
    fn files(&mut self, folder: &Path, depth: usize, seen: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
        if let Ok(real) = folder.canonicalize()
            && !seen.insert(real)
        {
            return Vec::new();
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.problem(
                        folder,
                        DiscoverProblemKind::Unreadable,
                        None,
                        format!("read folder `{}`: {error}", folder.display()),
                    );
                }
                return Vec::new();
            }
        };
        let mut paths = BTreeSet::new();
        for entry in entries {
            match entry {
                Ok(entry) => {
                    paths.insert(entry.path());
                }
                Err(error) => {
                    self.problem(
                        folder,
                        DiscoverProblemKind::Unreadable,
                        None,
                        format!("read folder `{}`: {error}", folder.display()),
                    );
                }
            }
        }
        let mut files = Vec::new();
        for path in paths {
            if path.is_dir() {
                if depth > 1 && path.extension().is_none_or(|e| e != "d") {
                    files.extend(self.files(&path, depth - 1, seen));
                }
            } else {
                files.push(path);
            }
        }
        files
    }

    /// Reads one file into a unit, and returns whether that was possible.
    fn read_into(&mut self, file: &Path, unit: &mut UnitFile, say_odd: bool) -> bool {
        match read_small(file) {
            Ok(text) => {
                for (line, found) in unit.read(&text) {
                    if say_odd {
                        let shown: String = found
                            .chars()
                            .take(60)
                            .flat_map(char::escape_debug)
                            .collect();
                        self.problem(file, DiscoverProblemKind::Odd, None, format!("`{}`, line {line}: expected `KEY=VALUE` in a section, found `{shown}`", file.display()));
                    }
                }
                true
            }
            Err(what) => {
                self.problem(
                    file,
                    DiscoverProblemKind::Unreadable,
                    None,
                    format!("read `{}`: {what}", file.display()),
                );
                false
            }
        }
    }

    /// Reads a quadlet with its drop-ins: those of its type, of each prefix of its name that ends in `-`, and its own.
    fn quadlet(&mut self, file: &Path, root: &Path) -> Option<UnitFile> {
        let mut unit = UnitFile::default();
        if !self.read_into(file, &mut unit, true) {
            return None;
        }
        let name = file.file_name()?.to_str()?;
        let extension = file.extension()?.to_str()?;
        let stem = file.file_stem()?.to_str()?;
        let mut folders = vec![format!("{extension}.d")];
        folders.extend(
            stem.match_indices('-')
                .map(|(at, _)| format!("{}-.{extension}.d", &stem[..at])),
        );
        folders.push(format!("{name}.d"));
        // A drop-in of a name replaces one of the same name in a more general folder (systemd.unit(5)).
        let mut parts: BTreeMap<String, PathBuf> = BTreeMap::new();
        let beside = file.parent().unwrap_or(root);
        for folder in folders {
            for place in [root, beside] {
                for part in self.files(&place.join(&folder), 1, &mut BTreeSet::new()) {
                    if part.extension().is_some_and(|e| e == "conf")
                        && let Some(name) = part.file_name().and_then(|n| n.to_str())
                    {
                        parts.insert(name.to_owned(), part.clone());
                    }
                }
            }
        }
        for part in parts.values() {
            self.read_into(part, &mut unit, true);
        }
        Some(unit)
    }

    fn container(&mut self, file: &Path, stem: &str, section: &str, unit: &UnitFile) {
        let home_manager = section.starts_with("X-");
        let name = match unit.last(section, "ContainerName") {
            Some(name) => name
                .replace("%N", stem)
                .replace("%p", stem.split('@').next().unwrap_or(stem))
                .replace("%n", &format!("{stem}.service")),
            None => format!("systemd-{}", stem.replace('@', "_")),
        };
        if !is_container_name(&name) {
            self.problem(
                file,
                DiscoverProblemKind::Odd,
                None,
                format!(
                    "`{}`: expected a container name, found `{}`",
                    file.display(),
                    name.escape_debug()
                ),
            );
            return;
        }
        if let Some(first) = self.declared.containers.iter().find(|c| c.name == name) {
            let first = first.file.display().to_string();
            self.problem(
                file,
                DiscoverProblemKind::Odd,
                Some(&name),
                format!(
                    "expected one unit for container `{name}`, found `{first}` and `{}`",
                    file.display()
                ),
            );
            return;
        }
        let service = match unit.last(section, "ServiceName") {
            Some(service) if !home_manager => service,
            _ => stem,
        };
        let arguments = parse_arguments(&unit.words(section, "PodmanArgs"), self.environment);
        let mut mounts = arguments.mounts;
        let mut odd = arguments.odd;
        let environment = self.environment;
        let parsed = unit
            .all(section, "Volume")
            .into_iter()
            .map(|v| parse_volume(v, environment))
            .chain(
                unit.words(section, "Mount")
                    .into_iter()
                    .map(|m| parse_mount(&m, environment)),
            )
            .chain(
                unit.all(section, "Tmpfs")
                    .into_iter()
                    .map(|t| parse_tmpfs(t, environment)),
            );
        for mount in parsed {
            match mount {
                Ok(mount) => mounts.push(mount),
                Err(what) => odd.push(what),
            }
        }
        for what in odd {
            self.problem(
                file,
                DiscoverProblemKind::Odd,
                Some(&name),
                format!("container `{name}`: {what}"),
            );
        }
        let mut variables: Variables = unit
            .words(section, "Environment")
            .iter()
            .filter_map(|word| word.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        variables.extend(arguments.variables);
        // They stand in a line of the unit, where systemd expands what it knows.
        for value in variables.values_mut() {
            if let Ok(expanded) = expand(value, environment) {
                *value = expanded;
            }
        }
        let image = unit.last(section, "Image").map(|image| {
            self.images
                .get(image)
                .cloned()
                .unwrap_or_else(|| image.to_owned())
        });
        self.declared.containers.push(Container {
            name,
            unit: format!("{service}.service"),
            file: file.to_owned(),
            image,
            mounts,
            variables,
            home_manager,
        });
    }
}

/// Returns the text of a small regular file, following links. A FIFO or a device is never opened.
fn read_small(file: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(file).map_err(|e| e.to_string())?;
    if !metadata.is_file() {
        return Err("expected a regular file, found something else".to_owned());
    }
    if metadata.len() > LARGEST_BYTES {
        return Err(format!(
            "expected at most {} MiB, found {} bytes",
            LARGEST_BYTES >> 20,
            metadata.len()
        ));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|f| f.take(LARGEST_BYTES).read_to_end(&mut bytes))
        .map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|_| "expected UTF-8, found other bytes".to_owned())
}
