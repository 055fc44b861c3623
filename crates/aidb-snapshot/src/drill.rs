//! `verify --drill`: does the application live on what was kept?

use std::time::Duration;

use aidb_cli::text::{plain, took};
use aidb_cli::{Common, Ui, render, snapshots};
use aidb_core::Error;
use aidb_core::drill::{self, Drilled};
use aidb_core::guard::Guard;
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::Snapshot;
use serde_json::json;

pub fn drill(
    common: &Common,
    names: &[String],
    stay: Duration,
    deadline: Duration,
    ui: &mut Ui,
) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    drill::clear_folders(&stack)?;
    let wanted = wanted(&stack, names)?;
    let (mut documents, mut verdicts) = (Vec::new(), Vec::new());
    for (guard, snapshot) in &wanted {
        let mut document = snapshots::document(snapshot);
        match drill::drill(&mut stack, guard, snapshot, stay, deadline) {
            Ok(drilled) => {
                verdicts.push(tell(guard, snapshot, &drilled, ui));
                document["drill"] = json!({ "good": drilled.verdict() == Verdict::Pass, "image_id": drilled.image, "failure": drilled.failure,
                    "findings": render::findings(ui, &drilled.findings),
                    "took_ms": u64::try_from(drilled.took.as_millis()).unwrap_or(u64::MAX) });
                if let Err(e) = drill::note(&mut stack, guard, snapshot, &drilled) {
                    ui.note(plain(&format!("note: the drill could not be noted: {e}")));
                }
            }
            Err(e) => {
                let what = format!("cannot drill `{}`", snapshot.id());
                ui.error(&anyhow::Error::new(e).context(what));
                verdicts.push(Verdict::Unknown);
            }
        }
        documents.push(document);
    }
    let verdict = Verdict::over(verdicts);
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": verdict, "snapshots": documents }));
    } else if wanted.is_empty() {
        ui.line("there is no proven snapshot to drill");
    }
    Ok(verdict)
}

/// Returns the snapshots that are named; without a name, the newest good one of each guard.
fn wanted(stack: &Stack, names: &[String]) -> anyhow::Result<Vec<(Guard, Snapshot)>> {
    let mut wanted = Vec::new();
    for name in names {
        let snapshot = stack.snapshot(name)?;
        if !snapshot.is_proven() {
            return Err(Error::Usage {
                what: format!("`{}` is not proven", snapshot.id()),
                hint: Some(format!(
                    "`aidb prove {}` opens and checks it first",
                    snapshot.id()
                )),
            }
            .into());
        }
        let guard = snapshot.manifest()?.settings;
        wanted.push((guard, snapshot));
    }
    if names.is_empty() {
        for guard in &stack.settings.guards {
            if let Some(snapshot) = stack.vault.newest_good(&guard.name)? {
                wanted.push((guard.clone(), snapshot));
            }
        }
    }
    Ok(wanted)
}

fn tell(guard: &Guard, snapshot: &Snapshot, drilled: &Drilled, ui: &Ui) -> Verdict {
    let time = took(drilled.took);
    let verdict = drilled.verdict();
    let why = drilled.failure.as_deref();
    ui.line(plain(&match verdict {
        Verdict::Pass | Verdict::Warn => format!(
            "ok    {}  the application came up on it, and left it whole, in {time}",
            snapshot.id()
        ),
        Verdict::Unknown => format!("??    {}  the drill tells nothing about it", snapshot.id()),
        Verdict::Hold => format!(
            "hold  {}  drill failed: {}",
            snapshot.id(),
            why.unwrap_or("what the application left does not meet the contract")
        ),
    }));
    if verdict > Verdict::Warn {
        for finding in &drilled.findings {
            render::print_finding(ui, &guard.name, finding);
        }
    }
    verdict
}
