//! Where private copies lie while they are looked at: made when the first is needed, removed when dropped.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use crate::error::told;
use crate::staging::Staging;

/// Folders for private copies, in the order in which they are tried.
#[derive(Debug)]
pub struct Scratch {
    places: Vec<(PathBuf, OnceCell<Result<Staging, String>>)>,
}

impl Scratch {
    /// Returns a scratch in these folders for half-made things. Nothing is made yet.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = PathBuf>) -> Self {
        let places = places.into_iter().map(|folder| (folder, OnceCell::new()));
        Self {
            places: places.collect(),
        }
    }

    /// Returns the folders, or why there is none at a place.
    pub fn folders(&self) -> impl Iterator<Item = Result<&Path, String>> {
        self.places.iter().map(|(folder, made)| {
            let staging = made.get_or_init(|| Staging::new(folder, "look").map_err(|e| told(&e)));
            staging.as_ref().map(Staging::path).map_err(|why| {
                format!(
                    "no private copy can be made in `{}`: {why}",
                    folder.display()
                )
            })
        })
    }
}
