//! `restore` and `undo`.

use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;

#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Guard to bring back, or any unambiguous part of its name
    guard: String,
}

#[derive(Debug, clap::Args)]
pub struct UndoArgs {
    /// Guard whose last restore to undo, or any unambiguous part of its name
    guard: String,
}

pub fn restore(_common: &Common, _args: &RestoreArgs, _ui: &mut Ui) -> anyhow::Result<Verdict> {
    anyhow::bail!("not built yet")
}

pub fn undo(_common: &Common, _args: &UndoArgs, _ui: &mut Ui) -> anyhow::Result<Verdict> {
    anyhow::bail!("not built yet")
}

pub fn list_put_asides(_stack: &Stack, _names: &[String], _ui: &Ui) {}
