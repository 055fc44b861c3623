//! `migrate`: numbered SQL files, a proven snapshot first, and back by itself when one fails.

use std::path::PathBuf;
use std::time::Duration;

use aidb_cli::text::{count, plain};
use aidb_cli::{Common, Ui, common::duration};
use aidb_core::judge::Verdict;
use aidb_core::migrate::{self, End, Migrated, Options};
use aidb_core::stack::Stack;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Guard whose database to migrate, or any unambiguous part of its name
    guard: String,

    /// Store to migrate, such as `chats`
    store: String,

    /// Folder of the files `0001_name.sql`, `0002_name.sql`, …; each is one transaction
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// How long one file, or one check, may take
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration)]
    deadline: Duration,
}

/// How long to wait for whoever holds the guard.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn migrate(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let guard = stack.guards(std::slice::from_ref(&args.guard))?.remove(0);
    let options = Options {
        from: args.from.clone(),
        dry_run: args.dry_run,
        patience: PATIENCE,
        deadline: args.deadline,
    };
    let done = migrate::migrate(&mut stack, &guard, &args.store, &options)?;
    let verdict = if done.failed.is_some() {
        Verdict::Hold
    } else {
        Verdict::Pass
    };
    let name = format!("{}/{}", guard.name, args.store);
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-init-verify", "verdict": verdict, "dry_run": args.dry_run,
            "guard": guard.name, "store": args.store, "migrated": done }));
    } else {
        tell(ui, &name, &guard.name, args.dry_run, &done);
    }
    Ok(verdict)
}

fn tell(ui: &Ui, name: &str, guard: &str, dry_run: bool, done: &Migrated) {
    let line = |text: String| ui.line(plain(&text));
    let applied_before = format!("{} applied before", count(done.before as u64, "file"));
    if done.waiting.is_empty() {
        line(format!("{name}: nothing to apply, {applied_before}"));
        return;
    }
    if dry_run {
        for file in &done.waiting {
            line(format!("would apply {file} to {name}"));
        }
        return;
    }
    if let Some(snapshot) = &done.snapshot {
        line(format!("kept {snapshot}  proven"));
    }
    for file in &done.applied {
        line(format!("applied {file} to {name}"));
    }
    let Some(failed) = &done.failed else { return };
    line(format!("failed {}: {}", failed.file, failed.why));
    let restore = |id: &str| {
        let id = id.rsplit('/').next().unwrap_or(id);
        let words = ["restore", guard, "--snapshot", id].map(str::to_owned);
        line(format!("bring it back: {}", ui.command(&words)));
    };
    match &failed.end {
        End::Unchanged => line(format!("{name} is as it was: no file was applied")),
        End::Restored { put_aside } => {
            line(format!("{name} is as it was: the snapshot was restored"));
            if let Some(aside) = put_aside {
                line(format!(
                    "what the files made is kept: `{}`",
                    aside.display()
                ));
            }
        }
        End::MovedAside { put_aside } => {
            line(format!("there is no {name}, as there was none"));
            line(format!(
                "what the files made is kept: `{}`",
                put_aside.display()
            ));
        }
        End::Stuck { why } => {
            line(format!("{name} could not be brought back: {why}"));
            if let Some(id) = &done.snapshot {
                restore(id);
            }
        }
    }
}
