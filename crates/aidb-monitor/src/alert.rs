//! `alert --unit`: what `OnFailure=` runs. Says which guard, why, and what to do.

use aidb_cli::{Common, Ui};
use aidb_core::guard::Guard;
use aidb_core::judge::Verdict;
use aidb_core::judge::container::unit_failed;
use aidb_core::ledger::Alert;
use aidb_core::look::unit::{self, UnitState};
use aidb_core::monitor::watch::{PATIENCE, as_one_news};
use aidb_core::monitor::{Watch, Watched, alert as alerts};
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;

use crate::news;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The unit that failed
    #[arg(long, value_name = "UNIT")]
    unit: String,
}

pub fn alert(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let guards: Vec<Guard> = stack
        .guards(&[])?
        .into_iter()
        .filter(|g| g.unit.as_deref() == Some(args.unit.as_str()))
        .collect();
    let failed = failed(&stack, &args.unit);
    let mut watch = Watch::begin(&stack, &guards);
    let now = watch.now();
    let mut watched: Vec<Watched> = guards.iter().map(|g| watch.look(&mut stack, g)).collect();
    if let Some((name, state)) = failed {
        let finding = unit_failed(&name, &state);
        if let Some(first) = watched.first_mut() {
            let known = &first.report.findings;
            if !known.iter().any(|f| f.id == finding.id) {
                let findings = as_one_news(known.iter().cloned().chain([finding]).collect());
                first.report =
                    GuardReport::new(&first.guard.name, findings, first.report.stores.clone());
            }
        } else if let Ok(ledger) = stack.ledger() {
            let known = ledger.alerts(&name).unwrap_or_default();
            let changed: Vec<Alert> = alerts::compare(&name, &known, &[finding], &[], now);
            let _ = ledger.put_alerts(changed);
        }
    }
    news::compare(&mut stack, &watched, now);
    let told = news::tell(&mut stack, ui, now);
    if ui.is_json() {
        let reports: Vec<GuardReport> = watched.iter().map(|w| w.report.clone()).collect();
        let verdict = Verdict::over(reports.iter().map(|r| r.verdict));
        let mut document = aidb_cli::render::document(ui, "aidb-monitor", verdict, &reports);
        document["alerts"] = told.documents;
        ui.document(&document);
    }
    Ok(if told.worked {
        Verdict::Pass
    } else {
        Verdict::Unknown
    })
}

/// Returns which unit failed, and how: the named one, or the one that verifies it, which calls with the container's name.
/// Where systemd cannot be asked, the caller is believed.
fn failed(stack: &Stack, name: &str) -> Option<(String, UnitState)> {
    let verify = format!("aidb-verify@{name}");
    let units = [name.to_owned(), verify];
    let states = unit::states(
        &units,
        &stack.settings.programs,
        &stack.environment,
        PATIENCE,
    );
    let Ok(mut states) = states else {
        let unknown = UnitState {
            result: "unknown".into(),
            ..UnitState::default()
        };
        return Some((name.to_owned(), unknown));
    };
    let mut found = units.into_iter().filter_map(|unit| {
        let state = states.remove(&unit)?;
        // On the way to another attempt, it has failed before.
        let has_failed = state.has_failed() || (state.active == "activating" && state.restarts > 0);
        has_failed.then_some((unit, state))
    });
    found.next()
}
