//! The answer in one word.

use serde::{Deserialize, Serialize};

use super::Severity;

/// Whether the data is fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every check passed.
    Pass,
    /// Something should be known; nothing is stopped.
    Warn,
    /// It could not be found out.
    Unknown,
    /// The answer is no.
    Hold,
}

impl Verdict {
    /// Returns the verdict over several: 1 (hold) over 3 (unknown) over 0, as CLI promises for statuses.
    #[must_use]
    pub fn over(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Pass)
    }

    /// Returns the verdict as programs know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Hold => "hold",
        }
    }

    /// Returns the verdict of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pass, Self::Warn, Self::Unknown, Self::Hold]
            .into_iter()
            .find(|v| v.as_str() == word)
    }

    /// Returns the exit status that stands for this verdict.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Pass | Self::Warn => 0,
            Self::Hold => 1,
            Self::Unknown => 3,
        }
    }
}

impl From<Severity> for Verdict {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Pass,
            Severity::Warn => Self::Warn,
            Severity::Hold => Self::Hold,
        }
    }
}
