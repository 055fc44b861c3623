//! Mounts as `Volume=`, `Mount=`, `Tmpfs=` and the arguments of `podman run` write them. Pure.

use std::path::{Path, PathBuf};

use super::container_unit::expand;
use super::volume::{Access, Mount, MountSource, Unusable};
use crate::catalog::container_path;
use crate::settings::{Environment, is_container_name};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::of_home(Path::new("/home/alice"))
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
}
