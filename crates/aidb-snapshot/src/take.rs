//! `take`: capture, publish, and unless told otherwise prove.

use std::time::{Duration, Instant};

use aidb_cli::text::{count, plain, size, took};
use aidb_cli::{Common, Ui, common::duration, hooks, snapshots};
use aidb_core::Error;
use aidb_core::guard::Guard;
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::Snapshot;
use aidb_core::vault::manifest::Pairing;
use aidb_core::vault::take::{self, Request};

use crate::prove::prove_one;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Guard to keep, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,

    /// Why it is taken
    #[arg(long, value_name = "TEXT", default_value = "manual")]
    reason: String,

    /// For hooks: publish without proving; `prove` follows
    #[arg(long, help_heading = "For hooks")]
    unproven: bool,

    /// How long to wait for whoever holds the guard or a database
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    deadline: Duration,
}

pub fn take(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let is_stop = args.reason == "stop";
    let guards = if is_stop {
        stack.guards_past_or_present(&args.guards)?
    } else {
        stack.guards(&args.guards)?
    };
    if is_stop {
        hooks::note_end(&mut stack, &guards);
    }
    if is_stop && never_ran(|name| std::env::var(name).ok()) {
        ui.step("the application never ran: nothing to keep");
        return Ok(Verdict::Pass);
    }
    let mut outcome = Outcome::default();
    let mut containers = std::collections::BTreeSet::new();
    for guard in &guards {
        let began = Instant::now();
        let taken = take_one(&mut stack, guard, args);
        // While the hook before the stop runs, the container is there; in the one after it, it and its layer are gone.
        if is_stop && containers.insert(guard.container.clone()) {
            let left = args.deadline.saturating_sub(began.elapsed());
            if let Err(e) = crate::rescue::beside_snapshot(&mut stack, guard, left, ui) {
                ui.error(&e);
            }
        }
        match taken {
            Ok(snapshot) => {
                told(ui, &snapshot, began.elapsed(), args.unproven);
                if !args.unproven && !snapshot.is_proven() {
                    outcome.add(Verdict::Hold);
                } else if !snapshot.summary.gaps.is_empty() {
                    outcome.add(Verdict::Unknown);
                }
                outcome.taken.push(snapshots::document(&snapshot));
            }
            Err(e) if guards.len() == 1 => {
                return Err(e.context(format!("cannot take a snapshot of `{}`", guard.name)));
            }
            Err(e) => {
                let e = e.context(format!("cannot take a snapshot of `{}`", guard.name));
                if outcome.busy.is_none() && is_busy(&e) {
                    outcome.busy = Some(e);
                } else {
                    ui.error(&e);
                    outcome.add(if is_busy(&e) {
                        Verdict::Pass
                    } else {
                        Verdict::Unknown
                    });
                }
            }
        }
    }
    if ui.is_json() {
        ui.document(&serde_json::json!({
            "schema": 1, "tool": "aidb-snapshot", "verdict": outcome.verdict(), "snapshots": outcome.taken,
        }));
    }
    outcome.end(ui)
}

/// Returns whether systemd says that the application never ran: after a start that was held or failed, `ExecStopPost=` is
/// given a result other than success, and of no main process how it ended (systemd.exec(5): `$EXIT_CODE` is not set then).
fn never_ran(variable: impl Fn(&str) -> Option<String>) -> bool {
    let failed = variable("SERVICE_RESULT").is_some_and(|result| result != "success");
    failed && variable("EXIT_CODE").is_none_or(|code| code.is_empty())
}

fn is_busy(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Error::Busy { .. }))
}

#[derive(Default)]
struct Outcome {
    taken: Vec<serde_json::Value>,
    verdicts: Vec<Verdict>,
    /// The first guard that somebody else held: it makes the status, unless there is a graver one.
    busy: Option<anyhow::Error>,
}

impl Outcome {
    fn add(&mut self, verdict: Verdict) {
        self.verdicts.push(verdict);
    }

    fn verdict(&self) -> Verdict {
        let busy = self.busy.as_ref().map(|_| Verdict::Unknown);
        Verdict::over(self.verdicts.iter().copied().chain(busy))
    }

    /// Returns the verdict, or, if nothing graver happened, that one was busy.
    fn end(self, ui: &Ui) -> anyhow::Result<Verdict> {
        let verdict = Verdict::over(self.verdicts);
        match self.busy {
            Some(busy) if verdict < Verdict::Unknown => Err(busy),
            Some(busy) => {
                ui.error(&busy);
                Ok(verdict)
            }
            None => Ok(verdict),
        }
    }
}

fn take_one(stack: &mut Stack, guard: &Guard, args: &Args) -> anyhow::Result<Snapshot> {
    let request = Request {
        guard,
        reason: &args.reason,
        patience: args.deadline,
        pairing: Pairing::default(),
        suspicious: None,
        invocation: std::env::var("INVOCATION_ID")
            .ok()
            .filter(|_| args.reason == "stop"),
    };
    let snapshot = take::take(&stack.vault, &request)?;
    if let Ok(ledger) = stack.ledger() {
        let _ = ledger.note_guard(guard);
    }
    if args.unproven {
        Ok(snapshot)
    } else {
        prove_one(stack, &snapshot, args.deadline)
    }
}

fn told(ui: &Ui, snapshot: &Snapshot, took_so_far: Duration, unproven: bool) {
    let summary = &snapshot.summary;
    let state = match (&snapshot.proof, unproven) {
        (Some(_), _) => "proven",
        (None, true) => "not proven yet",
        (None, false) => "NOT PROVEN",
    };
    ui.line(format!(
        "kept {}  {}, {}, {} written, {state}, in {}",
        snapshot.id(),
        count(summary.files, "file"),
        size(summary.size_bytes),
        size(summary.new_bytes),
        took(took_so_far)
    ));
    ui.step(format!("writers waited {} ms at most", summary.blocked_ms));
    for gap in &summary.gaps {
        ui.note(plain(&format!(
            "warn  `{}` is not in it: {}",
            gap.path.as_path().display(),
            gap.why
        )));
    }
    for path in &summary.unsteady {
        ui.note(plain(&format!(
            "note  `{}` was written to while it was copied",
            path.as_path().display()
        )));
    }
    if let Some(why) = snapshot.suspicious() {
        ui.note(plain(&format!(
            "warn  suspicious, and set apart from the good ones: {why}"
        )));
    }
    for finding in snapshot.refused.iter().flat_map(|p| &p.findings) {
        aidb_cli::render::print_finding(ui, &summary.guard, finding);
    }
}

#[cfg(test)]
mod tests {
    use super::never_ran;

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
            assert_eq!(never_ran(variable), expected, "{told}");
        }
    }
}
