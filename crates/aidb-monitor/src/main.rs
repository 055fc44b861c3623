//! `aidb-monitor` says what changed while nobody looked.

mod alert;
mod check;
mod lines;
mod metrics;
mod news;
mod page;
mod report;
mod status;

use std::process::ExitCode;

use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use aidb_core::monitor::watch::{DEADLINE, look_at_data};
use aidb_core::stack::Stack;
use clap::{Parser, Subcommand};

/// Say what changed while nobody looked
///
/// Statuses: 0 pass or warn, 1 hold, 2 usage or settings, 3 could not find out, 4 busy.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One line a guard, then what is not guarded
    Status,
    /// Look at everything, compare it with what is known, and tell what is new
    Check(check::Args),
    /// Print metrics in Prometheus' text format
    Metrics(metrics::Args),
    /// Write a page: verdicts and next steps, curves, snapshots and runs over time
    Report(report::Args),
    /// Look at one guard's data, for the other verbs to call where files of sub-uids can be read
    #[command(hide = true)]
    Look {
        /// The guard
        guard: String,
    },
    /// For OnFailure=: tell that a unit failed, why, and what to do
    Alert(alert::Args),
}

fn main() -> ExitCode {
    aidb_cli::tool(|args: &Args| &args.common, run)
}

fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let common = &args.common;
    match &args.verb {
        Verb::Status => status::status(common, ui),
        Verb::Check(args) => check::check(common, args, ui),
        Verb::Metrics(args) => metrics::metrics(common, args, ui),
        Verb::Report(args) => report::report(common, args, ui),
        Verb::Look { guard } => look(common, guard, ui),
        Verb::Alert(args) => alert::alert(common, args, ui),
    }
}

fn look(common: &Common, guard: &str, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guard = stack.settings.select_one(guard)?.clone();
    let report = look_at_data(&mut stack, &guard, DEADLINE);
    ui.document(&serde_json::to_value(report)?);
    Ok(Verdict::Pass)
}
