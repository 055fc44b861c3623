//! `restore`: by one command.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aidb_cli::text::{ago, count, plain};
use aidb_cli::{Common, Ui, common::duration, render, units};
use aidb_core::guard::Guard;
use aidb_core::judge::Verdict;
use aidb_core::lock::{Lock, Mode};
use aidb_core::manifest::Numbering;
use aidb_core::stack::{Kept, Stack};
use aidb_core::userns::{self, UserNamespace};
use aidb_core::vault::restore::{self, Options};
use aidb_core::{Error, older, rescue};
use anyhow::Context as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::choose::{Ready, choose, ready, with_archive};
use crate::told;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Guard to bring back, or any unambiguous part of its name
    #[arg(required_unless_present = "all")]
    guard: Option<String>,

    /// Bring back every guard
    #[arg(long, conflicts_with_all = ["guard", "snapshot", "only", "to"])]
    all: bool,

    /// Snapshot to bring back: its number, or an unambiguous beginning of its ID (default: the newest proven)
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,

    /// Bring back the newest proven snapshot that was taken before this time, such as 2026-11-23 or 2026-11-23T18:00
    #[arg(long, value_name = "TIME", conflicts_with = "snapshot", value_parser = time)]
    before: Option<Timestamp>,

    /// Bring back what was rescued of the container's layer: an ID of `list`, or without one the one that holds the most
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "",
        conflicts_with_all = ["snapshot", "before", "all"])]
    rescue: Option<String>,

    /// With `--rescue`: the folder of the container that becomes the data folder (default: where the guard has its data)
    #[arg(long, value_name = "FOLDER", requires = "rescue")]
    from: Option<PathBuf>,

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

pub fn restore(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guards = guards(&stack, args)?;
    // All are chosen and unpacked before any is touched: half a stack of one moment and half of another helps nobody.
    let mut all = Vec::new();
    let mut args = args.clone();
    for guard in &guards {
        if let Some(id) = args.rescue.clone() {
            all.push(rescued(&stack, guard, &id, &mut args, ui)?);
            continue;
        }
        let kept = choose(&stack, guard, args.snapshot.as_deref(), args.before)?;
        let id = kept.id();
        if let (Kept::Snapshot(snapshot), None, false) = (&kept, &args.to, userns::is_inside())
            && let Some(finding) = older::at_restore(&stack, guard, snapshot)
        {
            render::print_finding(ui, &guard.name, &finding);
        }
        let ready = ready(&stack, guard, kept, &args.only, !args.dry_run, ui)
            .with_context(|| format!("cannot restore `{}` from `{id}`", guard.name))?;
        all.push(ready);
    }
    let documents = if args.dry_run {
        let plans = all.iter().map(|ready| plan_one(ready, &args, ui));
        plans.collect::<anyhow::Result<Vec<_>>>()?
    } else {
        match restore_all(&mut stack, &all, &args, ui)? {
            Done::Here(documents) => documents,
            Done::Inside(status) => return Ok(ui.end_with(status)),
        }
    };
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "dry_run": args.dry_run,
            "restored": documents }));
    }
    Ok(Verdict::Pass)
}

/// Lays out what was rescued, to be restored as a snapshot is; what else is in the data folder stays.
fn rescued(
    stack: &Stack,
    guard: &Guard,
    id: &str,
    args: &mut Args,
    ui: &Ui,
) -> aidb_core::Result<Ready> {
    let id = Some(id).filter(|id| !id.is_empty());
    let rescue = rescue::find(&stack.vault, &guard.name, id)?;
    if id.is_none() {
        tell_newer(stack, &rescue, ui)?;
    }
    let is_whole = args.to.is_some() && args.from.is_none();
    let from = if is_whole {
        Some(Path::new(""))
    } else {
        args.from.as_deref()
    };
    let brought = rescue.bring_back(&stack.place_to_unpack(), guard, from)?;
    ui.step(plain(&format!(
        "`{}` of the container becomes the data folder",
        brought.from.display()
    )));
    if args.only.is_empty() && args.to.is_none() {
        args.only = brought.only;
    }
    Ok(Ready::laid_out(
        guard,
        brought.snapshot,
        rescue.id(),
        brought.staging,
    ))
}

/// Says that there are newer rescues than the one that was chosen, because it holds more.
fn tell_newer(stack: &Stack, chosen: &rescue::Rescue, ui: &Ui) -> aidb_core::Result<()> {
    let guard = &chosen.record.guard;
    let newest = rescue::list(&stack.vault, guard)?.pop();
    let Some(newest) = newest.filter(|newest| newest.name != chosen.name) else {
        return Ok(());
    };
    ui.note(plain(&format!(
        "note  `{}` holds the most; the newest, {}, holds less: `--rescue {}` brings that one back",
        chosen.id(),
        ago(newest.record.taken_at, Timestamp::now()),
        newest.name.sequence
    )));
    Ok(())
}

