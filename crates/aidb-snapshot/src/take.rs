//! `take`: capture, publish, and unless told otherwise prove.

use std::time::{Duration, Instant};

use aidb_cli::text::{count, plain, size, took};
use aidb_cli::{Common, Ui, common::duration, hooks, snapshots};
use aidb_core::capture::freeze::Cgroups;
use aidb_core::guard::Guard;
use aidb_core::judge::{Finding, FindingId, Severity, Verdict};
use aidb_core::look::nothing;
use aidb_core::podman::{Podman, cgroups::Containers};
use aidb_core::progress::{Progress, Silent};
use aidb_core::stack::Stack;
use aidb_core::userns::{self, UserNamespace};
use aidb_core::vault::Snapshot;
use aidb_core::vault::take::{self, Request, Taken};
use aidb_core::{Error, filesystem};
use anyhow::Context as _;

use crate::lacking::Lacking;
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

    /// Keep all guards as of one instant: their containers stand still while what moves is copied
    #[arg(long)]
    together: bool,

    /// How long to wait for whoever holds the guard or a database; with `--unproven`, for all of it
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
    if is_stop && hooks::never_ran() {
        ui.step("the application never ran: nothing to keep");
        return Ok(Verdict::Pass);
    }
    let guards: Vec<Guard> = guards
        .into_iter()
        .filter(|guard| !has_nothing_yet(&stack, guard, ui))
        .collect();
    if let Some(status) = inside(&stack, &guards, ui)? {
        rescue(&mut stack, &guards, args, ui);
        return Ok(ui.end_with(status));
    }
    let mut outcome = Outcome::default();
    if args.together {
        let taken = take_together(&mut stack, &guards, args)?;
        for (guard, (taken, took)) in guards.iter().zip(taken) {
            outcome.taken(ui, &taken, findings(&stack, guard, &taken), took, args);
        }
        rescue(&mut stack, &guards, args, ui);
        return outcome.told(ui);
    }
    let mut containers = std::collections::BTreeSet::new();
    for guard in &guards {
        let began = Instant::now();
        let taken = take_one(&mut stack, guard, args, ui);
        if containers.insert(guard.container.clone()) {
            let left = args.deadline.saturating_sub(began.elapsed());
            rescue_one(&mut stack, guard, left, args, ui);
        }
        match taken {
            Ok(taken) => {
                let findings = findings(&stack, guard, &taken);
                outcome.taken(ui, &taken, findings, began.elapsed(), args);
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
    outcome.told(ui)
}

/// Returns, and says, whether a guard's application has never made any data: its folder holds nothing, and nothing is
/// known of it. A snapshot of nothing could only be refused, at every stop.
fn has_nothing_yet(stack: &Stack, guard: &Guard, ui: &Ui) -> bool {
    let has_history = stack.vault.names(&guard.name).is_ok_and(|n| !n.is_empty());
    // A folder that is not there, or may not be read, is told when it is taken.
    if has_history || !nothing::is_nothing(guard).unwrap_or(false) {
        return false;
    }
    let memory = stack.memory(guard);
    let knows = memory.unknown.is_some()
        || memory.proven.is_some()
        || guard.stores.iter().any(|s| memory.knows_data(&s.name));
    if knows {
        return false;
    }
    ui.line(format!("none {}  it has no data yet", guard.name));
    true
}

/// Runs this very command in the container's user namespace, if files lie there that can be read only so; returns its
/// status then. Where there is no way in, what cannot be read is told as a gap.
fn inside(stack: &Stack, guards: &[Guard], ui: &Ui) -> anyhow::Result<Option<u8>> {
    if !userns::could_help() {
        return Ok(None);
    }
    for guard in guards {
        // That a folder cannot be opened is told when it is taken.
        if !matches!(take::out_of_reach(guard), Ok(Some(_))) {
            continue;
        }
        match UserNamespace::find(&stack.settings.programs, &stack.environment) {
            Ok(namespace) => return Ok(Some(namespace.run_again()?)),
            Err(e) => {
                ui.note(plain(&format!("warn  {e} [check.could-not]")));
                if let Some(hint) = e.hint() {
                    ui.note(plain(&format!("      {hint}")));
                }
                return Ok(None);
            }
        }
    }
    Ok(None)
}

/// Keeps what the containers of a stop wrote outside their volumes, once for each container.
fn rescue(stack: &mut Stack, guards: &[Guard], args: &Args, ui: &Ui) {
    let mut containers = std::collections::BTreeSet::new();
    for guard in guards {
        if containers.insert(guard.container.clone()) {
            rescue_one(stack, guard, args.deadline, args, ui);
        }
    }
}

/// While the hook before the stop runs, the container is there; in the one after it, it and its layer are gone. Inside
/// the user namespace it is not done: whoever ran this command there does it.
fn rescue_one(stack: &mut Stack, guard: &Guard, left: Duration, args: &Args, ui: &Ui) {
    if args.reason != "stop" || userns::is_inside() {
        return;
    }
    if let Err(e) = crate::rescue::beside_snapshot(stack, guard, left, ui) {
        ui.error(&e);
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(Error::Busy { .. } | Error::Deadline { .. })
    )
}

#[derive(Default)]
struct Outcome {
    taken: Vec<serde_json::Value>,
    verdicts: Vec<Verdict>,
    /// The first guard that somebody else held: it makes the status, unless there is a graver one.
    busy: Option<anyhow::Error>,
}

impl Outcome {
    fn taken(
        &mut self,
        ui: &Ui,
        taken: &Taken,
        findings: Vec<Finding>,
        took: Duration,
        args: &Args,
    ) {
        let snapshot = &taken.snapshot;
        told(ui, taken, &findings, took, args.unproven);
        if !args.unproven && !snapshot.is_proven() {
            self.add(Verdict::Hold);
        }
        self.verdicts.extend(findings.iter().map(Finding::verdict));
        let mut document = snapshots::document(snapshot);
        let against = against(snapshot, args.unproven).cloned();
        let all: Vec<Finding> = findings.into_iter().chain(against).collect();
        document["findings"] = serde_json::json!(all);
        document["unchanged"] = (!taken.is_new).into();
        document["frozen_ms"] = snapshot.summary.frozen_ms.into();
        if !taken.is_new {
            // What making it cost was told when it was made.
            for cost in ["new_bytes", "blocked_ms", "frozen_ms"] {
                document[cost] = 0.into();
            }
            document["took_ms"] = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into();
        }
        self.taken.push(document);
    }

    fn told(self, ui: &Ui) -> anyhow::Result<Verdict> {
        if ui.is_json() {
            ui.document(&serde_json::json!({
                "schema": 1, "tool": "aidb-snapshot", "verdict": self.verdict(), "snapshots": self.taken,
            }));
        }
        self.end(ui)
    }

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

fn take_one(stack: &mut Stack, guard: &Guard, args: &Args, ui: &Ui) -> anyhow::Result<Taken> {
    let progress = ui.progress();
    let containers = containers(stack, std::slice::from_ref(guard));
    let request = request(
        stack,
        guard,
        args,
        containers.as_ref().map(|c| c as &dyn Cgroups),
        progress.as_ref(),
    );
    let taken = take::take(&stack.vault, &request)?;
    finish(stack, guard, taken, args)
}

fn take_together(
    stack: &mut Stack,
    guards: &[Guard],
    args: &Args,
) -> anyhow::Result<Vec<(Taken, Duration)>> {
    let began = Instant::now();
    let containers = podman(stack).map(|podman| of_guards(podman, guards))?;
    let requests: Vec<Request> = guards
        .iter()
        .map(|guard| request(stack, guard, args, None, &Silent))
        .collect();
    let taken = take::take_together(&stack.vault, &requests, &containers)
        .context("cannot take a snapshot of the whole stack")?;
    let took = began.elapsed();
    let mut finished = Vec::new();
    for (guard, one) in guards.iter().zip(taken) {
        finished.push((finish(stack, guard, one, args)?, took));
    }
    Ok(finished)
}

fn request<'a>(
    stack: &Stack,
    guard: &'a Guard,
    args: &'a Args,
    cgroups: Option<&'a dyn Cgroups>,
    progress: &'a dyn Progress,
) -> Request<'a> {
    Request {
        guard,
        reason: &args.reason,
        patience: args.deadline,
        until: args.unproven.then(|| Instant::now() + args.deadline),
        pairing: stack.pairing(guard),
        suspicious: None,
        invocation: std::env::var("INVOCATION_ID")
            .ok()
            .filter(|_| args.reason == "stop"),
        known: stack.known_to_captures(guard),
        cgroups,
        progress,
    }
}

fn podman(stack: &Stack) -> aidb_core::Result<Podman> {
    Podman::find(
        &stack.settings.programs,
        &stack.environment,
        Duration::from_secs(5),
    )
}

fn of_guards(podman: Podman, guards: &[Guard]) -> Containers {
    let names = guards.iter().map(|g| g.container.clone());
    Containers::new(podman, names.collect())
}

/// Returns what could be frozen for a database that is never unlocked; where there is no Podman, nothing.
fn containers(stack: &Stack, guards: &[Guard]) -> Option<Containers> {
    podman(stack).ok().map(|podman| of_guards(podman, guards))
}

/// Remembers what was found out, and proves what is new.
fn finish(stack: &mut Stack, guard: &Guard, taken: Taken, args: &Args) -> anyhow::Result<Taken> {
    stack.note_taken(guard, &taken);
    if args.unproven || taken.snapshot.is_proven() {
        return Ok(taken);
    }
    let snapshot = prove_one(stack, &taken.snapshot, args.deadline)?;
    Ok(Taken { snapshot, ..taken })
}

/// Returns what should be known about a snapshot, or the place where it is kept, that is no fault of the data.
fn findings(stack: &Stack, guard: &Guard, taken: &Taken) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !taken.dropped.is_empty() {
        let names = taken.dropped.iter().map(|n| format!("{}/{n}", guard.name));
        let names: Vec<String> = names.collect();
        let what = format!("too little space was free: dropped {}", names.join(", "));
        findings.push(Finding::of_guard(
            FindingId::SpaceLow,
            Severity::Warn,
            &what,
        ));
    }
    for (what, path) in [("vault", stack.vault.root()), ("data", &guard.data)] {
        let Some(kind) = filesystem::remote(path) else {
            continue;
        };
        let path = path.display();
        let what = format!(
            "the {what} lies on {kind} (`{path}`), where it cannot be found out whether locks and syncs do what they say"
        );
        findings.push(Finding::of_guard(
            FindingId::CheckCouldNot,
            Severity::Info,
            &what,
        ));
    }
    let gaps = taken.snapshot.summary.told_gaps();
    findings.extend(
        gaps.map(|what| Finding::of_guard(FindingId::StoreUnreadable, Severity::Warn, &what)),
    );
    findings
}

