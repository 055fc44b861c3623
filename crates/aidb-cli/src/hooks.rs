//! What a unit's hooks note in the ledger: that a container starts, that it runs, how it ended.
//!
//! That nothing can be noted is no reason for a hook to fail, nor to say more than the ledger's own notice.

use std::collections::BTreeSet;

use aidb_core::guard::Guard;
use aidb_core::incarnation::Ending;
use aidb_core::ledger::{Left, Run, Running};
use aidb_core::monitor::watch::{PATIENCE, boot, note_running};
use aidb_core::podman::storage::Stored;
use aidb_core::podman::{Podman, Storage, cgroups};
use aidb_core::stack::Stack;
use jiff::Timestamp;

/// Notes that the containers of these guards are about to start.
pub fn announce_start(stack: &mut Stack, guards: &[Guard]) {
    let Ok(ledger) = stack.ledger() else { return };
    for container in containers(guards) {
        let _ = ledger.announce_start(container, &run(), Timestamp::now());
    }
}

/// Notes that the containers of these guards end, as far as systemd tells.
///
/// Before a stop it tells that all is well also of an application that ended by itself in that very moment: of that one the
/// hook after it tells, which knows how.
pub fn note_end(stack: &mut Stack, guards: &[Guard]) {
    let left = left(variable);
    let is_before = left.exit_code.is_none() && left.ending(None) == Ending::Stopped;
    // Only then is there a container to ask about.
    let storage = is_before.then(|| Storage::of(&stack.environment));
    let Ok(ledger) = stack.ledger() else { return };
    for container in containers(guards) {
        let stored = |storage: &Storage| storage.container(container).ok().flatten();
        if let Some((storage, stored)) = storage.as_ref().and_then(|s| Some((s, stored(s)?))) {
            let has_ended = cgroups::has_ended(storage, &stored.id);
            let last = ledger.latest_incarnation(container).ok().flatten();
            if last.is_some_and(|l| l.container_id.is_none()) {
                let _ = ledger.note_container(container, &as_running(storage, stored));
            }
            if has_ended {
                continue;
            }
        }
        let _ = ledger.note_end(container, &run(), &left, Timestamp::now());
    }
}

/// Returns a container of Podman's storage as the ledger has one that runs.
fn as_running(storage: &Storage, stored: Stored) -> Running {
    Running {
        image_digest: storage.image_digest(&stored.image_id),
        id: stored.id,
        image: stored.image_name,
        layer: Some(stored.upper),
        started_at: None,
    }
}

/// Returns what systemd tells a stop hook.
fn left(variable: impl Fn(&str) -> Option<String>) -> Left {
    Left {
        result: variable("SERVICE_RESULT"),
        exit_code: variable("EXIT_CODE"),
        exit_status: variable("EXIT_STATUS"),
    }
}

/// Returns whether systemd says that the application never ran: after a start that was held or failed.
#[must_use]
pub fn never_ran() -> bool {
    tells_that_it_never_ran(variable)
}

fn tells_that_it_never_ran(variable: impl Fn(&str) -> Option<String>) -> bool {
    left(variable).ending(None) == Ending::NeverRan
}

/// Notes which containers run now: their ids, images and layers.
pub fn note_up(stack: &mut Stack, guards: &[Guard]) {
    let (programs, environment) = (&stack.settings.programs, &stack.environment);
    let Ok(podman) = Podman::find(programs, environment, PATIENCE) else {
        return;
    };
    for container in containers(guards) {
        if let (Ok(Some(found)), Ok(ledger)) = (podman.container(container), stack.ledger()) {
            let _ = note_running(ledger, &found, &boot(), Timestamp::now());
        }
    }
}

fn containers(guards: &[Guard]) -> BTreeSet<&str> {
    guards.iter().map(|g| g.container.as_str()).collect()
}

fn run() -> Run {
    Run {
        invocation: variable("INVOCATION_ID"),
        boot: boot(),
    }
}

/// Returns a variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As systemd 257 sets them. A snapshot of a held start would be one of the very state that was held.
    #[test]
    fn after_a_held_start_nothing_is_kept() {
        for (told, result, code, expected) in [
            ("held: its job was given back", Some("signal"), None, true),
            ("held: the check failed", Some("exit-code"), None, true),
            (
                "before the stop, container up",
                Some("success"),
                None,
                false,
            ),
            ("after a stop", Some("success"), Some("exited"), false),
            ("after a crash", Some("exit-code"), Some("exited"), false),
            ("after a kill", Some("signal"), Some("killed"), false),
            (
                "a stop that took too long",
                Some("timeout"),
                Some("killed"),
                false,
            ),
            ("by hand", None, None, false),
        ] {
            let variable = |name: &str| match name {
                "SERVICE_RESULT" => result.map(str::to_owned),
                _ => code.map(str::to_owned),
            };
            assert_eq!(tells_that_it_never_ran(variable), expected, "{told}");
        }
    }
}
