//! Settings: what is guarded and where snapshots are kept, from `stack.json` or, without one, from the quadlets.
//!
//! What this module hands out is checked; nothing below it checks again. It never reads the process's environment
//! (see [`Environment::from_process`]) and writes nothing.

pub mod check;
pub mod environment;
pub mod file;
mod keep;
pub mod overlap;
pub mod paths;
pub mod programs;
pub mod read;
pub mod resolve;
mod surroundings;

use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;
pub use file::{Gate, json_schema};
pub use keep::Keep;
pub use programs::{Program, Programs};
pub use resolve::is_container_name;
pub use surroundings::{DiscoverProblem, DiscoverProblemKind, NotGuarded};

use crate::guard::Guard;
use crate::{Error, Result};

/// What is guarded, and where snapshots are kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where they come from.
    pub source: Source,
    /// The folder of snapshots, absolute.
    pub vault: PathBuf,
    /// The folder of the ledger, absolute.
    pub state: PathBuf,
    /// Which snapshots are kept.
    pub keep: Keep,
    /// What is guarded, by name in order.
    pub guards: Vec<Guard>,
    /// Where programs are.
    pub programs: Programs,
    /// Whether the gate at a switch may refuse it.
    pub gate: Gate,
    /// How a person is told what changed while nobody looked.
    pub alert: Ways,
    /// Whether snapshots are handed to somewhere else than this machine's disks.
    pub offsite: bool,
    /// Containers with data that nobody guards.
    pub not_guarded: Vec<NotGuarded>,
    /// What discovery met that a person must know.
    pub problems: Vec<DiscoverProblem>,
}

/// How a person is told what changed while nobody looked. The unit's journal is told always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// Whether to show a notification on the desktop.
    pub desktop: bool,
    /// An absolute program and its arguments, given a JSON document to read.
    pub command: Option<Vec<String>>,
    /// For how long the return of something that was told is not told again.
    pub quiet: Duration,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            desktop: true,
            command: None,
            quiet: Duration::from_secs(24 * 3600),
        }
    }
}

/// Where settings come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From this file.
    File(PathBuf),
    /// From the quadlets, by the catalog.
    Discovered,
}

impl Settings {
    /// Returns the guards that are named: each name is a guard's, or a part of only one guard's. No name means all.
    ///
    /// # Errors
    /// [`Error::Usage`] if a name fits no guard, or several.
    pub fn select(&self, names: &[String]) -> Result<Vec<&Guard>> {
        if names.is_empty() {
            return Ok(self.guards.iter().collect());
        }
        let mut chosen: Vec<&Guard> = Vec::new();
        for name in names {
            let guard = self.select_one(name)?;
            if !chosen.iter().any(|g| g.name == guard.name) {
                chosen.push(guard);
            }
        }
        Ok(chosen)
    }

    /// Returns the guard of that name, or the only one whose name has it as a part.
    ///
    /// # Errors
    /// [`Error::Usage`] if the name fits no guard, or several.
    pub fn select_one(&self, name: &str) -> Result<&Guard> {
        if let Some(exact) = self.guards.iter().find(|g| g.name == name) {
            return Ok(exact);
        }
        let wanted = name.to_lowercase();
        let fitting: Vec<&Guard> = self
            .guards
            .iter()
            .filter(|g| !name.is_empty() && g.name.to_lowercase().contains(&wanted))
            .collect();
        let list = |guards: &[&Guard]| {
            let names: Vec<&str> = guards.iter().map(|g| g.name.as_str()).collect();
            format!("`{}`", names.join("`, `"))
        };
        let shown = name.escape_debug();
        match fitting.as_slice() {
            [one] => Ok(one),
            [] if self.guards.is_empty() => Err(Error::Usage {
                what: format!("no guard `{shown}`: nothing is guarded"),
                hint: None,
            }),
            [] => {
                let all: Vec<&Guard> = self.guards.iter().collect();
                Err(Error::Usage {
                    what: format!("no guard `{shown}`, expected one of {}", list(&all)),
                    hint: crate::words::nearest(name, all.iter().map(|g| g.name.as_str()))
                        .map(|near| format!("did you mean `{near}`?")),
                })
            }
            several => Err(Error::Usage {
                what: format!("`{shown}` is part of several guards: {}", list(several)),
                hint: Some("write the whole name".to_owned()),
            }),
        }
    }
}

/// Returns whether an error says that a path does not exist, and not that it could not be looked at.
pub(crate) fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// Returns the smallest settings that guard a folder.
pub(crate) fn minimal() -> &'static str {
    r#"{ "schema": 1, "vault": "~/.local/share/aidb-vault", "guards": { "my-app": { "data": "~/my-app", "stores": { "db": { "kind": "sqlite", "path": "app.db" } } } } }"#
}

#[cfg(test)]
mod tests;
