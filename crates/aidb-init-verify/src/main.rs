//! `aidb-init-verify` says whether a container came up with its data, and remembers what it saw.

mod migrate;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use aidb_cli::text::{plain, took};
use aidb_cli::{Common, Ui, common::duration, inside, render};
use aidb_core::Error;
use aidb_core::check::{How, check};
use aidb_core::guard::Guard;
use aidb_core::judge::{FindingId, Occasion, Severity, Verdict};
use aidb_core::look::Depth;
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;
use clap::{Parser, Subcommand};

/// How long to wait between two looks at an application that is still setting itself up.
const PAUSE: Duration = Duration::from_secs(1);

/// Wait until a container has come up with its data, and remember the baseline
///
/// Statuses: 0 every contract is met, 1 one is not, 2 usage or settings, 3 could not find out, 4 busy.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, subcommand_negates_reqs = true)]
struct Args {
    #[command(flatten)]
    common: Common,

    #[command(subcommand)]
    verb: Option<Verb>,

    /// Guard to verify, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,

    /// How long to wait for the contracts to be met
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    wait: Duration,

    /// For hooks: verify the guards of this unit instead, waiting 120s unless told otherwise
    #[arg(
        long,
        value_name = "UNIT",
        conflicts_with = "guards",
        help_heading = "For hooks"
    )]
    unit: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Apply numbered SQL files to a database, with a proven snapshot first
    ///
    /// The container is stopped. Each file is one transaction; when one fails, the state before comes back by itself, and
    /// what the files made is kept aside. A file that was applied is not applied again, and may not change.
    Migrate(migrate::Args),
}

fn main() -> ExitCode {
    aidb_cli::tool(|args: &Args| &args.common, run)
}

fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let common = &args.common;
    match &args.verb {
        Some(Verb::Migrate(migrate)) => migrate::migrate(common, migrate, ui),
        None => verify(args, ui),
    }
}

fn verify(args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(args.common.config.as_deref())?;
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let guards = match &args.unit {
        Some(unit) => of_unit(&stack, unit)?,
        None => stack.guards(&args.guards)?,
    };
    let wait = if args.unit.is_some() && args.wait.is_zero() {
        Duration::from_secs(120)
    } else {
        args.wait
    };
    let began = Instant::now();
    let mut reports = Vec::new();
    for guard in &guards {
        reports.push(wait_for(&mut stack, guard, began, wait, ui));
    }
    if let Some(answer) = inside::look_again(&stack, &reports, ui) {
        return Ok(answer);
    }
    if args.unit.is_some() {
        aidb_cli::hooks::note_up(&mut stack, &guards);
    }
    let verdict = Verdict::over(reports.iter().map(|r| r.verdict));
    if ui.is_json() {
        ui.document(&render::document(ui, "aidb-init-verify", verdict, &reports));
    } else {
        for report in &reports {
            render::guard(ui, report);
        }
    }
    ui.step(format!("waited {}", took(began.elapsed())));
    Ok(verdict)
}

/// Looks until the contract is met or the time is over; what is not met then is a hold.
fn wait_for(
    stack: &mut Stack,
    guard: &Guard,
    began: Instant,
    wait: Duration,
    ui: &Ui,
) -> GuardReport {
    let mut is_said = false;
    let how = How {
        occasion: Occasion::Report,
        depth: Depth::Full,
        deadline: Duration::from_secs(600),
    };
    loop {
        let mut report = check(stack, guard, how);
        let mut findings = report.findings.iter();
        let against = findings.find(|f| f.severity == Severity::Hold || stands_against(f.id));
        let Some(against) = against else {
            return report;
        };
        let left = wait.saturating_sub(began.elapsed());
        if !left.is_zero() && !is_said {
            is_said = true;
            let store = against.store.iter().map(|s| format!("/{s}"));
            ui.note(plain(&format!(
                "{}{}: {}; waits for up to {}",
                guard.name,
                store.collect::<String>(),
                against.what,
                took(wait)
            )));
        }
        if left.is_zero() {
            for finding in report
                .findings
                .iter_mut()
                .filter(|f| f.severity == Severity::Warn && stands_against(f.id))
            {
                finding.severity = Severity::Hold;
            }
            return GuardReport::new(&report.name, report.findings, report.stores);
        }
        std::thread::sleep(PAUSE.min(left));
    }
}

/// Returns whether a finding says that an application is not done setting itself up, though a start may pass it.
fn stands_against(id: FindingId) -> bool {
    matches!(
        id,
        FindingId::StoreMissing
            | FindingId::SqliteEmptyFile
            | FindingId::SqliteNoTables
            | FindingId::ContractTableMissing
            | FindingId::ContractHalfMigrated
    )
}

fn of_unit(stack: &Stack, unit: &str) -> aidb_core::Result<Vec<Guard>> {
    let name = |u: &str| u.strip_suffix(".service").unwrap_or(u).to_owned();
    let is_of = |guard: &&Guard| guard.unit.as_deref().is_some_and(|u| name(u) == name(unit));
    let guards: Vec<Guard> = stack
        .settings
        .guards
        .iter()
        .filter(is_of)
        .cloned()
        .collect();
    if guards.is_empty() {
        return Err(Error::Usage {
            what: format!("no guard belongs to the unit `{unit}`"),
            hint: None,
        });
    }
    Ok(guards)
}
