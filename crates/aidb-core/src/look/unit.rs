//! The state of systemd's user units: one question for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::settings::{Environment, Programs};
use crate::systemd::UserManager;

/// How a unit is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, …
    pub active: String,
    /// Why it failed, such as `exit-code`, `timeout`, `oom-kill`; `success` if it did not.
    pub result: String,
    /// The status or the signal of the main process, as systemd shows it.
    pub exit_status: Option<i32>,
    /// How often systemd has started it again by itself.
    pub restarts: u64,
    /// Whether there is such a unit.
    pub is_loaded: bool,
}

impl UnitState {
    /// Returns whether the unit is up, or on the way.
    #[must_use]
    pub fn should_run(&self) -> bool {
        self.active == "active"
    }

    /// Returns whether it failed and was given up.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.active == "failed"
    }
}

/// Returns the states of user units, by name; one that does not exist is not loaded.
///
/// # Errors
/// [`Error::CouldNot`] if there is no `systemctl`, or no user manager to answer it in time.
pub fn states(
    units: &[String],
    programs: &Programs,
    environment: &Environment,
    deadline: Duration,
) -> Result<BTreeMap<String, UnitState>> {
    if units.is_empty() {
        return Ok(BTreeMap::new());
    }
    let manager = UserManager::find(programs, environment).ok_or_else(|| Error::CouldNot {
        what: "`systemctl` was not found".into(),
        hint: None,
    })?;
    let properties = "Id,LoadState,ActiveState,Result,ExecMainStatus,NRestarts";
    let question = ["show", "--property", properties, "--"];
    let arguments = question.into_iter().chain(units.iter().map(String::as_str));
    let answer = manager.answer(arguments, deadline)?;
    Ok(parse(&String::from_utf8_lossy(&answer), units))
}

/// Reads what `systemctl show` prints: one paragraph of `KEY=VALUE` lines for each unit, in the order of the question.
fn parse(text: &str, asked: &[String]) -> BTreeMap<String, UnitState> {
    let mut found = BTreeMap::new();
    for (name, paragraph) in asked.iter().zip(text.trim().split("\n\n")) {
        let value = |key: &str| {
            paragraph
                .lines()
                .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
                .unwrap_or_default()
        };
        found.insert(
            // An alias has another id than the name that was asked for.
            name.clone(),
            UnitState {
                active: value("ActiveState").to_owned(),
                result: value("Result").to_owned(),
                exit_status: value("ExecMainStatus").parse().ok(),
                restarts: value("NRestarts").parse().unwrap_or(0),
                is_loaded: value("LoadState") == "loaded",
            },
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_paragraph_is_the_answer_about_one_unit() {
        let text = "Id=podman-web.service\nLoadState=loaded\nActiveState=failed\nResult=exit-code\n\
                    ExecMainStatus=137\nNRestarts=4\n\nLoadState=not-found\nActiveState=inactive\nResult=success\n";
        let asked = ["podman-web.service".to_owned(), "gone.service".to_owned()];
        let found = parse(text, &asked);
        let web = &found["podman-web.service"];
        assert!(
            web.has_failed() && web.is_loaded && !web.should_run(),
            "{web:?}"
        );
        assert_eq!(
            (web.exit_status, web.restarts, web.result.as_str()),
            (Some(137), 4, "exit-code")
        );
        assert!(!found["gone.service"].is_loaded);
    }

    #[test]
    fn without_units_nothing_is_asked() {
        let environment = Environment::of_home(std::path::Path::new("/nowhere"));
        let found = states(&[], &Programs::default(), &environment, Duration::ZERO);
        assert_eq!(found.unwrap(), BTreeMap::new());
    }
}
