//! `archive`: the independent copy of each guard's newest proven snapshot.

use std::time::{Duration, Instant};

use aidb_cli::text::{plain, size, took};
use aidb_cli::{Common, Ui, common::duration, snapshots};
use aidb_core::Error;
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::archive::{Made, clear_half_made, make};
use serde_json::json;

use crate::told;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Guard to archive, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,

    /// How long to wait for whoever archives the same guard
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    deadline: Duration,
}

pub fn archive(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let stack = Stack::open(common.config.as_deref())?;
    let guards = stack.guards_past_or_present(&args.guards)?;
    let progress = ui.progress();
    let (mut documents, mut verdicts, mut busy) = (Vec::new(), Vec::new(), None);
    for guard in &guards {
        let began = Instant::now();
        told::cleared(ui, &clear_half_made(&stack.vault, &guard.name)?);
        let keep = stack.settings.keep.archives;
        match make(&stack.vault, &guard.name, keep, args.deadline, &*progress) {
            Ok(Made::New {
                archive,
                content_bytes,
                dropped,
            }) => {
                ui.line(plain(&format!(
                    "archived {}  {} as {}, read back, in {}",
                    archive.id(),
                    size(content_bytes),
                    size(archive.size_bytes),
                    took(began.elapsed())
                )));
                for old in dropped {
                    ui.line(plain(&format!("dropped  {}", old.id())));
                }
                documents.push(snapshots::archived(&archive));
                verdicts.push(Verdict::Pass);
            }
            Ok(Made::Current(archive)) => {
                ui.line(plain(&format!(
                    "nothing to do: {} is the newest proven snapshot, and archived",
                    archive.id()
                )));
                documents.push(snapshots::archived(&archive));
                verdicts.push(Verdict::Pass);
            }
            Ok(Made::NothingProven) => {
                ui.note(plain(&format!(
                    "warn  {}: there is no proven snapshot to archive",
                    guard.name
                )));
                ui.note(format!(
                    "      take one: {}",
                    ui.command(&["take".into(), guard.name.clone()])
                ));
                verdicts.push(Verdict::Unknown);
            }
            Err(e) => {
                let is_busy = matches!(e, Error::Busy { .. });
                let e = anyhow::Error::from(e).context(format!("cannot archive `{}`", guard.name));
                if guards.len() == 1 {
                    return Err(e);
                }
                if is_busy && busy.is_none() {
                    busy = Some(e);
                } else {
                    ui.error(&e);
                    verdicts.push(Verdict::Unknown);
                }
            }
        }
    }
    let verdict = Verdict::over(verdicts);
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": verdict, "snapshots": documents }));
    }
    match busy {
        Some(busy) if verdict < Verdict::Unknown => Err(busy),
        Some(busy) => {
            ui.error(&busy);
            Ok(verdict)
        }
        None => Ok(verdict),
    }
}
