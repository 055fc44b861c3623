//! How to look.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use super::scratch::Scratch;
use super::sqlite::Examiner;
use super::standing::Standing;

/// How to look.
#[derive(Debug, Clone)]
pub struct Way<'a> {
    /// Who opens private copies.
    pub examiner: &'a Examiner,
    /// How deep.
    pub depth: Depth,
    /// When to give up.
    pub deadline: Instant,
    /// Where the folder comes from.
    pub place: Where<'a>,
    /// Looks that may still stand, by the store's name.
    pub standing: Option<&'a BTreeMap<String, Standing>>,
    /// Whether a look that showed damage may stand, too: whoever mends it is to be told the present state.
    pub damage_stands: bool,
    /// Where the container sees the data folder, and the data folder on the host.
    pub mount: Option<(&'a Path, &'a Path)>,
}

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Names, sizes, headers, the log's checksums, the schema.
    Bytes,
    /// And SQLite's quick check of a private copy.
    Quick,
    /// And its full check.
    Full,
    /// And whole files whose name tells what they hold: the blobs of models.
    Contents,
}

/// What the folder is.
#[derive(Debug, Clone, Copy)]
pub enum Where<'a> {
    /// Somebody's: databases are cloned into this scratch first.
    Live(&'a Scratch),
    /// A snapshot of ours: databases are opened where they lie, and fold their logs into themselves.
    Ours,
}
