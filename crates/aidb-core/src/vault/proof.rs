//! `proof.json`: the record that a snapshot was opened and met its contract.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::judge::Finding;
use crate::look::seen::Seen;

/// The outcome of opening and checking a snapshot. It is the content of `proof.json` if the contract was met,
/// and of `refused.json` if it was not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The version of this file's format.
    pub format: u32,
    /// When the checks ended.
    pub proven_at: Timestamp,
    /// The BLAKE3 of the `manifest.json` that this speaks of.
    pub manifest_blake3: String,
    /// A hash over names and content, the same for snapshots of the same state.
    pub content_id: String,
    /// What was opened, and what it showed.
    pub stores: Vec<StoreProof>,
    /// What stood against it; without holds in a `proof.json`.
    pub findings: Vec<Finding>,
    /// Why the state is suspicious (rows below the high-water mark): it goes to the side lane of retention.
    pub suspicious: Option<String>,
    /// The version of the tool that checked it.
    pub tool_version: String,
}

/// What one store of a snapshot showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreProof {
    /// The store's name.
    pub name: String,
    /// How far it was checked: `bytes`, `quick` or `full`.
    pub checked: String,
    /// What is worth remembering of it.
    pub seen: Seen,
}
