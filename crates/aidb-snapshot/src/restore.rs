//! `restore` and `undo`: by one command, and back again.

use std::path::PathBuf;
use std::time::Duration;

use aidb_cli::text::{ago, count, plain, size, took, when};
use aidb_cli::ui::Style;
use aidb_cli::{Common, Ui, common::duration, units};
use aidb_core::Error;
use aidb_core::guard::Guard;
use aidb_core::judge::Verdict;
use aidb_core::stack::Stack;
use aidb_core::vault::Snapshot;
use aidb_core::vault::lock::{Lock, Mode};
use aidb_core::vault::restore::{self, Options, Plan, Restored, put_aside};
use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Guard to bring back, or any unambiguous part of its name
    #[arg(required_unless_present = "all")]
    guard: Option<String>,

    /// Bring back every guard
    #[arg(long, conflicts_with_all = ["guard", "snapshot", "only", "to"])]
    all: bool,

    /// Snapshot to bring back: an ID, or an unambiguous prefix of one (default: the newest proven)
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,

    /// Bring back the newest proven snapshot that was taken before this time, such as 2026-11-23 or 2026-11-23T18:00
    #[arg(long, value_name = "TIME", conflicts_with = "snapshot", value_parser = time)]
    before: Option<Timestamp>,

    /// Bring back this path below the data folder only (can be repeated); a database brings its log
    #[arg(long, value_name = "PATH")]
    only: Vec<PathBuf>,

    /// Write the files to this new or empty folder instead, and change nothing else
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,

    /// Stop the guard's unit first, and start it again afterwards
    #[arg(long)]
    stop: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// How long to wait for whoever holds the guard
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    deadline: Duration,
}

#[derive(Debug, clap::Args)]
pub struct UndoArgs {
    /// Guard whose last restore to undo, or any unambiguous part of its name
    guard: String,

    /// Stop the guard's unit first, and start it again afterwards
    #[arg(long)]
    stop: bool,

    /// How long to wait for whoever holds the guard
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    deadline: Duration,
}

/// Reads a time: RFC 3339, or a local date with or without a time of day.
fn time(text: &str) -> Result<Timestamp, String> {
    let local = || {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned_datetime(TimeZone::system())
            .ok()
    };
    let date = || {
        text.parse::<jiff::civil::Date>()
            .ok()?
            .to_zoned_datetime(TimeZone::system())
            .ok()
    };
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| local().map(|z| z.timestamp()))
        .or_else(|| date().map(|z| z.timestamp()))
        .ok_or_else(|| {
            format!("expected a time such as 2026-11-23 or 2026-11-23T18:00, found `{text}`")
        })
}

pub fn restore(common: &Common, args: &RestoreArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guards = match &args.guard {
        Some(name) => stack.guards_past_or_present(std::slice::from_ref(name))?,
        None => stack.guards(&[])?,
    };
    // All are chosen before any is touched: half a stack of one moment and half of another helps nobody.
    let mut chosen = Vec::new();
    for guard in &guards {
        chosen.push((guard, choose(&stack, guard, args)?));
    }
    let mut documents = Vec::new();
    for (guard, snapshot) in chosen {
        documents.push(
            restore_one(&mut stack, guard, &snapshot, args, ui).with_context(|| {
                format!("cannot restore `{}` from `{}`", guard.name, snapshot.id())
            })?,
        );
    }
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "dry_run": args.dry_run,
            "restored": documents }));
    }
    Ok(Verdict::Pass)
}

fn choose(stack: &Stack, guard: &Guard, args: &RestoreArgs) -> aidb_core::Result<Snapshot> {
    if let Some(id) = &args.snapshot {
        let Some((of, id)) = id.split_once('/') else {
            return stack.snapshot(&format!("{}/{id}", guard.name));
        };
        // Another guard's snapshot with the same number is not what was meant.
        if of != guard.name
            && stack
                .settings
                .select_one(of)
                .map_or(true, |g| g.name != guard.name)
        {
            return Err(Error::Usage {
                what: format!("`{of}/{id}` is no snapshot of `{}`", guard.name),
                hint: Some(format!("`aidb list {}` shows what there is", guard.name)),
            });
        }
        return stack.snapshot(&format!("{}/{id}", guard.name));
    }
    let wanted =
        |s: &Snapshot| s.is_good() && args.before.is_none_or(|before| s.summary.taken_at < before);
    let newest = stack
        .vault
        .each_snapshot(&guard.name)?
        .rev()
        .find(|s| s.as_ref().map_or(true, wanted))
        .transpose()?;
    newest.ok_or_else(|| Error::CouldNot {
        what: match args.before {
            Some(before) => format!(
                "`{}` has no proven snapshot from before {}",
                guard.name,
                when(before)
            ),
            None => format!("`{}` has no proven snapshot", guard.name),
        },
        hint: Some(format!(
            "`aidb list {}` shows what there is; `--snapshot ID` takes any of it",
            guard.name
        )),
    })
}