fn guards(stack: &Stack, args: &Args) -> aidb_core::Result<Vec<Guard>> {
    let Some(name) = &args.guard else {
        return stack.guards(&[]);
    };
    match stack.guards_past_or_present(std::slice::from_ref(name)) {
        // Where only the vault knows a guard, as after an import, the place for its files has to be named.
        Err(e @ Error::Usage { .. }) => match stack.guard_in_vault(name) {
            Ok(guard) if args.to.is_some() => Ok(vec![guard]),
            Ok(_) => Err(Error::Usage {
                what: format!("`{name}` is kept in the vault, and is no guard of this machine"),
                hint: Some("name a new folder for its files with `--to`".into()),
            }),
            Err(_) => Err(e),
        },
        other => other,
    }
}

fn plan_one(ready: &Ready, args: &Args, ui: &Ui) -> anyhow::Result<serde_json::Value> {
    let mut plan = restore::plan(&ready.guard, &ready.snapshot, &args.only)
        .with_context(|| format!("cannot restore `{}` from `{}`", ready.guard.name, ready.id))?;
    if args.to.is_some() {
        // What is there now is not touched.
        plan.put_aside = None;
        plan.carried_over.clear();
        plan.users.clear();
    }
    told::plan(ui, ready, &plan, args.to.as_deref());
    Ok(
        json!({ "guard": ready.guard.name, "snapshot": ready.id, "files": plan.files,
        "size_bytes": plan.size_bytes, "put_aside": plan.put_aside, "to": args.to }),
    )
}

/// Stops what runs, restores one guard after the other, and starts again what it stopped, also after an error.
fn restore_all(stack: &mut Stack, all: &[Ready], args: &Args, ui: &Ui) -> anyhow::Result<Done> {
    if args.to.is_none() && !args.stop && all.len() > 1 {
        refuse_if_any_is_used(all)?;
    }
    let mut stopped: Vec<&Guard> = Vec::new();
    let mut documents = Vec::new();
    let mut ended = None;
    let mut restore = || -> anyhow::Result<()> {
        if args.stop && args.to.is_none() {
            for ready in all {
                // Whoever holds the guard is told of before its unit is stopped. A unit's stop takes a snapshot, for
                // which it needs the lock.
                drop(lock(stack, &ready.guard, args)?);
                if let Some(unit) = &ready.guard.unit
                    && units::stop(stack, unit)?
                {
                    stopped.push(&ready.guard);
                }
            }
        }
        if let Some(namespace) = inside(stack, all, ui) {
            // From there nobody can see who else uses a folder, nor ask the user manager.
            if args.to.is_none() {
                refuse_if_used(all)?;
            }
            let arguments = std::env::args_os().skip(1).filter(|a| a != "--stop");
            ended = Some(namespace.run_again_with(arguments)?);
            return Ok(());
        }
        for ready in all {
            let document = restore_one(stack, ready, args, ui).with_context(|| {
                let done = match documents.len() {
                    0 => String::new(),
                    n => format!(" ({} restored before it)", count(n as u64, "guard")),
                };
                let name = &ready.guard.name;
                format!("cannot restore `{name}` from `{}`{done}", ready.id)
            })?;
            documents.push(document);
        }
        Ok(())
    };
    let outcome = restore();
    for guard in &stopped {
        start(stack, guard, ui);
    }
    let is_done = outcome.is_ok() && ended.is_none_or(|status| status == 0);
    if args.to.is_none() && is_done && !userns::is_inside() {
        let others = all.iter().map(|r| &r.guard);
        for guard in others.filter(|g| !stopped.iter().any(|s| s.name == g.name)) {
            units::start_again(stack, guard, ui);
        }
    }
    outcome.map(|()| ended.map_or(Done::Here(documents), Done::Inside))
}

/// How restores ended.
enum Done {
    /// Here, with what is told of each.
    Here(Vec<serde_json::Value>),
    /// In the container's user namespace, with this status; all is told already.
    Inside(u8),
}

