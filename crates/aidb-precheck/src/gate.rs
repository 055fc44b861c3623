//! `check --at switch --to GENERATION`: the gate of a switch, told.

use std::path::Path;
use std::time::Duration;

use aidb_cli::text::{count, plain, size};
use aidb_cli::{Common, Ui, render, snapshots};
use aidb_core::gate::{Outcome, Passage, Request, pass};
use aidb_core::generation::Change;
use aidb_core::guard::Guard;
use aidb_core::judge::Verdict;
use aidb_core::look::Depth;
use aidb_core::report::GuardReport;
use aidb_core::rescue;
use aidb_core::stack::Stack;

/// With the value `warn`, this switch goes on whatever is found.
const OVERRIDE: &str = "AIDB_GATE";

/// What the command line says of the switch.
#[derive(Debug)]
pub struct Switch<'a> {
    pub from: Option<&'a Path>,
    pub to: &'a Path,
    pub dry_run: bool,
    pub depth: Depth,
    pub deadline: Duration,
}

pub fn gate(common: &Common, switch: &Switch, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let config = common.config.as_deref();
    let mut stack = if switch.dry_run {
        Stack::open_aside(config)?
    } else {
        Stack::open(config)?
    };
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let request = Request {
        from: switch.from,
        to: switch.to,
        dry_run: switch.dry_run,
        only_warn: std::env::var_os(OVERRIDE).is_some_and(|value| value == "warn"),
        depth: switch.depth,
        deadline: switch.deadline,
    };
    let outcome = pass(&mut stack, &request);
    if ui.is_json() {
        ui.document(&document(ui, &outcome));
    } else {
        tell(ui, &outcome, switch.dry_run);
    }
    Ok(outcome.verdict)
}

fn document(ui: &Ui, outcome: &Outcome) -> serde_json::Value {
    let reports: Vec<GuardReport> = outcome.guards.iter().map(|p| p.report.clone()).collect();
    let mut document = render::document(ui, "aidb-precheck", outcome.verdict, &reports);
    let kept = outcome
        .guards
        .iter()
        .filter_map(|p| p.kept.as_ref()?.as_ref().ok());
    document["snapshots"] = kept.map(snapshots::document).collect();
    document
}

fn tell(ui: &Ui, outcome: &Outcome, dry_run: bool) {
    let refused = outcome.verdict == Verdict::Hold;
    if refused {
        let held = names(outcome, |p| p.report.verdict == Verdict::Hold);
        let data = if held.contains(", ") {
            "their data are"
        } else {
            "its data is"
        };
        ui.line(format!(
            "aidb: this switch would stop {held}, and {data} not fit. Nothing was changed; what runs goes on running."
        ));
    }
    for note in &outcome.notes {
        ui.note(plain(&format!("note: {note}")));
    }
    for (guard, outcome) in &outcome.rescued {
        tell_rescued(ui, guard, outcome);
    }
    let mut quiet: u64 = 0;
    for passage in &outcome.guards {
        if passage.report.verdict == Verdict::Pass {
            quiet += 1;
        } else {
            for finding in &passage.report.findings {
                render::print_finding(ui, &passage.report.name, finding);
            }
        }
        tell_kept(ui, passage, dry_run, refused);
    }
    if quiet == outcome.guards.len() as u64 {
        let change = |change| names(outcome, |p| p.change == change);
        let mut what = Vec::new();
        for (verb, which) in [
            ("restarts", change(Change::Other)),
            ("removes", change(Change::Gone)),
        ] {
            if !which.is_empty() {
                what.push(format!("{verb} {which}"));
            }
        }
        if what.is_empty() {
            what.push("restarts none of them".to_owned());
        }
        let fit = match quiet {
            0 => "nothing is guarded".to_owned(),
            n => format!("the data of {} is fit", count(n, "guard")),
        };
        ui.line(format!("aidb: {fit}; this switch {}", what.join(" and ")));
    } else if refused {
        ui.line(format!(
            "to go on all the same: {OVERRIDE}=warn home-manager switch, or services.aidb.gate = \"warn\""
        ));
    } else if outcome.overruled {
        ui.line(format!(
            "aidb: going on all the same, as services.aidb.gate or {OVERRIDE} says"
        ));
    }
}

/// Returns the names of some guards, each once.
fn names(outcome: &Outcome, wanted: impl Fn(&Passage) -> bool) -> String {
    let wanted = outcome.guards.iter().filter(|p| wanted(p));
    let mut names: Vec<&str> = wanted.map(|p| p.guard.name.as_str()).collect();
    names.dedup();
    names.join(", ")
}

/// Says what was kept of a container's layer; nothing where it holds nothing.
fn tell_rescued(ui: &Ui, guard: &Guard, outcome: &aidb_core::Result<rescue::Outcome>) {
    match outcome {
        Ok(rescue::Outcome::Kept(kept)) => {
            let record = &kept.record;
            ui.line(format!(
                "rescued {}  {}, {}",
                kept.id(),
                count(record.files, "file"),
                size(record.size_bytes)
            ));
            for finding in rescue::findings(kept) {
                render::print_finding(ui, &guard.name, &finding);
            }
            let missing = record.left_out.len() + record.gaps.len();
            if missing > 0 {
                let missing = count(missing as u64, "file");
                ui.note(plain(&format!("warn  {missing} of it could not be kept")));
            }
        }
        Ok(_) => {}
        Err(e) => {
            let error = anyhow::Error::msg(aidb_core::error::told(e));
            let what = format!(
                "cannot rescue what the container of `{}` wrote outside its volumes",
                guard.name
            );
            ui.error(&error.context(what));
        }
    }
}

/// Says what became of the snapshot that nobody else would have taken.
fn tell_kept(ui: &Ui, passage: &Passage, dry_run: bool, refused: bool) {
    let (Some(why), name) = (passage.keep, &passage.guard.name) else {
        return;
    };
    match &passage.kept {
        Some(Ok(snapshot)) => ui.line(format!(
            "kept  {}  {}, {} written, before this switch ({why})",
            snapshot.id(),
            count(snapshot.summary.files, "file"),
            size(snapshot.summary.new_bytes)
        )),
        Some(Err(e)) => {
            let error = anyhow::Error::msg(aidb_core::error::told(e));
            ui.error(&error.context(format!("cannot take a snapshot of `{name}` ({why})")));
        }
        None if dry_run && !refused => ui.line(format!("would keep a snapshot of {name} ({why})")),
        None => {}
    }
}
