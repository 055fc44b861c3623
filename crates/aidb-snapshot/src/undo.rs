//! `undo`: what the last restore put aside comes back.

use std::time::Duration;

use aidb_cli::text::{ago, plain, size, when};
use aidb_cli::ui::Style;
use aidb_cli::{Common, Ui, common::duration, units};
use aidb_core::judge::Verdict;
use aidb_core::lock::{Lock, Mode};
use aidb_core::stack::Stack;
use aidb_core::vault::restore::{self, put_aside};
use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::json;

use crate::restore::start;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Guard whose last restore to undo, or any unambiguous part of its name
    guard: String,

    /// Stop the guard's unit first, and start it again afterwards
    #[arg(long)]
    stop: bool,

    /// How long to wait for whoever holds the guard
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    deadline: Duration,
}

pub fn undo(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guard = stack
        .guards_past_or_present(std::slice::from_ref(&args.guard))?
        .remove(0);
    let stopped = match guard.unit.as_ref().filter(|_| args.stop) {
        Some(unit) => units::stop(&stack, unit)?,
        None => false,
    };
    let lock = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, args.deadline)?;
    let undone = restore::undo(&stack.vault, &guard, false);
    drop(lock);
    if stopped && undone.is_err() {
        start(&stack, &guard, ui);
    }
    let undone =
        undone.with_context(|| format!("cannot undo the last restore of `{}`", guard.name))?;
    if let Ok(ledger) = stack.ledger() {
        let _ = ledger.note_replaced(&guard.name, "undo", &undone.now.path.to_string_lossy());
    }
    ui.line(format!(
        "undone: {} is as it was before {}",
        guard.name,
        when(undone.now.at)
    ));
    if let Some(aside) = &undone.put_aside {
        ui.line(plain(&format!(
            "what was there is kept: `{}`",
            aside.display()
        )));
        ui.line(format!(
            "swap again: {}",
            ui.command(&["undo".into(), guard.name.clone()])
        ));
    }
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "undone": { "guard": guard.name,
            "put_aside": undone.put_aside } }));
    }
    if stopped {
        start(&stack, &guard, ui);
    } else {
        units::start_again(&stack, &guard, ui);
    }
    Ok(Verdict::Pass)
}

/// Lists what restores put aside: it is never deleted by us.
pub fn list_put_asides(stack: &Stack, names: &[String], ui: &Ui) {
    for guard in stack
        .settings
        .guards
        .iter()
        .filter(|g| names.contains(&g.name))
    {
        for aside in put_aside::list(guard).unwrap_or_default() {
            let bytes = size(put_aside::size_bytes(&aside));
            let line = format!(
                "put aside {}: `{}` ({bytes})",
                ago(aside.at, Timestamp::now()),
                aside.path.display()
            );
            ui.line(ui.paint(Style::Faint, &plain(&line)));
        }
    }
}
