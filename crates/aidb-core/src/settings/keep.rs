//! How many snapshots are kept.

/// How many snapshots of each kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The last so many distinct contents.
    pub last: u32,
    /// The newest of each of the last so many days that have one.
    pub daily: u32,
    /// The newest of each of the last so many ISO weeks that have one.
    pub weekly: u32,
    /// The newest of each of the last so many months that have one.
    pub monthly: u32,
    /// The newest archives.
    pub archives: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            last: 3,
            daily: 7,
            weekly: 4,
            monthly: 3,
            archives: 2,
        }
    }
}
