//! What containers mount, as `Volume=`, `Mount=`, `Tmpfs=` and the arguments of `podman run` write it. Pure.

use std::path::{Path, PathBuf};

use super::container_unit::expand;
use crate::catalog::container_path;
use crate::settings::{Environment, is_container_name};

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where the container sees it, absolute.
    pub target: PathBuf,
    /// What the container can do with it.
    pub access: Access,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A folder (or file) on the host, absolute.
    Folder(PathBuf),
    /// A named volume of Podman.
    Volume {
        /// Its name.
        name: String,
        /// The folder within it, `.` for all of it.
        folder: PathBuf,
    },
    /// A volume that a `.volume` unit defines, such as `data.volume`.
    VolumeUnit(String),
    /// Memory: gone with the container.
    Memory,
    /// Something that keeps nothing, or that Podman does not take.
    Unusable(Unusable),
}

/// Why a mount keeps nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unusable {
    /// It has no source: Podman makes a volume and deletes it with the container.
    Anonymous,
    /// It begins with `~`, which nothing expands.
    Tilde(String),
    /// It is relative to the unit file.
    Relative(String),
    /// It has a specifier whose value is not known here.
    Specifier(char, String),
    /// It is neither a path nor a volume's name.
    Name(String),
}

/// What the container can do with a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Its writes are kept.
    Writable,
    /// It cannot write.
    ReadOnly,
    /// Its writes vanish with the container (`:O`).
    Overlay,
}

impl Mount {
    /// Returns whether what the container writes there stays on the host.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.access == Access::Writable
            && matches!(
                self.source,
                MountSource::Folder(_) | MountSource::Volume { .. } | MountSource::VolumeUnit(_)
            )
    }
}

/// Returns the mount that a `Volume=` line or the argument of `--volume` writes.
///
/// # Errors
/// What was expected and what was found, if it cannot be told where the container would see it.
pub fn parse_volume(text: &str, environment: &Environment) -> Result<Mount, String> {
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let (source, target, options) = match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => (None, first, ""),
        (Some(target), options, None) => (Some(first), target, options.unwrap_or_default()),
        _ => {
            return Err(format!(
                "expected `SOURCE:TARGET:OPTIONS`, found `{}`",
                text.escape_debug()
            ));
        }
    };
    let mut access = Access::Writable;
    for option in options.split(',') {
        match option {
            "ro" => access = Access::ReadOnly,
            "O" => access = Access::Overlay,
            _ => {}
        }
    }
    Ok(Mount {
        source: source.map_or(MountSource::Unusable(Unusable::Anonymous), |source| {
            parse_source(source, environment)
        }),
        target: parse_target(target, text, environment)?,
        access,
    })
}

/// Returns the mount that a `Mount=` word or the argument of `--mount` writes (`type=bind,source=…,target=…`).
///
/// # Errors
/// What was expected and what was found, if it cannot be told where the container would see it.
pub fn parse_mount(text: &str, environment: &Environment) -> Result<Mount, String> {
    let mut kind = "volume";
    let mut source = None;
    let mut target = None;
    let mut access = Access::Writable;
    let mut folder = PathBuf::from(".");
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, "true"));
        match key.trim() {
            "type" => kind = value,
            "source" | "src" => source = Some(value),
            "target" | "destination" | "dst" => target = Some(value),
            "ro" | "readonly" if value != "false" => access = Access::ReadOnly,
            "rw" if value == "false" => access = Access::ReadOnly,
            "O" | "overlay" if value != "false" => access = Access::Overlay,
            "subpath" | "volume-subpath" => folder = PathBuf::from(value.trim_matches('/')),
            _ => {}
        }
    }
    let Some(target) = target else {
        return Err(format!(
            "expected `target=`, found `{}`",
            text.escape_debug()
        ));
    };
    let source = match kind {
        "tmpfs" | "ramfs" | "devpts" => MountSource::Memory,
        "bind" | "volume" => match source {
            None => MountSource::Unusable(Unusable::Anonymous),
            Some(source) => match parse_source(source, environment) {
                MountSource::Volume { name, .. } if kind == "volume" => {
                    MountSource::Volume { name, folder }
                }
                // A bind mount has no volume's name: the path would be relative.
                MountSource::Volume { name, .. } => MountSource::Unusable(Unusable::Relative(name)),
                source => source,
            },
        },
        // An image is mounted read-only, or writable with the writes thrown away.
        "image" | "artifact" | "glob" => {
            access = Access::Overlay;
            MountSource::Unusable(Unusable::Name(source.unwrap_or_default().to_owned()))
        }
        other => {
            return Err(format!(
                "expected `type=bind`, `volume` or `tmpfs`, found `{}`",
                other.escape_debug()
            ));
        }
    };
    Ok(Mount {
        source,
        target: parse_target(target, text, environment)?,
        access,
    })
}

