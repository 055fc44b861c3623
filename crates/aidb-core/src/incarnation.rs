//! One run of a container, and why it ended.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incarnation {
    /// Rises with each run, whatever the clock says.
    pub id: i64,
    /// The container's name.
    pub container: String,
    /// The systemd invocation that announced it, if one did.
    pub invocation: Option<String>,
    /// The system's boot.
    pub boot: String,
    /// When the hook before the start ran, if it did.
    pub announced_at: Option<Timestamp>,
    /// Podman's id, once it was seen.
    pub container_id: Option<String>,
    /// The image as the container names it.
    pub image: Option<String>,
    /// The image's digest.
    pub image_digest: Option<String>,
    /// The folder of the container's own layer on the host: after a power cut nothing else knows it.
    pub layer: Option<PathBuf>,
    /// When it started, as Podman says.
    pub started_at: Option<Timestamp>,
    /// When it was last heard of.
    pub seen_at: Timestamp,
    /// When it ended, as far as it is known.
    pub ended_at: Option<Timestamp>,
    /// Why it ended; `None` while it runs.
    pub ending: Option<Ending>,
    /// The status that the application left, if it left one.
    pub exit_status: Option<i32>,
}

impl Incarnation {
    /// Returns when it began, by the best that is known.
    #[must_use]
    pub fn began_at(&self) -> Timestamp {
        self.started_at
            .or(self.announced_at)
            .unwrap_or(self.seen_at)
    }

    /// Returns whether this was a container's run by more than a hook's word: Podman showed it, or systemd started it.
    /// A check by hand announces a start too, also where there is no Podman.
    #[must_use]
    pub fn is_attested(&self) -> bool {
        self.container_id.is_some() || self.invocation.is_some()
    }
}

/// Why a run ended, as far as the hooks know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It was stopped, or ended by itself without a failure.
    Stopped,
    /// It failed: a status that is none of an orderly end.
    Failed,
    /// The start was held, or failed before the application ran.
    NeverRan,
    /// The system went down without a stop: a power cut, or a kill of the user manager.
    PowerCut,
    /// Another run took its place, and no hook saw this one end.
    Unseen,
}

impl Ending {
    /// Every ending, with its word.
    const WORDS: [(Self, &'static str); 5] = [
        (Self::Stopped, "stopped"),
        (Self::Failed, "failed"),
        (Self::NeverRan, "never-ran"),
        (Self::PowerCut, "power-cut"),
        (Self::Unseen, "unseen"),
    ];

    /// Returns the ending as the ledger and programs know it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(ending, _)| *ending == self)
            .map_or("unseen", |(_, word)| word)
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, w)| *w == word)
            .map(|(ending, _)| *ending)
    }
}
