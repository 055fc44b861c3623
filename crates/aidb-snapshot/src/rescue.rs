//! `rescue`: keep what containers wrote outside their volumes.

use std::collections::BTreeSet;
use std::time::Duration;

use aidb_cli::text::{count, plain, size, took};
use aidb_cli::{Common, Ui, common::duration, render};
use aidb_core::guard::Guard;
use aidb_core::incarnation::Incarnation;
use aidb_core::judge::Verdict;
use aidb_core::podman::Storage;
use aidb_core::rescue::{self, Look, Outcome, Request};
use aidb_core::stack::Stack;
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::lacking::Lacking;
use crate::rescues;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Guard whose container's layer to keep, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,

    /// How much of a layer to keep at most; databases come first, then the smallest files
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = bytes)]
    limit: u64,

    /// For how long to copy; what is left out then is named
    #[arg(long, value_name = "TIME", default_value = "1min", value_parser = duration)]
    deadline: Duration,

    /// Say what lies in the layers, and keep nothing
    #[arg(long)]
    dry_run: bool,
}

/// Reads a size: bytes, or with KiB, MiB, GiB.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(format!("expected a size such as 512MiB, found `{text}`")),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("expected a size such as 512MiB, found `{text}`"))?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| format!("expected a size below 16 EiB, found `{text}`"))
}

pub fn rescue(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guards = stack.guards_past_or_present(&args.guards)?;
    let request = Request {
        reason: "rescue",
        deadline: args.deadline,
        limit_bytes: args.limit,
    };
    let mut done = Done::default();
    if !args.dry_run {
        left_by_earlier_boot(&mut stack, &request, &mut done, ui);
    }
    for guard in &guards {
        // The layer is the container's: a second guarded folder of it has the same one.
        if !done.containers.insert(guard.container.clone()) {
            continue;
        }
        if args.dry_run {
            let look = rescue::look(&stack.settings, &stack.environment, guard, args.deadline);
            done.looked(guard, look, ui);
        } else {
            let outcome = rescue::rescue(&stack.settings, &stack.environment, guard, &request);
            done.rescued(&mut stack, guard, outcome, ui);
        }
    }
    let verdict = Verdict::over(done.verdicts);
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": verdict, "dry_run": args.dry_run,
            "rescues": done.documents }));
    }
    Ok(verdict)
}

/// Keeps what containers of an earlier boot left: Podman's next call, by anybody, removes it.
fn left_by_earlier_boot(stack: &mut Stack, request: &Request, done: &mut Done, ui: &Ui) {
    let left = rescue::left_by_earlier_boot(&stack.settings, &stack.environment);
    // What keeps the storage from being read is said of each guard that was asked for.
    let Ok(left) = left else { return };
    let left: Vec<(Guard, rescue::Found)> = left.into_iter().map(|(g, f)| (g.clone(), f)).collect();
    let mut all = true;
    for (guard, found) in &left {
        done.containers.insert(guard.container.clone());
        let outcome =
            rescue::rescue_found(&stack.settings, &stack.environment, guard, found, request);
        all &= outcome.is_ok();
        done.rescued(stack, guard, outcome, ui);
    }
    if all && let Err(e) = Storage::of(&stack.environment).note_layers_read() {
        ui.error(&anyhow::Error::new(e).context("cannot note that the layers were read"));
    }
}

/// What was done so far.
#[derive(Default)]
struct Done {
    containers: BTreeSet<String>,
    verdicts: Vec<Verdict>,
    documents: Vec<Value>,
}

impl Done {
    fn rescued(
        &mut self,
        stack: &mut Stack,
        guard: &Guard,
        outcome: aidb_core::Result<Outcome>,
        ui: &Ui,
    ) {
        match outcome {
            Ok(outcome) => {
                let verdict = tell(stack, guard, &outcome, ui, &mut self.documents);
                self.verdicts.push(verdict);
            }
            Err(e) => self.failed(guard, e, ui),
        }
    }

