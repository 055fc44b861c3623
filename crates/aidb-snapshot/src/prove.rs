//! `prove`: open and check what was kept.

use std::time::Duration;

use aidb_cli::{Common, Ui, common::duration, snapshots};
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::{Snapshot, prove};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Snapshot to prove: GUARD/ID, a prefix of it (without one, all that are neither proven nor refused)
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,

    /// How long to wait for whoever holds the guard
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration)]
    deadline: Duration,
}

pub fn prove(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let wanted = stack.snapshots(&args.snapshots, |s| !s.is_proven() && s.refused.is_none())?;
    let mut proven = Vec::new();
    let mut verdicts = Vec::new();
    for snapshot in &wanted {
        let outcome = prove_one(&mut stack, snapshot, args.deadline)?;
        let word = if outcome.is_proven() {
            "proven "
        } else {
            "refused"
        };
        ui.line(format!("{word} {}", outcome.id()));
        for finding in outcome.refused.iter().flat_map(|p| &p.findings) {
            aidb_cli::render::print_finding(ui, &outcome.summary.guard, finding);
        }
        verdicts.push(if outcome.is_proven() {
            Verdict::Pass
        } else {
            Verdict::Hold
        });
        proven.push(snapshots::document(&outcome));
    }
    let verdict = Verdict::over(verdicts);
    if ui.is_json() {
        ui.document(&serde_json::json!({
            "schema": 1, "tool": "aidb-snapshot", "verdict": verdict, "snapshots": proven,
        }));
    } else if wanted.is_empty() {
        ui.line("nothing waits to be proven");
    }
    Ok(verdict)
}

/// Proves a snapshot, and remembers what a good one showed.
pub fn prove_one(
    stack: &mut Stack,
    snapshot: &Snapshot,
    deadline: Duration,
) -> anyhow::Result<Snapshot> {
    let guard = snapshot.manifest()?.settings;
    let memory = stack.memory(&guard);
    let patience = deadline.max(Duration::from_secs(600));
    let request = prove::Request {
        examiner: &stack.examiner,
        memory: &memory,
        patience: deadline,
        deadline: patience,
    };
    let outcome = prove::prove(&stack.vault, snapshot, &request)?;
    if let Some(proof) = outcome
        .proof
        .as_ref()
        // Rows of another machine are no baseline of this one.
        .filter(|_| outcome.suspicious().is_none() && !outcome.summary.imported)
    {
        let seen = proof.stores.iter().filter(|s| s.checked == "full");
        stack.remember_capture(
            &guard,
            outcome.summary.taken_at,
            seen.map(|s| (s.name.clone(), s.seen.clone()))
                .collect::<Vec<_>>(),
        );
    }
    Ok(outcome)
}
