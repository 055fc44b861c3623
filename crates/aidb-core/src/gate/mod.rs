//! The gate of a switch: looks at the data of every container before a new Home Manager generation is linked, and keeps
//! what the switch would throw away.
//!
//! It refuses only for a guard whose container runs now and is stopped by this switch: its unit differs between the two
//! generations, or is gone. So never at boot, on a fresh machine, or for an edit elsewhere. It heals nothing: the
//! application still has its files open. It keeps a snapshot of each guard that nobody else would keep one of, because
//! its old unit lacks our hook (the switch that brings us is the one that destroys the layer) or because it leaves the
//! settings, or its data moves. What such a container wrote outside its volumes is rescued, and so is what an earlier
//! boot left.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::check::{self, How};
use crate::error::{Result, told};
use crate::guard::Guard;
use crate::judge::{Finding, FindingId, Occasion, Severity, Verdict};
use crate::look::Depth;
use crate::manifest::Pairing;
use crate::podman::Storage;
use crate::progress::Silent;
use crate::report::GuardReport;
use crate::settings::Gate;
use crate::stack::Stack;
use crate::vault::{Snapshot, take};
use crate::{older, rescue};

use crate::generation::{Change, Generation};

/// What is asked at the gate.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The folder of the generation that is active, if there is one.
    pub from: Option<&'a Path>,
    /// The folder of the generation that is to be activated.
    pub to: &'a Path,
    /// Whether nothing may change: no snapshot, no use of a pass token.
    pub dry_run: bool,
    /// Whether a hold is only told, whatever the settings say.
    pub only_warn: bool,
    /// How deep to look at guards that the switch stops; at the others only their bytes are looked at.
    pub depth: Depth,
    /// For how long, in all.
    pub deadline: Duration,
}

/// What the gate found and did.
#[derive(Debug)]
pub struct Outcome {
    /// Every guard of both generations, those that the switch stops first.
    pub guards: Vec<Passage>,
    /// The worst of the guards; a hold refuses the switch.
    pub verdict: Verdict,
    /// Whether it would have been refused, and is not, because holds are only told.
    pub overruled: bool,
    /// What became of the layers that were kept: those that an earlier boot left, and those of containers that nobody
    /// else would keep.
    pub rescued: Vec<(Guard, Result<rescue::Outcome>)>,
    /// What else should be known.
    pub notes: Vec<String>,
}

/// One guard at the gate.
#[derive(Debug)]
pub struct Passage {
    /// The guard, as the settings know it that belong to what runs.
    pub guard: Guard,
    /// What this switch does to its container, if that runs now.
    pub change: Change,
    /// Why a snapshot of it must be kept here, if nobody else would keep one.
    pub keep: Option<&'static str>,
    /// What was found; of a guard that the switch does not stop, nothing is a hold.
    pub report: GuardReport,
    /// What became of the snapshot; none if none was needed, or if this is a dry run.
    pub kept: Option<Result<Snapshot>>,
}

impl Passage {
    /// Returns whether the switch stops the container, which runs now.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.change != Change::None
    }
}

/// Judges a switch, and keeps what it would throw away.
///
/// # Errors
/// None: what cannot be found out is told, and never refuses a switch.
pub fn pass(stack: &mut Stack, request: &Request) -> Outcome {
    let began = Instant::now();
    let left = || request.deadline.saturating_sub(began.elapsed());
    let mut notes = Vec::new();
    // Home Manager's next steps call Podman, and that removes them.
    let mut rescued = if request.dry_run {
        Vec::new()
    } else {
        left_by_earlier_boot(stack, request.deadline)
    };
    let mut passages = passages(stack, request, &mut notes);
    // The layer goes with the container; what is on a volume does not. It is kept before anything is judged, because what
    // lies in it tells what the data folder should hold.
    for passage in passages.iter().filter(|p| p.keep.is_some()) {
        let guard = &passage.guard;
        let is_done = rescued.iter().any(|(g, _)| g.container == guard.container);
        if is_done || request.dry_run {
            continue;
        }
        let how = how_to_rescue(left() / 2);
        let outcome = rescue::rescue(&stack.settings, &stack.environment, guard, &how);
        rescued.push((guard.clone(), outcome));
    }
    let must_keep = passages.iter().any(|p| p.keep.is_some());
    for passage in &mut passages {
        // Looking leaves time to keep.
        let deadline = if must_keep { left() / 2 } else { left() };
        judge(stack, request, passage, deadline);
    }
    let verdict = Verdict::over(passages.iter().map(|p| p.report.verdict));
    let only_warn = request.only_warn || stack.settings.gate == Gate::Warn;
    let refuses = verdict == Verdict::Hold && !only_warn;
    // What a refused switch leaves running loses nothing.
    if !refuses && !request.dry_run {
        for passage in passages.iter_mut().filter(|p| p.keep.is_some()) {
            let kept = keep(stack, request, passage, left());
            passage.kept = Some(kept);
        }
    }
    for (guard, outcome) in &rescued {
        if let (Ok(rescue::Outcome::Kept(rescue)), Ok(ledger)) = (outcome, stack.ledger()) {
            let _ = ledger.note_event(&guard.name, "rescue", &rescue.id());
        }
    }
    Outcome {
        guards: passages,
        overruled: verdict == Verdict::Hold && only_warn,
        verdict: if verdict == Verdict::Hold && only_warn {
            Verdict::Warn
        } else {
            verdict
        },
        rescued,
        notes,
    }
}

