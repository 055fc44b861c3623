//! The error type of the core: one variant where a caller acts differently.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The core's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong below the tools. The tools map these to exit statuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used (status 2).
    #[error("settings{}: {what}", .file.as_ref().map(|f| format!(" `{}`", f.display())).unwrap_or_default())]
    Settings {
        /// The file, if it came from one.
        file: Option<PathBuf>,
        /// JSON pointer, what was expected, what was found.
        what: String,
        /// A next step that works.
        hint: Option<String>,
    },
    /// The command line names something that does not exist (status 2).
    #[error("{what}")]
    Usage {
        /// What was asked and what there is.
        what: String,
        /// A next step that works.
        hint: Option<String>,
    },
    /// Somebody else holds what is needed (status 4).
    #[error("{what} is busy (waited {} ms)", .waited.as_millis())]
    Busy {
        /// What is held.
        what: String,
        /// For how long we waited.
        waited: Duration,
    },
    /// The time that was given was not enough (status 4).
    #[error("{what}: the time was not enough (gave up after {} ms)", .after.as_millis())]
    Deadline {
        /// What lasted too long, such as ``copying `webui.db` ``.
        what: String,
        /// After how long we gave up.
        after: Duration,
    },
    /// It cannot be found out or done here (status 3).
    #[error("{what}")]
    CouldNot {
        /// What could not be done, and what was found.
        what: String,
        /// A next step that works.
        hint: Option<String>,
    },
    /// The operating system refused (status 3).
    #[error("{doing} `{}`", .path.display())]
    Io {
        /// What was attempted, such as `open`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite refused (status 3).
    #[error("{doing} `{}`", .path.display())]
    Sqlite {
        /// What was attempted, such as `count rows of`.
        doing: &'static str,
        /// On which database (a private copy, or our own ledger).
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
}

impl Error {
    /// Returns the next step that belongs to the error, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Settings { hint, .. }
            | Self::Usage { hint, .. }
            | Self::CouldNot { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }
}

/// Returns an error with its cause, in one line.
#[must_use]
pub fn told(error: &Error) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Adds what was attempted, and on what, to an operating-system error.
pub trait IoContext<T> {
    /// Returns the error as [`Error::Io`].
    fn doing(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> IoContext<T> for Result<T, E> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}
