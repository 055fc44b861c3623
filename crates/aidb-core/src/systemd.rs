//! The systemd user manager of this person: which units run, and jobs for them.
//!
//! That there is none (at boot before a login, in a container, without systemd) is no error: then nothing runs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Result;
use crate::program::{Program, Ran};
use crate::settings::{self, Environment, Programs};

/// How long a question to the manager may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a job may take: longer than a stop with its hooks, after which systemd kills the unit.
const JOB: Duration = Duration::from_secs(180);

/// A way to ask the user manager.
#[derive(Debug, Clone)]
pub struct UserManager {
    systemctl: PathBuf,
}

impl UserManager {
    /// Returns the way to ask it; none where there is no `systemctl`.
    #[must_use]
    pub fn find(programs: &Programs, environment: &Environment) -> Option<Self> {
        let systemctl = programs.locate(settings::Program::Systemctl, environment)?;
        Some(Self { systemctl })
    }

    /// Runs `systemctl --user` with these arguments, and returns whether it succeeded.
    #[must_use]
    pub fn does<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> bool {
        self.ran(arguments, JOB).is_ok_and(|r| r.status.success())
    }

    /// Returns those of the units that run, or are about to start or to stop.
    #[must_use]
    pub fn running(&self, units: &[String]) -> BTreeSet<String> {
        if units.is_empty() {
            return BTreeSet::new();
        }
        let arguments = ["is-active", "--"]
            .into_iter()
            .chain(units.iter().map(String::as_str));
        let Ok(ran) = self.ran(arguments, PATIENCE) else {
            return BTreeSet::new();
        };
        // One line for each unit, in their order; none at all without a manager.
        let text = String::from_utf8_lossy(&ran.answer).into_owned();
        let states: Vec<&str> = text.lines().collect();
        if states.len() != units.len() {
            return BTreeSet::new();
        }
        let runs = |state: &str| {
            matches!(
                state,
                "active" | "activating" | "reloading" | "refreshing" | "deactivating"
            )
        };
        let both = units.iter().zip(states);
        both.filter(|(_, state)| runs(state))
            .map(|(unit, _)| unit.clone())
            .collect()
    }

    /// Asks it, and returns what `systemctl --user` answers.
    ///
    /// # Errors
    /// [`crate::Error::CouldNot`] if there is no manager to answer in time.
    pub(crate) fn answer<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        deadline: Duration,
    ) -> Result<Vec<u8>> {
        self.question(arguments, deadline).answer()
    }

    fn ran<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        deadline: Duration,
    ) -> Result<Ran> {
        self.question(arguments, deadline).run()
    }

    fn question<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        deadline: Duration,
    ) -> Program {
        let mut program = Program::new(&self.systemctl, deadline)
            .args(["--user"])
            .args(arguments);
        // An activation from a system service or from `su` has no variable that leads to the manager.
        if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
            let folder = format!("/run/user/{}", rustix::process::getuid().as_raw());
            if Path::new(&folder).is_dir() {
                program = program.env("XDG_RUNTIME_DIR", folder);
            }
        }
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// Returns a manager that answers as a script says.
    fn answering(script: &str) -> (tempfile::TempDir, UserManager) {
        let folder = tempfile::tempdir().unwrap();
        let systemctl = folder.path().join("systemctl");
        std::fs::write(&systemctl, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o700)).unwrap();
        (folder, UserManager { systemctl })
    }

    #[test]
    fn the_units_that_run_are_told_in_order() {
        // As systemctl(1): one state a line, and a status that is not 0 as soon as one is not active.
        let (_folder, manager) =
            answering("printf 'active\\ninactive\\nfailed\\nactivating\\nunknown\\n'; exit 3");
        let units = ["a", "b", "c", "d", "e"].map(|n| format!("{n}.service"));
        let running = manager.running(&units);
        assert_eq!(
            running,
            ["a.service", "d.service"].map(str::to_owned).into()
        );
    }

    #[test]
    fn without_a_manager_nothing_runs() {
        let (_folder, manager) = answering(
            "echo 'Failed to connect to user scope bus via local transport: No such file or directory' >&2; exit 1",
        );
        assert_eq!(manager.running(&["a.service".to_owned()]), BTreeSet::new());
        let gone = UserManager {
            systemctl: "/nowhere/systemctl".into(),
        };
        assert_eq!(gone.running(&["a.service".to_owned()]), BTreeSet::new());
        assert!(!gone.does(["start", "a.service"]));
    }
}
