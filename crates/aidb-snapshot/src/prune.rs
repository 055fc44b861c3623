//! `prune`: remove what no rule keeps.

use std::time::Duration;

use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::archive::clear_half_made;
use aidb_core::vault::prune::{plan, remove};
use aidb_core::vault::retention::Decision;
use serde_json::json;

use crate::told;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the plan and remove nothing
    #[arg(long)]
    dry_run: bool,
}

pub fn prune(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let mut documents = Vec::new();
    // A guard that left the settings keeps all its snapshots: nothing new comes that could replace them.
    for guard in stack.settings.guards.clone() {
        let seen = stack.seen_again(&guard);
        for (name, decision) in plan(&stack.vault, &guard.name, &stack.settings.keep, &seen)? {
            let (word, why) = match &decision {
                Decision::Keep(reasons) => ("keep", reasons.join("; ")),
                Decision::Drop(why) => ("drop", why.clone()),
            };
            let id = format!("{}/{name}", guard.name);
            ui.line(format!("{word}  {id}  {why}"));
            documents.push(json!({ "id": id, "keep": decision.is_keep(), "why": why }));
        }
        if !args.dry_run {
            let gone = remove(
                &stack.vault,
                &guard.name,
                &stack.settings.keep,
                &seen,
                Duration::from_secs(60),
            )?;
            stack.forget_snapshots(&guard, &gone);
            told::cleared(ui, &clear_half_made(&stack.vault, &guard.name)?);
        }
    }
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "dry_run": args.dry_run,
            "snapshots": documents }));
    }
    Ok(Verdict::Pass)
}
