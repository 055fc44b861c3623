//! `export` and `import`: a guard moves to another machine.

use std::path::PathBuf;
use std::time::Duration;

use aidb_cli::text::{plain, size};
use aidb_cli::{Common, Ui, common::duration, snapshots};
use aidb_core::judge::Verdict;
use aidb_core::stack::{Kept, Stack};
use aidb_core::vault::archive::{self, Exported, Imported};
use anyhow::Context as _;
use serde_json::json;

use crate::prove::prove_one;
use crate::told;

#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// Snapshot to write: GUARD/ID, a prefix of it, or GUARD for its newest proven one
    snapshot: String,

    /// File to write, which must not exist yet
    #[arg(value_name = "FILE.tar.xz")]
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// File that `export` or `archive` wrote
    #[arg(value_name = "FILE.tar.xz")]
    file: PathBuf,

    /// How long to wait for whoever holds the guard
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    deadline: Duration,
}

pub fn export(common: &Common, args: &ExportArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let stack = Stack::open(common.config.as_deref())?;
    let kept = stack.kept(&args.snapshot)?;
    let progress = ui.progress();
    let file = &args.file;
    let exported = match &kept {
        Kept::Snapshot(snapshot) => archive::export(snapshot, file, &*progress),
        Kept::Archive(archive) => archive.export(file, &*progress),
    };
    let Exported {
        blake3: hash,
        cleared,
    } = exported.with_context(|| format!("cannot export `{}`", kept.id()))?;
    told::cleared(ui, &cleared);
    let bytes = std::fs::metadata(file).map_or(0, |m| m.len());
    let shown = file.display();
    let line = format!(
        "exported {} to `{shown}`: {}, read back\nBLAKE3 {hash}",
        kept.id(),
        size(bytes)
    );
    if ui.is_json() {
        ui.document(
            &json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass,
            "exported": { "id": kept.id(), "file": file, "size_bytes": bytes, "blake3": hash } }),
        );
    } else {
        for line in line.lines() {
            ui.line(plain(line));
        }
    }
    Ok(Verdict::Pass)
}

pub fn import(common: &Common, args: &ImportArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let progress = ui.progress();
    let settings = &stack.settings;
    let known = |name: &str| settings.guards.iter().find(|g| g.name == name).cloned();
    let imported = archive::import(&stack.vault, &args.file, &known, args.deadline, &*progress)
        .with_context(|| format!("cannot import `{}`", args.file.display()))?;
    let (snapshot, word) = match imported {
        Imported::Present(snapshot) => {
            ui.line(plain(&format!(
                "nothing to do: {} is here already",
                snapshot.id()
            )));
            (snapshot, None)
        }
        Imported::New(snapshot) => {
            let proven = prove_one(&mut stack, &snapshot, Duration::from_secs(600))
                .with_context(|| format!("`{}` was imported, and not proven", snapshot.id()))?;
            let word = if proven.is_proven() {
                "proven"
            } else {
                "NOT PROVEN"
            };
            (proven, Some(word))
        }
    };
    if let Some(word) = word {
        let summary = &snapshot.summary;
        ui.line(plain(&format!(
            "imported {}  {}, {word}",
            snapshot.id(),
            size(summary.size_bytes)
        )));
        for finding in snapshot.refused.iter().flat_map(|p| &p.findings) {
            aidb_cli::render::print_finding(ui, &summary.guard, finding);
        }
        let guard = summary.guard.clone();
        let mut restore = vec!["restore".to_owned(), guard.clone()];
        if known_here(&stack, &guard) {
            if !snapshot.is_proven() {
                restore.extend(["--snapshot".to_owned(), snapshot.name.to_string()]);
            }
        } else {
            ui.note(plain(&format!(
                "note  `{guard}` is no guard of this machine: it can be restored to a folder"
            )));
            restore.extend(["--snapshot".to_owned(), snapshot.name.to_string()]);
            restore.extend(["--to".to_owned(), format!("./{guard}")]);
        }
        ui.line(format!("restore: {}", ui.command(&restore)));
    }
    let verdict = if word == Some("NOT PROVEN") {
        Verdict::Hold
    } else {
        Verdict::Pass
    };
    if ui.is_json() {
        ui.document(
            &json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": verdict,
            "snapshots": [snapshots::document(&snapshot)] }),
        );
    }
    Ok(verdict)
}

fn known_here(stack: &Stack, guard: &str) -> bool {
    stack.settings.guards.iter().any(|g| g.name == guard)
}
