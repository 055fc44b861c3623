//! A whole look that may stand in for the next one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::fingerprint::{Fingerprint, FolderMark};
use super::observation::Database;
use super::uploads::Uploads;
use crate::guard::Contract;

/// A whole look. While the files' fingerprint is the same, it need not be repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What was asked of it: another contract asks anew.
    pub contract: Contract,
    /// Of the files that were looked at.
    pub fingerprint: Fingerprint,
    /// What was found.
    pub database: Database,
    /// What was found of the files that the database names.
    #[serde(default)]
    pub uploads: Option<Uploads>,
    /// Of the folders that hold them.
    #[serde(default)]
    pub folders: Vec<FolderMark>,
    /// When.
    pub at: Timestamp,
}