    fn looked(&mut self, guard: &Guard, look: aidb_core::Result<Option<Look>>, ui: &Ui) {
        let look = match look {
            Ok(look) => look,
            Err(e) => return self.failed(guard, e, ui),
        };
        self.verdicts.push(Verdict::Pass);
        let Some(look) = look.filter(|l| !l.is_nothing()) else {
            ui.line(format!("nothing to rescue of {}", guard.name));
            return;
        };
        ui.line(format!(
            "would rescue of {}: {}, {}",
            guard.name,
            count(look.files, "file"),
            size(look.size_bytes)
        ));
        for database in &look.databases {
            ui.line(plain(&format!(
                "  database /{} ({})",
                database.path.as_path().display(),
                size(database.size_bytes)
            )));
        }
        let mut document = json!(look);
        document["guard"] = json!(guard.name);
        self.documents.push(document);
    }

    fn failed(&mut self, guard: &Guard, error: aidb_core::Error, ui: &Ui) {
        let what = format!("cannot rescue what the container of `{}` wrote", guard.name);
        ui.error(&anyhow::Error::new(error).context(what));
        self.verdicts.push(Verdict::Unknown);
    }
}

/// Keeps the layer of a guard whose container stops, beside its snapshot. Nothing is printed where there is nothing.
///
/// # Errors
/// As [`rescue::rescue`].
pub fn beside_snapshot(
    stack: &mut Stack,
    guard: &Guard,
    deadline: Duration,
    ui: &Ui,
) -> anyhow::Result<()> {
    let request = Request {
        reason: "stop",
        deadline,
        limit_bytes: rescue::LIMIT_BYTES,
    };
    if !rescue::could_be(&stack.settings, &stack.environment) && !has_run(stack, guard) {
        return Ok(());
    }
    let outcome = rescue::rescue(&stack.settings, &stack.environment, guard, &request)
        .with_context(|| format!("cannot rescue what the container of `{}` wrote", guard.name))?;
    if matches!(outcome, Outcome::Kept(_)) {
        tell(stack, guard, &outcome, ui, &mut Vec::new());
    }
    Ok(())
}

/// Returns whether a container of the guard is known to have run.
fn has_run(stack: &mut Stack, guard: &Guard) -> bool {
    let runs = stack
        .ledger()
        .and_then(|l| l.incarnations(&guard.container));
    // What cannot be found out is no reason to be silent.
    runs.map_or(true, |runs| runs.iter().any(Incarnation::is_attested))
}

fn tell(
    stack: &mut Stack,
    guard: &Guard,
    outcome: &Outcome,
    ui: &Ui,
    documents: &mut Vec<Value>,
) -> Verdict {
    let rescue = match outcome {
        Outcome::NoContainer => {
            ui.line(format!(
                "nothing to rescue: `{}` does not exist",
                plain(&guard.container)
            ));
            return Verdict::Pass;
        }
        Outcome::Nothing => {
            ui.line(format!("nothing to rescue of {}", guard.name));
            return Verdict::Pass;
        }
        Outcome::Same(rescue) => {
            ui.line(format!("nothing new since {}", rescue.id()));
            documents.push(rescues::document(rescue));
            return Verdict::Pass;
        }
        Outcome::Kept(rescue) => rescue,
    };
    let record = &rescue.record;
    ui.line(format!(
        "rescued {}  {}, {}, in {}",
        rescue.id(),
        count(record.files, "file"),
        size(record.size_bytes),
        took(Duration::from_millis(record.took_ms))
    ));
    for finding in rescue::findings(rescue) {
        render::print_finding(ui, &guard.name, &finding);
    }
    if record.frozen_ms > 0 {
        ui.line(format!(
            "     the container stood still for {} ms",
            record.frozen_ms
        ));
    }
    Lacking::from(record).tell(ui);
    if let Ok(ledger) = stack.ledger() {
        let databases: Vec<String> = record
            .telling_databases()
            .map(|d| format!("/{}", d.path.as_path().display()))
            .collect();
        let detail = match databases.as_slice() {
            [] => rescue.id(),
            some => format!("{}, database {}", rescue.id(), some.join(", ")),
        };
        let _ = ledger.note_event(&guard.name, "rescue", &detail);
    }
    documents.push(rescues::document(rescue));
    if record.gaps.is_empty() && record.left_out.is_empty() {
        Verdict::Warn
    } else {
        Verdict::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("2GiB"), Ok(2 << 30));
        assert_eq!(bytes("10 MiB"), Ok(10 << 20));
        for text in ["", "GiB", "-1", "1 TB", "99999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