/// What arguments of `podman run` say that bears on data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The mounts.
    pub mounts: Vec<Mount>,
    /// The environment variables.
    pub variables: Vec<(String, String)>,
    /// What could not be understood.
    pub odd: Vec<String>,
}

/// Returns the mounts and variables among arguments of `podman run` (`PodmanArgs=`).
#[must_use]
pub fn parse_arguments(words: &[String], environment: &Environment) -> Arguments {
    let mut found = Arguments::default();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
            _ if word.starts_with("--") => (word.as_str(), None),
            // `-vSOURCE:TARGET` and `-eNAME=VALUE` without a space.
            _ => match word.split_at_checked(2) {
                Some((flag @ ("-v" | "-e"), value)) if !value.is_empty() => {
                    (flag, Some(value.trim_start_matches('=')))
                }
                _ => (word.as_str(), None),
            },
        };
        if !matches!(
            flag,
            "-v" | "--volume" | "--mount" | "--tmpfs" | "-e" | "--env"
        ) {
            continue;
        }
        let Some(value) = value.or_else(|| rest.next().map(String::as_str)) else {
            found
                .odd
                .push(format!("expected a value after `{flag}`, found nothing"));
            continue;
        };
        let mount = match flag {
            "-e" | "--env" => {
                found.variables.extend(
                    value
                        .split_once('=')
                        .map(|(k, v)| (k.to_owned(), v.to_owned())),
                );
                continue;
            }
            "--mount" => parse_mount(value, environment),
            "--tmpfs" => parse_tmpfs(value, environment),
            _ => parse_volume(value, environment),
        };
        match mount {
            Ok(mount) => found.mounts.push(mount),
            Err(what) => found.odd.push(what),
        }
    }
    found
}

/// Returns the mount that a `Tmpfs=` line writes.
///
/// # Errors
/// What was expected and what was found, if it cannot be told where the container would see it.
pub fn parse_tmpfs(text: &str, environment: &Environment) -> Result<Mount, String> {
    let target = text.split(':').next().unwrap_or_default();
    Ok(Mount {
        source: MountSource::Memory,
        target: parse_target(target, text, environment)?,
        access: Access::Writable,
    })
}

fn parse_target(text: &str, whole: &str, environment: &Environment) -> Result<PathBuf, String> {
    expand(text, environment)
        .ok()
        .and_then(|text| container_path(&text))
        .ok_or_else(|| {
            format!(
                "expected an absolute path in the container, found `{}`",
                whole.escape_debug()
            )
        })
}

fn parse_source(text: &str, environment: &Environment) -> MountSource {
    let text = match expand(text, environment) {
        Ok(text) => text,
        Err(specifier) => {
            return MountSource::Unusable(Unusable::Specifier(specifier, text.to_owned()));
        }
    };
    if text.is_empty() {
        MountSource::Unusable(Unusable::Anonymous)
    } else if text.starts_with('~') {
        MountSource::Unusable(Unusable::Tilde(text))
    } else if text.starts_with('.') {
        MountSource::Unusable(Unusable::Relative(text))
    } else if text.starts_with('/') {
        // `..` in a host path would be resolved by the kernel, through links; it is not guessed here.
        match container_path(&text) {
            Some(path) => MountSource::Folder(path),
            None => MountSource::Unusable(Unusable::Relative(text)),
        }
    } else if !is_container_name(&text) {
        MountSource::Unusable(Unusable::Name(text))
    } else if Path::new(&text).extension().is_some_and(|e| e == "volume") {
        MountSource::VolumeUnit(text)
    } else {
        MountSource::Volume {
            name: text,
            folder: PathBuf::from("."),
        }
    }
}

