//! `check`: look, judge, at start heal.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use aidb_cli::{Common, Ui, common::duration, hooks, inside, render};
use aidb_core::check::{How, check as check_guard};
use aidb_core::guard::Guard;
use aidb_core::judge::{Occasion, Verdict};
use aidb_core::look::Depth;
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;
use aidb_core::userns;
use clap::ValueEnum;

use crate::gate::{Switch, gate};

#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// Guard to check, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,

    /// How deep to look (without it, full, but what stands is not checked again and models are not read)
    #[arg(long, value_name = "DEPTH")]
    depth: Option<DepthFlag>,

    /// When to give up and say what is known by then (default: 10s for hooks, else 10min)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,

    /// For hooks: apply policies for this occasion
    #[arg(long, value_name = "OCCASION", help_heading = "For hooks")]
    at: Option<At>,

    /// For hooks: the generation that is active
    #[arg(
        long,
        value_name = "GENERATION",
        help_heading = "For hooks",
        requires = "at"
    )]
    from: Option<PathBuf>,

    /// For hooks: the generation that is to be activated
    #[arg(
        long,
        value_name = "GENERATION",
        help_heading = "For hooks",
        requires = "at"
    )]
    to: Option<PathBuf>,

    /// For hooks: look and print only
    #[arg(long, help_heading = "For hooks", requires = "at")]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DepthFlag {
    /// Names, sizes, headers, the log's checksums, the schema
    Bytes,
    /// And SQLite's quick check of a private copy
    Quick,
    /// And its full check; and models, each compared with its name
    Full,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum At {
    /// A container is about to start: a never-initialised database moves aside, permissions are used
    Start,
    /// A switch is about to restart containers: looks only
    Switch,
}

pub fn check(common: &Common, args: &CheckArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let patience = if args.at.is_some() { 10 } else { 600 };
    let deadline = args.deadline.unwrap_or(Duration::from_secs(patience));
    if let (Some(At::Switch), Some(to)) = (args.at, &args.to) {
        let switch = Switch {
            from: args.from.as_deref(),
            to,
            dry_run: args.dry_run,
            depth: depth(args),
            deadline,
        };
        return gate(common, &switch, ui);
    }
    let mut stack = Stack::open(common.config.as_deref())?;
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let guards = match args.at {
        Some(At::Start) => stack.guards_past_or_present(&args.guards)?,
        _ => stack.guards(&args.guards)?,
    };
    let how = How {
        occasion: occasion(args.at),
        depth: depth(args),
        deadline,
    };
    let reports: Vec<GuardReport> = guards
        .iter()
        .map(|guard| check_guard(&mut stack, guard, how))
        .collect();
    let verdict = if let Some(answer) = inside::look_again(&stack, &reports, ui) {
        answer
    } else {
        tell(args, &stack, &reports, ui)
    };
    // The user manager does not know the root of a namespace.
    if args.at == Some(At::Start) && !userns::is_inside() {
        if verdict == Verdict::Hold {
            give_job_back(&stack, &guards, ui);
        } else {
            hooks::announce_start(&mut stack, &guards);
        }
    }
    Ok(verdict)
}

fn tell(args: &CheckArgs, stack: &Stack, reports: &[GuardReport], ui: &Ui) -> Verdict {
    let verdict = Verdict::over(reports.iter().map(|r| r.verdict));
    if ui.is_json() {
        ui.document(&render::document(ui, "aidb-precheck", verdict, reports));
    } else {
        for report in reports {
            render::guard(ui, report);
        }
        if args.guards.is_empty() && args.at.is_none() {
            crate::settings::print_not_guarded(&stack.settings, ui);
        }
    }
    verdict
}

/// Takes back the start job of the unit that called us: one attempt, and it starts at once when the cause is gone.
/// A start that merely fails is tried again and again, and alerts each time.
fn give_job_back(stack: &Stack, guards: &[Guard], ui: &Ui) {
    let Some(unit) = std::env::var_os("PODMAN_SYSTEMD_UNIT").filter(|u| !u.is_empty()) else {
        return;
    };
    let Some(manager) = stack.user_manager() else {
        ui.note("note: `systemctl` was not found; systemd will try this start again");
        return;
    };
    let words = ["stop", "--no-block"].map(OsString::from);
    let stopped = manager.does(words.iter().chain([&unit]));
    let names: Vec<&str> = guards.iter().map(|g| g.name.as_str()).collect();
    ui.note(if stopped {
        format!(
            "the start of {} is held until this is resolved",
            names.join(", ")
        )
    } else {
        format!(
            "note: the start job of {} could not be taken back; systemd will try again",
            unit.to_string_lossy()
        )
    });
}

fn occasion(at: Option<At>) -> Occasion {
    match at {
        None => Occasion::Report,
        Some(At::Start) => Occasion::Start,
        Some(At::Switch) => Occasion::Switch,
    }
}

fn depth(args: &CheckArgs) -> Depth {
    match args.depth {
        Some(DepthFlag::Bytes) => Depth::Bytes,
        Some(DepthFlag::Quick) => Depth::Quick,
        // A hook has no time to read models.
        Some(DepthFlag::Full) if args.at.is_none() => Depth::Contents,
        Some(DepthFlag::Full) | None => Depth::Full,
    }
}
