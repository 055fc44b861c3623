//! Folders that hold each other where they must not: a vault in the data that it keeps, data in other data.

use std::path::{Path, PathBuf};

use super::paths::{Place, exclude_set, excluded};
use crate::guard::Guard;

/// Two folders of which one holds the other, where they must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlap {
    /// The vault and a guard's data.
    Vault {
        /// The guard.
        guard: String,
        /// Its data folder.
        data: PathBuf,
        /// The vault.
        folder: PathBuf,
    },
    /// The ledger's folder and a guard's data.
    State {
        /// The guard.
        guard: String,
        /// Its data folder.
        data: PathBuf,
        /// The ledger's folder.
        folder: PathBuf,
    },
    /// The data of two guards.
    Guards {
        /// The guard whose folder holds the other.
        outer: String,
        /// The guard whose folder is inside, or the same.
        inner: String,
        /// The inner folder.
        data: PathBuf,
        /// The outer folder.
        around: PathBuf,
        /// Where the inner is below the outer: empty if they are the same.
        below: PathBuf,
    },
}

impl std::fmt::Display for Overlap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Vault {
                guard,
                data,
                folder,
            }
            | Self::State {
                guard,
                data,
                folder,
            } => write!(
                f,
                "expected a folder apart from every guard's data, found `{}`, and guard `{guard}` has `{}`",
                folder.display(),
                data.display()
            ),
            Self::Guards {
                outer, data, below, ..
            } if below.as_os_str().is_empty() => write!(
                f,
                "expected a folder of its own, found `{}`, which guard `{outer}` guards too",
                data.display()
            ),
            Self::Guards {
                outer,
                data,
                around,
                below,
                ..
            } => write!(
                f,
                "expected a folder of its own, found `{}` inside `{}` of guard `{outer}`, which does not exclude `{}/**`",
                data.display(),
                around.display(),
                below.display()
            ),
        }
    }
}

/// Returns the folders that hold each other where they must not, compared as written and through links.
#[must_use]
pub fn overlaps(guards: &[Guard], vault: Option<&Path>, state: Option<&Path>) -> Vec<Overlap> {
    let places: Vec<Place> = guards.iter().map(|g| Place::of(&g.data)).collect();
    let mut found = Vec::new();
    for (folder, is_vault) in [(vault, true), (state, false)] {
        let Some(folder) = folder else { continue };
        let place = Place::of(folder);
        for (guard, data) in guards.iter().zip(&places) {
            if data.holds(&place).is_some() || place.holds(data).is_some() {
                let (guard, data, folder) =
                    (guard.name.clone(), guard.data.clone(), folder.to_owned());
                found.push(if is_vault {
                    Overlap::Vault {
                        guard,
                        data,
                        folder,
                    }
                } else {
                    Overlap::State {
                        guard,
                        data,
                        folder,
                    }
                });
            }
        }
    }
    for (index, (outer, outer_place)) in guards.iter().zip(&places).enumerate() {
        for (other, (inner, inner_place)) in guards.iter().zip(&places).enumerate() {
            let Some(below) = outer_place.holds(inner_place) else {
                continue;
            };
            let same = below.as_os_str().is_empty();
            // The same folder is said once, at the later guard.
            if index == other || (same && index > other) {
                continue;
            }
            let left_out =
                !same && exclude_set(&outer.exclude).is_ok_and(|set| excluded(&set, &below));
            if !left_out {
                found.push(Overlap::Guards {
                    outer: outer.name.clone(),
                    inner: inner.name.clone(),
                    data: inner.data.clone(),
                    around: outer.data.clone(),
                    below,
                });
            }
        }
    }
    found
}
