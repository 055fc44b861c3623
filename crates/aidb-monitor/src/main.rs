//! `aidb-monitor` says what changed while nobody looked.

mod status;

use std::process::ExitCode;

use aidb_cli::Common;
use aidb_core::look::sqlite;
use clap::{CommandFactory as _, Parser, Subcommand};

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
}

fn main() -> ExitCode {
    if let Some(code) = sqlite::child_main() {
        return code;
    }
    if let Some(code) = aidb_cli::generate(Args::command) {
        return code;
    }
    let args = Args::parse();
    aidb_cli::run(&args.common, |ui| match &args.verb {
        Verb::Status => status::status(&args.common, ui),
    })
}
