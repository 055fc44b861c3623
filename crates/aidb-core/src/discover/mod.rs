//! Without `stack.json`: quadlets and Home Manager's finished units, read into guards by the catalog.
//!
//! Reads unit files only; it asks neither Podman nor systemd, and nothing it meets is fatal: what cannot be read or
//! understood is told.

pub mod container_unit;
pub mod declared;
pub mod derive;
mod folder;
mod keeps_nothing;
mod load;
pub mod mount_lines;
pub mod volume;
pub mod volume_unit;

use std::path::PathBuf;

use crate::catalog::Catalog;
use crate::guard::Guard;
use crate::settings::overlap::{Overlap, overlaps};
use crate::settings::{DiscoverProblem, DiscoverProblemKind, Environment, NotGuarded};

/// What the unit files show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Discovery {
    /// What can be guarded, by name in order.
    pub guards: Vec<Guard>,
    /// Containers, or folders of them, that keep data which nobody guards.
    pub not_guarded: Vec<NotGuarded>,
    /// What a person must know.
    pub problems: Vec<DiscoverProblem>,
}

impl Discovery {
    /// Returns whether nothing was found at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.not_guarded.is_empty() && self.problems.is_empty()
    }
}

/// Returns what the unit files of this person show.
#[must_use]
pub fn discover(environment: &Environment) -> Discovery {
    let declared = declared::declared(environment);
    let mut found = Discovery {
        problems: declared.problems,
        ..Discovery::default()
    };
    for container in &declared.containers {
        derive::derive(
            container,
            &declared.volumes,
            Catalog::builtin(),
            environment,
            &mut found,
        );
    }
    found.guards.sort_by(|a, b| a.name.cmp(&b.name));
    keep_apart(&mut found, environment);
    found
}

/// Drops guards whose folders another guard has, or the vault, and says so.
fn keep_apart(found: &mut Discovery, environment: &Environment) {
    let clashes = overlaps(
        &found.guards,
        Some(&environment.data_home.join("aidb-vault")),
        Some(&environment.state_home.join("aidb")),
    );
    for clash in clashes {
        let name = match &clash {
            Overlap::Vault { guard, .. } | Overlap::State { guard, .. } => guard,
            Overlap::Guards { inner, .. } => inner,
        };
        let Some(at) = found.guards.iter().position(|g| g.name == *name) else {
            continue;
        };
        let guard = found.guards.remove(at);
        found.problems.push(DiscoverProblem {
            container: Some(guard.container.clone()),
            file: guard.unit.map(PathBuf::from).unwrap_or_default(),
            kind: DiscoverProblemKind::Overlap,
            what: format!("guard `{}`: {clash}", guard.name),
            hint: None,
        });
        if !matches!(clash, Overlap::Guards { .. }) {
            found.not_guarded.push(NotGuarded {
                container: guard.container,
                folders: vec![guard.data],
                why: "its folder holds the snapshots or the ledger, or lies inside them".to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod tests;