fn restore_one(
    stack: &mut Stack,
    guard: &Guard,
    snapshot: &Snapshot,
    args: &RestoreArgs,
    ui: &Ui,
) -> anyhow::Result<serde_json::Value> {
    if args.dry_run {
        let plan = restore::plan(guard, snapshot, &args.only)?;
        tell_plan(ui, guard, snapshot, &plan);
        return Ok(
            json!({ "guard": guard.name, "snapshot": snapshot.id(), "files": plan.files,
            "size_bytes": plan.size_bytes, "put_aside": plan.put_aside }),
        );
    }
    let lock = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, args.deadline)?;
    let options = Options {
        only: args.only.clone(),
        to: args.to.clone(),
        in_use_ok: false,
    };
    let unit = guard
        .unit
        .as_ref()
        .filter(|_| args.stop && args.to.is_none());
    // A unit's stop takes a snapshot, for which it needs the lock.
    drop(lock);
    let stopped = match unit {
        Some(unit) => units::stop(stack, unit)?,
        None => false,
    };
    let lock = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, args.deadline)?;
    let restored = restore::restore(&stack.vault, guard, snapshot, &options);
    drop(lock);
    if stopped && restored.is_err() {
        start(stack, guard, ui);
    }
    let restored = restored?;
    if let (Ok(ledger), None) = (stack.ledger(), &args.to) {
        let mut detail = snapshot.id();
        for (index, path) in args.only.iter().enumerate() {
            let lead = if index == 0 { ", only " } else { ", " };
            detail = format!("{detail}{lead}{}", path.display());
        }
        let is_of = |name: &str| {
            let store = guard.stores.iter().find(|s| s.name == name);
            let touches = |only: &PathBuf| {
                store.is_none_or(|s| s.path.starts_with(only) || only.starts_with(&s.path))
            };
            args.only.is_empty() || args.only.iter().any(touches)
        };
        let _ = ledger.note_replaced_in(&guard.name, "restore", &detail, is_of);
    }
    tell_restored(ui, guard, snapshot, &restored, args);
    if stopped {
        start(stack, guard, ui);
    } else if args.to.is_none() {
        units::start_again(stack, guard, ui);
    }
    Ok(
        json!({ "guard": guard.name, "snapshot": snapshot.id(), "files": restored.files, "size_bytes": restored.size_bytes,
        "put_aside": restored.put_aside, "carried_over": restored.carried_over,
        "took_ms": u64::try_from(restored.took.as_millis()).unwrap_or(u64::MAX) }),
    )
}

fn start(stack: &Stack, guard: &Guard, ui: &Ui) {
    let Some(unit) = &guard.unit else { return };
    if units::start(stack, unit) {
        ui.note(format!("started {unit}"));
    } else {
        ui.note(format!(
            "warn  `{unit}` could not be started again: systemctl --user start {unit}"
        ));
    }
}

fn tell_plan(ui: &Ui, guard: &Guard, snapshot: &Snapshot, plan: &Plan) {
    let what = format!("{}, {}", count(plan.files, "file"), size(plan.size_bytes));
    ui.line(format!(
        "would restore {} from {} ({what})",
        guard.name,
        snapshot.id()
    ));
    if let Some(aside) = &plan.put_aside {
        ui.line(plain(&format!(
            "would keep what is there now as `{}`",
            aside.display()
        )));
    }
    for path in &plan.carried_over {
        ui.line(plain(&format!(
            "would carry over `{}`, which no snapshot holds",
            path.display()
        )));
    }
    for user in &plan.users {
        ui.line(ui.paint(Style::Warn, &plain(&format!("in use: {user}"))));
    }
}

fn tell_restored(
    ui: &Ui,
    guard: &Guard,
    snapshot: &Snapshot,
    restored: &Restored,
    args: &RestoreArgs,
) {
    let state = aidb_cli::snapshots::state(snapshot);
    let what = format!(
        "{}, {}",
        count(restored.files, "file"),
        size(restored.size_bytes)
    );
    let taken = when(snapshot.summary.taken_at);
    let to = args
        .to
        .as_ref()
        .map(|to| format!(" to `{}`", to.display()))
        .unwrap_or_default();
    ui.line(plain(&format!(
        "restored {} from {taken} ({state}){to}: {what}, in {}",
        guard.name,
        took(restored.took)
    )));
    if let Some(aside) = &restored.put_aside {
        ui.line(plain(&format!(
            "what was there is kept: `{}`",
            aside.display()
        )));
        ui.line(format!(
            "undo: {}",
            ui.command(&["undo".into(), guard.name.clone()])
        ));
    }
    for path in &restored.carried_over {
        ui.step(plain(&format!(
            "carried over `{}`, which no snapshot holds",
            path.display()
        )));
    }
    for path in &restored.special_skipped {
        ui.note(plain(&format!(
            "note: `{}` is a pipe, socket or device, and is not made again",
            path.display()
        )));
    }
    if restored.unhashed > 0 {
        ui.note(format!(
            "note: {} had no hash to be compared with",
            count(restored.unhashed, "file")
        ));
    }
    for note in &restored.notes {
        ui.note(plain(&format!("note: {note}")));
    }
}

pub fn undo(common: &Common, args: &UndoArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
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