/// Returns the way into the container's user namespace if files of sub-uids come back, whose owners can be set only
/// there. Where there is no way in, the files come back as the user's own, and that is told.
fn inside(stack: &Stack, all: &[Ready], ui: &Ui) -> Option<UserNamespace> {
    let own = (0, 0);
    let of_others = |ready: &Ready| {
        ready.snapshot.manifest().is_ok_and(|manifest| {
            manifest.summary.numbering == Numbering::Container
                && (manifest.entries.iter().any(|e| (e.uid, e.gid) != own)
                    || manifest.root.is_some_and(|r| (r.uid, r.gid) != own))
        })
    };
    if !userns::could_help() || !all.iter().any(of_others) {
        return None;
    }
    match UserNamespace::find(&stack.settings.programs, &stack.environment) {
        Ok(namespace) => Some(namespace),
        Err(e) => {
            ui.note(plain(&format!("warn  {e} [check.could-not]")));
            None
        }
    }
}

/// Refuses before the first folder is touched if a process uses one.
fn refuse_if_used(all: &[Ready]) -> anyhow::Result<()> {
    let used: Vec<String> = all
        .iter()
        .filter_map(|r| {
            let user = restore::in_use::users_of(&r.guard.data)
                .into_iter()
                .next()?;
            Some(format!("`{}`: {user}", r.guard.name))
        })
        .collect();
    refuse(&used)
}

fn refuse(used: &[String]) -> anyhow::Result<()> {
    if used.is_empty() {
        return Ok(());
    }
    Err(Error::CouldNot {
        what: format!("in use, so nothing was restored: {}", used.join("; ")),
        hint: Some("stop the containers first, or use `--stop`".into()),
    }
    .into())
}

/// Refuses before the first guard is touched if any is in use.
fn refuse_if_any_is_used(all: &[Ready]) -> anyhow::Result<()> {
    let mut used = Vec::new();
    for ready in all {
        let plan = restore::plan(&ready.guard, &ready.snapshot, &[]).with_context(|| {
            format!("cannot restore `{}` from `{}`", ready.guard.name, ready.id)
        })?;
        used.extend(
            plan.users
                .first()
                .map(|user| format!("`{}`: {user}", ready.guard.name)),
        );
    }
    refuse(&used)
}

fn lock(stack: &Stack, guard: &Guard, args: &Args) -> aidb_core::Result<Lock> {
    Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, args.deadline)
}

/// Holds what a restore needs to stand still: the guard, whose data it replaces; or, where the files go elsewhere, no
/// more than what they come from. So they come out of a vault that is read-only, and while the guard is busy.
fn hold(stack: &Stack, ready: &Ready, args: &Args) -> aidb_core::Result<Option<Lock>> {
    let (guard, snapshot) = (&ready.guard, &ready.snapshot);
    if args.to.is_none() {
        return lock(stack, guard, args).map(Some);
    }
    if ready.is_laid_out() {
        return Ok(None);
    }
    // What is proven changes no more; what is not may be proven in this very moment.
    let held = if snapshot.is_proven() {
        Lock::snapshot(&snapshot.path, Mode::Shared)
    } else {
        Lock::guard(&stack.vault, &guard.name, Mode::Shared, args.deadline)
    };
    held.map(Some)
}

fn restore_one(
    stack: &mut Stack,
    ready: &Ready,
    args: &Args,
    ui: &Ui,
) -> anyhow::Result<serde_json::Value> {
    let (guard, snapshot) = (&ready.guard, &ready.snapshot);
    let options = Options {
        only: args.only.clone(),
        to: args.to.clone(),
        in_use_ok: false,
        btrfs: stack.btrfs(),
    };
    let held = hold(stack, ready, args)?;
    let progress = ui.progress();
    let restored = restore::restore_telling(&stack.vault, guard, snapshot, &options, &*progress);
    drop(held);
    let restored = restored.map_err(|e| with_archive(stack, snapshot, e))?;
    if let (Ok(ledger), None) = (stack.ledger(), &args.to) {
        let mut detail = ready.id.clone();
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
    told::restored(ui, guard, snapshot, &restored, args.to.as_deref());
    Ok(
        json!({ "guard": guard.name, "snapshot": ready.id, "files": restored.files, "size_bytes": restored.size_bytes,
        "put_aside": restored.put_aside, "carried_over": restored.carried_over,
        "took_ms": u64::try_from(restored.took.as_millis()).unwrap_or(u64::MAX) }),
    )
}

/// Starts a unit that was stopped, or says how to.
pub fn start(stack: &Stack, guard: &Guard, ui: &Ui) {
    let Some(unit) = &guard.unit else { return };
    if units::start(stack, unit) {
        ui.note(format!("started {unit}"));
    } else {
        ui.note(format!(
            "warn  `{unit}` could not be started again: systemctl --user start {unit}"
        ));
    }
}
