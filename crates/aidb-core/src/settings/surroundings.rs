//! What there is around the guards: containers that nobody guards, and unit files that a person must know of.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::finding::FindingId;

/// A container with data that nobody guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotGuarded {
    /// The container's name.
    pub container: String,
    /// Its writable folders on the host.
    pub folders: Vec<PathBuf>,
    /// Why it is not guarded.
    pub why: String,
}

/// Something met by discovery that a person must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoverProblem {
    /// The container that it is about, if that is known.
    pub container: Option<String>,
    /// The unit file.
    pub file: PathBuf,
    /// What sort of problem it is.
    pub kind: DiscoverProblemKind,
    /// What is wrong, in one sentence without a full stop.
    pub what: String,
    /// A next step that works.
    pub hint: Option<String>,
}

/// The sorts of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiscoverProblemKind {
    /// A known image whose data does not outlive the container (or the next boot): finding `mount.absent`.
    DataNotKept,
    /// A part of a guard's data lies elsewhere, so that its snapshots lack it.
    Incomplete,
    /// A unit file that could not be read.
    Unreadable,
    /// A unit file, or a line of one, that was not understood.
    Odd,
    /// A folder that cannot be guarded because another guard, the vault or the ledger has it.
    Overlap,
}

impl DiscoverProblem {
    /// Returns the finding as which the tools show it; none if it is only worth knowing (a folder that two
    /// containers share is guarded once).
    #[must_use]
    pub fn finding(&self) -> Option<FindingId> {
        match self.kind {
            DiscoverProblemKind::DataNotKept => Some(FindingId::MountAbsent),
            DiscoverProblemKind::Incomplete
            | DiscoverProblemKind::Unreadable
            | DiscoverProblemKind::Odd => Some(FindingId::CheckCouldNot),
            DiscoverProblemKind::Overlap => None,
        }
    }
}