/// Returns what stands against a snapshot that was to be proven.
fn against(snapshot: &Snapshot, unproven: bool) -> impl Iterator<Item = &Finding> {
    let refused = snapshot.refused.iter().filter(move |_| !unproven);
    refused.flat_map(|p| &p.findings)
}

fn told(ui: &Ui, taken: &Taken, findings: &[Finding], took_so_far: Duration, unproven: bool) {
    let snapshot = &taken.snapshot;
    let summary = &snapshot.summary;
    // Gaps are told below, with all else that is not in it.
    let beside = findings
        .iter()
        .filter(|f| f.id != FindingId::StoreUnreadable);
    for finding in beside {
        let word = match finding.severity {
            Severity::Info => "note",
            _ => "warn",
        };
        ui.note(plain(&format!("{word}  {} [{}]", finding.what, finding.id)));
    }
    let state = match (&snapshot.proof, unproven) {
        (Some(_), _) => "proven",
        (None, true) => "not proven yet",
        (None, false) => "NOT PROVEN",
    };
    if !taken.is_new {
        ui.line(format!(
            "same {}  nothing has changed since, {state}, in {}",
            snapshot.id(),
            took(took_so_far)
        ));
        tell_against(ui, snapshot, unproven);
        return;
    }
    ui.line(format!(
        "kept {}  {}, {}, {} written, {state}, in {}",
        snapshot.id(),
        count(summary.files, "file"),
        size(summary.size_bytes),
        size(summary.new_bytes),
        took(took_so_far)
    ));
    for name in &taken.replaced {
        ui.step(format!(
            "it replaces {}/{name}, which was taken before the container had stopped",
            summary.guard
        ));
    }
    if summary.frozen_ms > 0 {
        ui.line(format!(
            "     containers stood still for {} ms",
            summary.frozen_ms
        ));
    }
    ui.step(format!("writers waited {} ms at most", summary.blocked_ms));
    Lacking::from(summary).tell(ui);
    if let Some(why) = snapshot.suspicious() {
        ui.note(plain(&format!(
            "warn  suspicious, and set apart from the good ones: {why}"
        )));
    }
    tell_against(ui, snapshot, unproven);
}

fn tell_against(ui: &Ui, snapshot: &Snapshot, unproven: bool) {
    for finding in against(snapshot, unproven) {
        aidb_cli::render::print_finding(ui, &snapshot.summary.guard, finding);
    }
}
