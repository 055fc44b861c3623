//! Paths of settings: made absolute, and compared as text and as what they lead to.

use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

/// Returns an absolute path without `.` and doubled slashes; `~/` is the home folder.
///
/// # Errors
/// What was expected and what was found.
pub fn absolute(text: &str, home: &Path) -> Result<PathBuf, String> {
    let path = match text.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(rest) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    let refuse = |expected: &str| {
        Err(format!(
            "expected {expected}, found `{}`",
            text.escape_debug()
        ))
    };
    if !path.is_absolute() {
        return refuse("an absolute path (`~/` is expanded)");
    }
    if path.components().any(|c| c == Component::ParentDir) {
        return refuse("a path without `..`");
    }
    if text.contains('\0') {
        return refuse("a path without a zero byte");
    }
    Ok(path.components().collect())
}

/// A path as it is written and as what its existing part leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    written: PathBuf,
    real: PathBuf,
}

impl Place {
    /// Returns the place of an absolute path. What of it does not exist is taken as it is written.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let real = path
            .ancestors()
            .find_map(|ancestor| {
                let real = ancestor.canonicalize().ok()?;
                let rest = path.strip_prefix(ancestor).ok()?;
                Some(real.join(rest).components().collect())
            })
            .unwrap_or_else(|| path.to_owned());
        Self {
            written: path.to_owned(),
            real,
        }
    }

    /// Returns where the other place is below this one: empty if they are the same.
    #[must_use]
    pub fn holds(&self, other: &Self) -> Option<PathBuf> {
        [&self.real, &self.written]
            .iter()
            .zip([&other.real, &other.written])
            .find_map(|(outer, inner)| inner.strip_prefix(outer).ok())
            .map(Path::to_owned)
    }
}

/// Returns one exclude pattern, compiled as all tools compile it: relative to the data folder, `*` and `?` stay
/// within one path component, `**` crosses them.
///
/// # Errors
/// What was expected and what was found.
pub fn exclude_pattern(pattern: &str) -> Result<Glob, String> {
    let refuse = |expected: &str| {
        Err(format!(
            "expected {expected}, found `{}`",
            pattern.escape_debug()
        ))
    };
    if pattern.is_empty() || pattern.starts_with('/') || pattern.split('/').any(|c| c == "..") {
        return refuse("a pattern relative to the data folder, without `..`");
    }
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| {
            format!(
                "expected a glob pattern, found `{}`: {}",
                pattern.escape_debug(),
                error.kind()
            )
        })?;
    if glob.compile_matcher().is_match("\u{1}any name") {
        return refuse("a pattern that leaves something to keep");
    }
    Ok(glob)
}

/// Returns the set of a guard's exclude patterns. Paths are matched relative to the data folder; see
/// [`excluded`] for what a match means.
///
/// # Errors
/// What was expected and what was found, for the first pattern that cannot be used.
pub fn exclude_set(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(exclude_pattern(pattern)?);
    }
    set.build().map_err(|error| error.to_string())
}

/// Returns whether a path below the data folder is not kept: it matches, or one of its parents does, or all that it
/// could hold does (`cache/**` leaves out the folder `cache` too).
#[must_use]
pub fn excluded(set: &GlobSet, relative: &Path) -> bool {
    relative
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .any(|path| set.is_match(path))
        || set.is_match(relative.join("\u{1}any name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let home = Path::new("/home/alice");
        for (text, expected) in [
            ("/srv/a", Ok("/srv/a")),
            ("/srv//a/./b/", Ok("/srv/a/b")),
            ("~/ai", Ok("/home/alice/ai")),
            ("~", Ok("/home/alice")),
            (
                "srv",
                Err("expected an absolute path (`~/` is expanded), found `srv`"),
            ),
            (
                "~bob/x",
                Err("expected an absolute path (`~/` is expanded), found `~bob/x`"),
            ),
            (
                "/a/../b",
                Err("expected a path without `..`, found `/a/../b`"),
            ),
        ] {
            assert_eq!(
                absolute(text, home),
                expected.map(PathBuf::from).map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn places_are_compared_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        std::fs::create_dir(&real).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(
            Place::of(&link).holds(&Place::of(&real.join("not/there"))),
            Some("not/there".into())
        );
        assert_eq!(
            Place::of(&real).holds(&Place::of(&link)),
            Some(PathBuf::new())
        );
        assert_eq!(
            Place::of(&real).holds(&Place::of(&folder.path().join("realistic"))),
            None
        );
    }

    #[test]
    fn patterns_are_checked() {
        for pattern in ["", "/abs", "../x", "a/../b", "**", "*", "a[", "{a"] {
            assert!(exclude_pattern(pattern).is_err(), "{pattern}");
        }
        let set = exclude_set(&["cache/**".to_owned(), "*.log".to_owned()]).unwrap();
        for (path, out) in [
            ("cache/a/b", true),
            ("cache", true),
            ("a.log", true),
            ("a.log/inside", true),
            ("b/a.log", false),
            ("webui.db", false),
        ] {
            assert_eq!(excluded(&set, Path::new(path)), out, "{path}");
        }
    }
}
