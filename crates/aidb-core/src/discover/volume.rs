//! What containers mount, and on which mount a path of theirs lies. Pure.

use std::path::{Path, PathBuf};

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
    use crate::discover::mount_lines::parse_volume;
    use crate::settings::Environment;

    fn environment() -> Environment {
        Environment::of_home(Path::new("/home/alice"))
    }

    fn folder(path: &str) -> MountSource {
        MountSource::Folder(path.into())
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
