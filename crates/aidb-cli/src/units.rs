//! The systemd user units of containers: stopped before their data is exchanged, started again after.

use aidb_core::guard::Guard;
use aidb_core::stack::Stack;

use crate::Ui;

/// Lifts a held start: forgets its failure and starts the unit, if the guard has one and there is a user manager.
pub fn start_again(stack: &Stack, guard: &Guard, ui: &Ui) {
    let Some(unit) = &guard.unit else { return };
    if !is_held(stack, unit) {
        return;
    }
    let _ = systemctl(stack, &["reset-failed", unit]);
    if systemctl(stack, &["start", "--no-block", unit]) {
        ui.note(format!("started {unit}"));
    }
}

/// Stops a unit; returns whether it ran before.
///
/// # Errors
/// If it runs and could not be stopped.
pub fn stop(stack: &Stack, unit: &str) -> anyhow::Result<bool> {
    if !systemctl(stack, &["is-active", "--quiet", unit]) {
        return Ok(false);
    }
    anyhow::ensure!(
        systemctl(stack, &["stop", unit]),
        "`{unit}` could not be stopped"
    );
    Ok(true)
}

/// Starts a unit; returns whether systemd took the job.
#[must_use]
pub fn start(stack: &Stack, unit: &str) -> bool {
    let _ = systemctl(stack, &["reset-failed", unit]);
    systemctl(stack, &["start", "--no-block", unit])
}

/// Returns whether a start of the unit was held: it, or the companion that looks for a unit whose text is not ours, has
/// failed then. A unit that somebody stopped on purpose has not: starting it could let a newer image migrate what a
/// restore just brought back.
fn is_held(stack: &Stack, unit: &str) -> bool {
    let companion = format!("aidb-check-{unit}");
    [unit, &companion]
        .iter()
        .any(|unit| systemctl(stack, &["is-failed", "--quiet", unit]))
}

fn systemctl(stack: &Stack, arguments: &[&str]) -> bool {
    let manager = stack.user_manager();
    manager.is_some_and(|manager| manager.does(arguments))
}
