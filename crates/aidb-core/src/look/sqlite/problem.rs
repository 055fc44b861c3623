//! Why a database's own structure cannot be shown.

use serde::Serialize;

/// Why there is no schema to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// There is no database.
    NoDatabase,
    /// The structure is damaged: SQLite would say "malformed" or "not a database".
    Damaged {
        /// On which page, if on one.
        page: Option<u32>,
        /// What was expected and what was found.
        what: String,
    },
    /// A format newer than ours.
    Unsupported {
        /// What was expected and what was found.
        what: String,
    },
    /// The bytes could not be read.
    Unreadable {
        /// What was attempted and why not.
        what: String,
    },
    /// More than we look at.
    TooBig {
        /// The limit.
        what: String,
    },
}

impl Problem {
    pub(super) fn damaged(page: u32, what: String) -> Self {
        Self::Damaged {
            page: Some(page),
            what,
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoDatabase => f.write_str("there is no database"),
            Self::Damaged {
                page: Some(page),
                what,
            } => write!(f, "page {page}: {what}"),
            Self::Damaged { page: None, what }
            | Self::Unsupported { what }
            | Self::Unreadable { what }
            | Self::TooBig { what } => f.write_str(what),
        }
    }
}
