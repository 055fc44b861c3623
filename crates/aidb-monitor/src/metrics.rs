//! `metrics`: numbers for a monitoring system.

use std::path::PathBuf;

use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use aidb_core::monitor::{Picture, metrics as text};
use aidb_core::stack::Stack;
use aidb_core::vault::publish::write_for_others;
use anyhow::Context as _;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Write to this file, atomically, for a node exporter's text-file collector (without it, to standard output)
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub fn metrics(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let picture = Picture::of(&mut stack)?;
    let text = text::render(&picture);
    match &args.to {
        Some(file) => {
            let file = std::path::absolute(file)?;
            write_for_others(&file, text.as_bytes()).context("cannot write the metrics")?;
        }
        None => ui.text(&text),
    }
    // That something is wrong is what the numbers say, and no failure of saying it.
    Ok(Verdict::Pass)
}