/// Where a path of the container really is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Under<'a> {
    /// The mount that has it.
    pub mount: &'a Mount,
    /// Where it is below the mount's target: empty if it is the target.
    pub below: PathBuf,
    /// The path itself.
    pub path: PathBuf,
}

/// Returns on which mount the first of these paths is: a mount at exactly one of them, else the one with the longest
/// target that holds one.
#[must_use]
pub fn find<'a>(mounts: &'a [Mount], candidates: &[PathBuf]) -> Option<Under<'a>> {
    let exact = candidates.iter().find_map(|path| {
        mounts
            .iter()
            .rev()
            .find(|m| m.target == *path)
            .map(|mount| (mount, path))
    });
    let (mount, path) = exact.or_else(|| {
        candidates.iter().find_map(|path| {
            mounts
                .iter()
                .filter(|m| path.starts_with(&m.target))
                .max_by_key(|m| m.target.components().count())
                .map(|mount| (mount, path))
        })
    })?;
    Some(Under {
        mount,
        below: path.strip_prefix(&mount.target).ok()?.to_owned(),
        path: path.clone(),
    })
}

/// Returns the mounts that lie below a path of the container.
#[must_use]
pub fn nested<'a>(mounts: &'a [Mount], path: &Path) -> Vec<&'a Mount> {
    mounts
        .iter()
        .filter(|m| m.target != path && m.target.starts_with(path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::of_home(Path::new("/home/alice"))
    }

    fn folder(path: &str) -> MountSource {
        MountSource::Folder(path.into())
    }

    fn volume(name: &str) -> MountSource {
        MountSource::Volume {
            name: name.to_owned(),
            folder: ".".into(),
        }
    }

    #[test]
    fn volumes_are_told_apart() {
        use Access::{Overlay, ReadOnly, Writable};
        let unusable = MountSource::Unusable;
        for (text, source, access) in [
            ("data:/x", volume("data"), Writable),
            (
                "data.volume:/x",
                MountSource::VolumeUnit("data.volume".to_owned()),
                Writable,
            ),
            ("%h/a:/x", folder("/home/alice/a"), Writable),
            ("%S/a:/x", folder("/home/alice/.local/state/a"), Writable),
            ("%C/a:/x", folder("/home/alice/.cache/a"), Writable),
            ("%E/a:/x", folder("/home/alice/.config/a"), Writable),
            ("/50%%:/x", folder("/50%"), Writable),
            (
                "%t/a:/x",
                unusable(Unusable::Specifier('t', "%t/a".to_owned())),
                Writable,
            ),
            ("/srv/be:/x:rw,Z", folder("/srv/be"), Writable),
            ("/srv//be/:/x/", folder("/srv/be"), Writable),
            (
                "~/a:/x",
                unusable(Unusable::Tilde("~/a".to_owned())),
                Writable,
            ),
            (
                "./a:/x",
                unusable(Unusable::Relative("./a".to_owned())),
                Writable,
            ),
            (
                "a/b:/x",
                unusable(Unusable::Name("a/b".to_owned())),
                Writable,
            ),
            ("/x", unusable(Unusable::Anonymous), Writable),
            (":/x", unusable(Unusable::Anonymous), Writable),
            ("/a:/x:O", folder("/a"), Overlay),
            ("/a:/x:ro,z", folder("/a"), ReadOnly),
        ] {
            assert_eq!(
                parse_volume(text, &environment()),
                Ok(Mount {
                    source,
                    target: "/x".into(),
                    access
                }),
                "{text}"
            );
        }
        for text in ["a:b", "", "a:/x:ro:z", "/a:../x", "x"] {
            assert!(parse_volume(text, &environment()).is_err(), "{text}");
        }
    }

    #[test]
    fn mounts_are_volumes_too() {
        use Access::{Overlay, ReadOnly, Writable};
        for (text, source, access) in [
            (
                "type=bind,source=%h/a,target=/x",
                folder("/home/alice/a"),
                Writable,
            ),
            ("type=bind,src=/a,dst=/x,ro", folder("/a"), ReadOnly),
            (
                "type=bind,src=/a,destination=/x,readonly=false",
                folder("/a"),
                Writable,
            ),
            (
                "type=volume,source=data,target=/x",
                volume("data"),
                Writable,
            ),
            (
                "source=data.volume,target=/x",
                MountSource::VolumeUnit("data.volume".to_owned()),
                Writable,
            ),
            (
                "type=volume,source=data,target=/x,subpath=a/b",
                MountSource::Volume {
                    name: "data".to_owned(),
                    folder: "a/b".into(),
                },
                Writable,
            ),
            ("type=tmpfs,target=/x", MountSource::Memory, Writable),
            (
                "type=volume,target=/x",
                MountSource::Unusable(Unusable::Anonymous),
                Writable,
            ),
            (
                "type=bind,source=a,target=/x",
                MountSource::Unusable(Unusable::Relative("a".to_owned())),
                Writable,
            ),
            (
                "type=image,source=i,target=/x",
                MountSource::Unusable(Unusable::Name("i".to_owned())),
                Overlay,
            ),
        ] {
            assert_eq!(
                parse_mount(text, &environment()),
                Ok(Mount {
                    source,
                    target: "/x".into(),
                    access
                }),
                "{text}"
            );
        }
        for text in ["type=bind,source=/a", "type=what,target=/x", ""] {
            assert!(parse_mount(text, &environment()).is_err(), "{text}");
        }
    }

    #[test]
    fn arguments_of_podman_count() {
        let words: Vec<String> = [
            "--gpus=all",
            "-v",
            "/a:/a",
            "--volume=/b:/b:ro",
            "-v/c:/c",
            "--mount",
            "type=bind,src=/d,dst=/d",
            "--tmpfs",
            "/t:size=1m",
            "-e",
            "DATA_DIR=/a",
            "--env=B=c=d",
            "--env",
            "INHERITED",
            "-v",
        ]
        .map(str::to_owned)
        .to_vec();
        let found = parse_arguments(&words, &environment());
        let targets: Vec<&str> = found
            .mounts
            .iter()
            .map(|m| m.target.to_str().unwrap())
            .collect();
        assert_eq!(targets, ["/a", "/b", "/c", "/d", "/t"]);
        assert_eq!(
            found.variables,
            [
                ("DATA_DIR".to_owned(), "/a".to_owned()),
                ("B".to_owned(), "c=d".to_owned())
            ]
        );
        assert_eq!(found.odd, ["expected a value after `-v`, found nothing"]);
    }

    #[test]
    fn the_longest_target_that_holds_the_path_wins() {
        let mounts: Vec<Mount> = [
            "/root:/",
            "/srv/be:/app/backend",
            "/srv/up:/app/backend/data/uploads",
            "/other:/app/back",
        ]
        .iter()
        .map(|v| parse_volume(v, &environment()).unwrap())
        .collect();
        let path = PathBuf::from("/app/backend/data");
        let under = find(&mounts, std::slice::from_ref(&path)).unwrap();
        assert_eq!(under.mount.source, folder("/srv/be"));
        assert_eq!(under.below, Path::new("data"));
        assert_eq!(nested(&mounts, &path), [&mounts[2]]);
        assert_eq!(find(&mounts[2..], &[path]), None);
    }

    #[test]
    fn a_mount_at_another_known_path_wins_over_a_prefix() {
        let mounts = [parse_volume("pg:/var/lib/postgresql", &environment()).unwrap()];
        let candidates = ["/var/lib/postgresql/data", "/var/lib/postgresql"].map(PathBuf::from);
        let under = find(&mounts, &candidates).unwrap();
        assert_eq!(under.below, Path::new(""));
        assert_eq!(under.path, candidates[1]);
    }
}