fn how_to_rescue(deadline: Duration) -> rescue::Request {
    rescue::Request {
        reason: "switch",
        deadline: deadline.max(Duration::from_secs(1)),
        limit_bytes: rescue::LIMIT_BYTES,
    }
}

/// Keeps the layers of containers that an earlier boot left. Where there is no storage of Podman, there are none.
fn left_by_earlier_boot(
    stack: &Stack,
    deadline: Duration,
) -> Vec<(Guard, Result<rescue::Outcome>)> {
    let (settings, environment) = (&stack.settings, &stack.environment);
    let Ok(left) = rescue::left_by_earlier_boot(settings, environment) else {
        return Vec::new();
    };
    let how = how_to_rescue(deadline / 2);
    let mut rescued = Vec::new();
    for (guard, found) in left {
        let outcome = rescue::rescue_found(settings, environment, guard, &found, &how);
        rescued.push((guard.clone(), outcome));
    }
    if rescued.iter().all(|(_, outcome)| outcome.is_ok()) {
        let _ = Storage::of(environment).note_layers_read();
    }
    rescued
}

/// Returns the guards of both generations, and what the switch does to each.
fn passages(stack: &Stack, request: &Request, notes: &mut Vec<String>) -> Vec<Passage> {
    let environment = &stack.environment;
    let from = request.from.map(|f| Generation::at(f, environment));
    let to = Generation::at(request.to, environment);
    let old = match from.as_ref().map(|f| f.settings(environment)) {
        Some(Ok(settings)) => settings,
        Some(Err(e)) => {
            notes.push(format!(
                "the settings of the generation that is active cannot be used: {}",
                told(&e)
            ));
            None
        }
        None => None,
    };
    let old: Vec<Guard> = old.map(|s| s.guards).unwrap_or_default();
    let new = &stack.settings.guards;
    let is_same = |a: &Guard, b: &Guard| a.name == b.name && a.data == b.data;
    let leaving = old.iter().filter(|o| !new.iter().any(|n| is_same(n, o)));
    let units: Vec<String> = {
        let mut all: Vec<String> = new
            .iter()
            .chain(&old)
            .filter_map(|g| g.unit.clone())
            .collect();
        all.sort();
        all.dedup();
        all
    };
    let running = match (&from, stack.user_manager()) {
        (Some(_), Some(manager)) => manager.running(&units),
        _ => BTreeSet::new(),
    };
    let mut passages: Vec<Passage> = Vec::new();
    let both = new
        .iter()
        .map(|g| (g, false))
        .chain(leaving.map(|g| (g, true)));
    for (guard, leaves) in both {
        let unit = guard.unit.as_ref().filter(|unit| running.contains(*unit));
        let (change, hooked) = match (&from, unit) {
            (Some(from), Some(unit)) => {
                let change = crate::generation::change(from, &to, unit);
                let hooked = from.keeps_at_stop(unit);
                match (change, hooked) {
                    (Ok(change), Ok(hooked)) => (change, hooked),
                    (Err(e), _) | (_, Err(e)) => {
                        notes.push(format!("{unit} cannot be compared: {}", told(&e)));
                        (Change::None, true)
                    }
                }
            }
            _ => (Change::None, true),
        };
        let keep = if change == Change::None {
            None
        } else if leaves {
            let moves = new.iter().any(|n| n.name == guard.name);
            Some(if moves {
                "its data moves"
            } else {
                "it is no longer guarded"
            })
        } else {
            (!hooked).then_some("what runs now keeps nothing when it stops")
        };
        passages.push(Passage {
            guard: guard.clone(),
            change,
            keep,
            report: GuardReport::new(&guard.name, Vec::new(), Vec::new()),
            kept: None,
        });
    }
    passages.sort_by_key(|p| !p.stops());
    passages
}

