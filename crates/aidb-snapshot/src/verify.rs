//! `verify`: does what was kept still equal what its manifest says?

use std::time::Duration;

use aidb_cli::text::plain;
use aidb_cli::{Common, Ui, snapshots};
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::lock::{Lock, Mode};
use aidb_core::vault::{Snapshot, verify};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Snapshot to verify: GUARD/ID, a prefix of it, or GUARD for its newest proven one (without one, all proven ones)
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

pub fn verify(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let stack = Stack::open(common.config.as_deref())?;
    let wanted = stack.snapshots(&args.snapshots, Snapshot::is_proven)?;
    let (mut documents, mut verdicts) = (Vec::new(), Vec::new());
    for snapshot in &wanted {
        let lock = Lock::guard(
            &stack.vault,
            &snapshot.summary.guard,
            Mode::Shared,
            Duration::from_secs(60),
        )?;
        let differing = verify::verify(snapshot)?;
        drop(lock);
        if !differing.is_empty() && snapshot.is_proven() {
            let _lock = Lock::guard(
                &stack.vault,
                &snapshot.summary.guard,
                Mode::Exclusive,
                Duration::from_secs(60),
            )?;
            verify::disprove(snapshot, &differing)?;
        }
        let mut document = snapshots::document(snapshot);
        document["differs"] = json!(differing);
        documents.push(document);
        verdicts.push(if differing.is_empty() {
            Verdict::Pass
        } else {
            Verdict::Hold
        });
        if differing.is_empty() {
            ui.line(format!("ok    {}", snapshot.id()));
        } else {
            let names: Vec<String> = differing
                .iter()
                .map(|p| format!("`{}`", p.as_path().display()))
                .collect();
            let count = format!(
                "{} of {} files differ from the manifest",
                names.len(),
                snapshot.summary.files
            );
            ui.line(plain(&format!(
                "hold  {}  {count}: {}  [snapshot.hash]",
                snapshot.id(),
                names.join(", ")
            )));
        }
    }
    let verdict = Verdict::over(verdicts);
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": verdict, "snapshots": documents }));
    } else if wanted.is_empty() {
        ui.line("there is no proven snapshot to verify");
    }
    Ok(verdict)
}
