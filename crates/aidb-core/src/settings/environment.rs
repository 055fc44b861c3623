//! Where a person's files are: home and the XDG folders. Read from the process in one place only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Home, the XDG folders, and where programs are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `$HOME`.
    pub home: PathBuf,
    /// `$XDG_CONFIG_HOME`.
    pub config_home: PathBuf,
    /// `$XDG_DATA_HOME`.
    pub data_home: PathBuf,
    /// `$XDG_STATE_HOME`.
    pub state_home: PathBuf,
    /// `$XDG_CACHE_HOME`.
    pub cache_home: PathBuf,
    /// `$XDG_RUNTIME_DIR`, where Podman keeps what does not outlive a boot; without one, systemd's usual place for it.
    pub runtime: Option<PathBuf>,
    /// `$CONTAINERS_STORAGE_CONF`, the settings of Podman's storage.
    pub storage_settings: Option<PathBuf>,
    /// The folders of `$PATH`.
    pub path: Vec<PathBuf>,
}

impl Environment {
    /// Returns the environment of a home folder in which no variable is set.
    #[must_use]
    pub fn of_home(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            config_home: home.join(".config"),
            data_home: home.join(".local/share"),
            state_home: home.join(".local/state"),
            cache_home: home.join(".cache"),
            runtime: None,
            storage_settings: None,
            path: Vec::new(),
        }
    }

    /// Returns the environment of this process.
    ///
    /// # Errors
    /// [`Error::Settings`] if `$HOME` is unset, no absolute path, or no UTF-8.
    pub fn from_process() -> Result<Self> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    /// Returns the environment that these variables make. An XDG variable that is no absolute path does not count
    /// (XDG Base Directory Specification).
    ///
    /// # Errors
    /// [`Error::Settings`] if `HOME` is unset, no absolute path, or no UTF-8.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let absolute = |name: &str| {
            variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        // Paths below it are written into documents, which are text.
        let home = absolute("HOME").filter(|home| home.to_str().is_some());
        let home = home.ok_or_else(|| Error::Settings {
            file: None,
            what: format!(
                "expected an absolute path of UTF-8 in `HOME`, found {}",
                variable("HOME").map_or("nothing".to_owned(), |v| format!("`{}`", v.display()))
            ),
            hint: Some("set `HOME`, as a login does".to_owned()),
        })?;
        let defaults = Self::of_home(&home);
        let or = |name, default| absolute(name).unwrap_or(default);
        Ok(Self {
            config_home: or("XDG_CONFIG_HOME", defaults.config_home),
            data_home: or("XDG_DATA_HOME", defaults.data_home),
            state_home: or("XDG_STATE_HOME", defaults.state_home),
            cache_home: or("XDG_CACHE_HOME", defaults.cache_home),
            // An activation from a system service or from `su` does not have it, and Podman looks there, too.
            runtime: absolute("XDG_RUNTIME_DIR").or_else(|| {
                let usual = format!("/run/user/{}", rustix::process::getuid().as_raw());
                Some(PathBuf::from(usual)).filter(|folder| folder.is_dir())
            }),
            storage_settings: absolute("CONTAINERS_STORAGE_CONF"),
            path: variable("PATH")
                .map(|path| std::env::split_paths(&path).collect())
                .unwrap_or_default(),
            home,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_xdg_variables_do_not_count() {
        let environment = Environment::from_variables(|name| match name {
            "HOME" => Some("/home/alice".into()),
            "XDG_CONFIG_HOME" => Some("conf".into()),
            "XDG_DATA_HOME" => Some("/data".into()),
            "PATH" => Some("/a:/b".into()),
            _ => None,
        })
        .unwrap();
        assert_eq!(environment.config_home, Path::new("/home/alice/.config"));
        assert_eq!(environment.data_home, Path::new("/data"));
        assert_eq!(
            environment.state_home,
            Path::new("/home/alice/.local/state")
        );
        assert_eq!(environment.path, [Path::new("/a"), Path::new("/b")]);
    }

    #[test]
    fn no_home_is_said() {
        let error = Environment::from_variables(|_| None).unwrap_err();
        insta::assert_snapshot!(error, @"settings: expected an absolute path of UTF-8 in `HOME`, found nothing");
    }

    #[test]
    fn a_home_that_cannot_be_written_into_a_document_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        let home =
            |name: &str| (name == "HOME").then(|| OsString::from_vec(b"/home/al\xffce".into()));
        let error = Environment::from_variables(home).unwrap_err();
        assert!(matches!(error, Error::Settings { .. }), "{error:?}");
    }
}