fn judge(stack: &mut Stack, request: &Request, passage: &mut Passage, deadline: Duration) {
    let guard = &passage.guard;
    let how = How {
        occasion: Occasion::Switch,
        depth: if passage.stops() {
            request.depth
        } else {
            Depth::Bytes
        },
        deadline,
    };
    let memory = stack.memory(guard);
    let (seen, mut findings) = check::look_and_judge(stack, guard, how, &memory);
    findings.extend(check::unfinished_restore(stack, guard, how.occasion));
    if passage.stops() {
        findings.extend(older::at_switch(
            stack,
            request.from,
            request.to,
            guard,
            &seen,
        ));
    }
    if !request.dry_run {
        check::remember(stack, guard, &seen, &findings);
    }
    if passage.stops() {
        let at_start = crate::judge::guard(guard, &seen, &memory, Occasion::Start);
        let held_then = |id| {
            at_start
                .iter()
                .any(|f| f.severity == Severity::Hold && f.id == id)
        };
        allow(stack, request, guard, &mut findings, held_then);
    }
    for finding in &mut findings {
        if !passage.stops() && finding.severity == Severity::Hold {
            finding.severity = Severity::Warn;
        }
        // What runs has the folder open: bringing it back includes stopping it.
        for step in &mut finding.next {
            if passage.stops() && step.arguments.first().is_some_and(|verb| verb == "restore") {
                step.arguments.push("--stop".to_owned());
            }
        }
    }
    let stores = check::store_reports(guard, &seen);
    passage.report = GuardReport::new(&guard.name, findings, stores);
}

/// Lets held findings pass for which a permission was given. It is used up here only if the start that follows would
/// not be held too: else the start needs it.
fn allow(
    stack: &mut Stack,
    request: &Request,
    guard: &Guard,
    findings: &mut [Finding],
    held_then: impl Fn(FindingId) -> bool,
) {
    let Ok(ledger) = stack.ledger() else { return };
    let allowed = ledger.tokens(&guard.name).unwrap_or_default();
    for finding in findings.iter_mut().filter(|f| f.severity == Severity::Hold) {
        if !allowed.contains(&finding.id) {
            continue;
        }
        if !request.dry_run && !held_then(finding.id) {
            let _ = ledger.use_token(&guard.name, finding.id);
        }
        finding.severity = Severity::Warn;
        finding.next.clear();
        let evidence = finding.evidence.take();
        let evidence = evidence.map(|e| format!("; {e}")).unwrap_or_default();
        finding.evidence = Some(format!("allowed to pass this once{evidence}"));
    }
}

/// Keeps a snapshot of what is about to stop.
fn keep(
    stack: &mut Stack,
    request: &Request,
    passage: &Passage,
    patience: Duration,
) -> Result<Snapshot> {
    let guard = &passage.guard;
    let held = passage
        .report
        .findings
        .iter()
        .find(|f| f.severity == Severity::Hold);
    let from = request.from.map(|f| Generation::at(f, &stack.environment));
    let known = stack.pairing(guard);
    let image = from.and_then(|f| older::of_unit(&f, guard)).or(known.image);
    let taken = take::take(
        &stack.vault,
        &take::Request {
            guard,
            reason: "switch",
            patience: patience.max(Duration::from_secs(1)),
            pairing: Pairing {
                image,
                generation: request.from.map(Path::to_owned),
                ..known
            },
            suspicious: held.map(|f| f.what.clone()),
            invocation: None,
            // The gate has a deadline of its own, and what is kept is not worth a switch that hangs.
            until: Some(Instant::now() + patience.max(Duration::from_secs(1))),
            known: stack.known_to_captures(guard),
            cgroups: None,
            progress: &Silent,
        },
    );
    if let Ok(taken) = &taken {
        stack.note_taken(guard, taken);
    }
    // The hooks of the unit that stops find a guard that leaves the settings as the ledger last knew it.
    let leaves = !stack.settings.guards.iter().any(|g| g.name == guard.name);
    if leaves && let Ok(ledger) = stack.ledger() {
        let _ = ledger.note_guard(guard);
    }
    taken.map(|taken| taken.snapshot)
}
