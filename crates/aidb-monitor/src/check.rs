//! `check`: one look at everything, compared with what is known; what is new is told.

use std::time::Duration;

use aidb_cli::{Common, Ui, common::duration, render};
use aidb_core::judge::Verdict;
use aidb_core::monitor::{Watch, Watched};
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;

use crate::news;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Guard to look at, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,

    /// How long the data of one guard may be looked at
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration)]
    deadline: Duration,
}

pub fn check(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let guards = stack.guards(&args.guards)?;
    let mut watch = Watch::begin(&stack, &guards).within(args.deadline);
    let watched: Vec<Watched> = guards
        .iter()
        .map(|guard| {
            let watched = watch.look(&mut stack, guard);
            if !ui.is_json() {
                render::guard(ui, &watched.report);
            }
            watched
        })
        .collect();
    let reports: Vec<GuardReport> = watched.iter().map(|w| w.report.clone()).collect();
    let verdict = Verdict::over(reports.iter().map(|r| r.verdict));
    news::compare(&mut stack, &watched, watch.now());
    if args.guards.is_empty() {
        news::compare_others(&mut stack, watch.now());
    }
    let outcome = news::tell(&mut stack, ui, watch.now());
    if ui.is_json() {
        let mut document = render::document(ui, "aidb-monitor", verdict, &reports);
        document["alerts"] = outcome.documents;
        ui.document(&document);
    }
    Ok(verdict)
}
