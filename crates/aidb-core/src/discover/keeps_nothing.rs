//! What to say of a mount that keeps nothing. Pure.

use super::volume::{MountSource, Unusable};

/// Returns what a source that keeps nothing is, and what to write in place of it if that is not another volume.
pub(super) fn keeps_nothing(
    source: &MountSource,
    is_in_memory: bool,
) -> (String, Option<&'static str>) {
    if is_in_memory {
        return ("a volume in memory (`tmpfs`)".to_owned(), None);
    }
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
