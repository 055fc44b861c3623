//! `aidb-precheck` says whether a guard's data is fit to start its container.

mod accept;
mod check;
mod gate;
mod settings;

use std::process::ExitCode;

use aidb_cli::{Common, Ui};
use aidb_core::judge::{FindingId, Verdict};
use clap::{Parser, Subcommand};

/// Check that data is fit to start its container
///
/// Looking changes nothing of the data. Statuses: 0 pass or warn, 1 hold, 2 usage or settings, 3 could not find out,
/// 4 busy.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    check: check::CheckArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Say whether the data is fit
    Check(check::CheckArgs),
    /// Let the next hold of a finding pass, once
    Allow {
        /// Guard, or any unambiguous part of its name
        guard: String,
        /// Finding, such as `sqlite.no-tables`
        finding: FindingId,
        /// Why it may pass
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Make the present state the new baseline
    Accept {
        /// Guard, or any unambiguous part of its name
        guard: String,
        /// Why it is right
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Validate the settings alone, and list what is not guarded
    Settings {
        /// Print the JSON Schema of stack.json instead
        #[arg(long)]
        schema: bool,
    },
}

fn main() -> ExitCode {
    aidb_cli::tool(|args: &Args| &args.common, run)
}

fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let common = &args.common;
    match &args.verb {
        None => check::check(common, &args.check, ui),
        Some(Verb::Check(check)) => check::check(common, check, ui),
        Some(Verb::Allow {
            guard,
            finding,
            reason,
        }) => accept::allow(common, guard, *finding, reason, ui),
        Some(Verb::Accept { guard, reason }) => accept::accept(common, guard, reason, ui),
        Some(Verb::Settings { schema: true }) => settings::schema(ui),
        Some(Verb::Settings { schema: false }) => settings::settings(common, ui),
    }
}
