//! What a unit's hooks note in the ledger: that a container starts, that it runs, how it ended.
//!
//! That nothing can be noted is no reason for a hook to fail, nor to say more than the ledger's own notice.

use std::collections::BTreeSet;

use aidb_core::guard::Guard;
use aidb_core::ledger::{Left, Run};
use aidb_core::monitor::watch::{PATIENCE, boot, note_running};
use aidb_core::podman::Podman;
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
pub fn note_end(stack: &mut Stack, guards: &[Guard]) {
    let left = Left {
        result: variable("SERVICE_RESULT"),
        exit_code: variable("EXIT_CODE"),
        exit_status: variable("EXIT_STATUS"),
    };
    let Ok(ledger) = stack.ledger() else { return };
    for container in containers(guards) {
        let _ = ledger.note_end(container, &run(), &left, Timestamp::now());
    }
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
