//! `diff`: what changed between two snapshots, or since one.

use std::time::Duration;

use aidb_cli::table::columns;
use aidb_cli::text::{count, plain, size};
use aidb_cli::ui::Style;
use aidb_cli::{Common, Ui, common::duration};
use aidb_core::Error;
use aidb_core::check::{self, How};
use aidb_core::guard::Guard;
use aidb_core::judge::{Occasion, Verdict};
use aidb_core::look::Depth;
use aidb_core::stack::{Kept, Stack};
use aidb_core::vault::diff::{Change, Diff, State, diff as compare};
use anyhow::Context as _;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The earlier state: GUARD/ID, a prefix of it, or GUARD for its newest proven one
    #[arg(value_name = "SNAPSHOT")]
    before: String,

    /// The later state (without it, the present data)
    #[arg(value_name = "SNAPSHOT")]
    after: Option<String>,

    /// For how long the present databases may be looked at
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration)]
    deadline: Duration,
}

pub fn diff(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let stack = Stack::open(common.config.as_deref())?;
    let kept = stack.kept(&args.before)?;
    let before = state(&kept)?;
    let (after, after_id) = match &args.after {
        Some(name) => {
            let kept = stack.kept(name)?;
            (state(&kept)?, Some(kept.id()))
        }
        None => (present(&stack, &kept, args.deadline)?, None),
    };
    let diff = compare(&before, &after)?;
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass,
            "before": kept.id(), "after": after_id, "same": diff.same, "unknown": diff.unknown,
            "files": diff.files.iter().map(|f| json!({ "path": f.path, "change": f.what,
                "before_bytes": f.before_bytes, "after_bytes": f.after_bytes })).collect::<Vec<_>>(),
            "tables": diff.tables.iter().map(|t| json!({ "store": t.store, "table": t.table,
                "before": t.before, "after": t.after })).collect::<Vec<_>>() }));
        return Ok(Verdict::Pass);
    }
    let after = after_id.unwrap_or_else(|| "the present data".to_owned());
    ui.line(ui.paint(
        Style::Strong,
        &plain(&format!("from {} to {after}", kept.id())),
    ));
    print(&diff, ui);
    Ok(Verdict::Pass)
}

fn state(kept: &Kept) -> anyhow::Result<State> {
    let state = match kept {
        Kept::Snapshot(snapshot) => State::of_snapshot(snapshot),
        Kept::Archive(archive) => State::of_archive(archive),
    };
    state.with_context(|| format!("cannot read `{}`", kept.id()))
}

fn present(stack: &Stack, kept: &Kept, deadline: Duration) -> anyhow::Result<State> {
    let name = match kept {
        Kept::Snapshot(snapshot) => &snapshot.summary.guard,
        Kept::Archive(archive) => &archive.guard,
    };
    let guard: Option<&Guard> = stack.settings.guards.iter().find(|g| g.name == *name);
    let guard = guard.ok_or_else(|| Error::Usage {
        what: format!("`{name}` is not guarded here: there is no present data to compare with"),
        hint: Some("name a second snapshot".into()),
    })?;
    let how = How {
        occasion: Occasion::Report,
        depth: Depth::Quick,
        deadline,
    };
    let seen = check::look(stack, guard, how, None);
    State::present(guard, &seen)
        .with_context(|| format!("cannot look at the present data of `{name}`"))
}

fn print(diff: &Diff, ui: &Ui) {
    let mut rows = Vec::new();
    for table in &diff.tables {
        let rows_of = |n: Option<u64>| n.map_or_else(|| "no table".to_owned(), |n| n.to_string());
        rows.push(vec![
            "rows".to_owned(),
            format!("{} -> {}", rows_of(table.before), rows_of(table.after)),
            plain(&format!("{} {}", table.store, table.table)),
        ]);
    }
    for file in &diff.files {
        let (word, bytes) = match (file.what, file.before_bytes, file.after_bytes) {
            (Change::Added, _, bytes) => ("added", bytes.map(size).unwrap_or_default()),
            (Change::Removed, bytes, _) => ("removed", bytes.map(size).unwrap_or_default()),
            (Change::Attributes, bytes, _) => ("mode", bytes.map(size).unwrap_or_default()),
            (Change::Changed, Some(a), Some(b)) if a == b => ("changed", size(a)),
            (Change::Changed, Some(a), Some(b)) => {
                ("changed", format!("{} -> {}", size(a), size(b)))
            }
            (Change::Changed, _, _) => ("changed", String::new()),
        };
        rows.push(vec![
            word.to_owned(),
            bytes,
            plain(&file.path.as_path().to_string_lossy()),
        ]);
    }
    if !rows.is_empty() {
        ui.line(columns(&rows).trim_end());
    }
    for store in &diff.unknown {
        ui.note(plain(&format!(
            "note  the rows of `{store}` are known of one of the two only"
        )));
    }
    let of = |wanted: Change| diff.files.iter().filter(|f| f.what == wanted).count();
    let mut told = Vec::new();
    for (n, word) in [
        (of(Change::Added), "added"),
        (of(Change::Removed), "removed"),
        (of(Change::Changed), "changed"),
        (of(Change::Attributes), "with another mode or owner"),
    ] {
        if n > 0 {
            told.push(format!("{n} {word}"));
        }
    }
    told.push(format!("{} the same", diff.same));
    if !diff.tables.is_empty() {
        told.push(format!(
            "{} with other rows",
            count(diff.tables.len() as u64, "table")
        ));
    }
    ui.line(told.join(", "));
}
