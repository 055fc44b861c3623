//! `status`: one line a guard, then what is not guarded.

use std::time::Duration;

use aidb_cli::table::columns;
use aidb_cli::text::{ago, count, plain, size};
use aidb_cli::ui::Style;
use aidb_cli::{Common, Ui, render};
use aidb_core::check::{How, check};
use aidb_core::guard::Guard;
use aidb_core::judge::{Finding, FindingId, Occasion, Severity, Step, Verdict};
use aidb_core::look::Depth;
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;
use jiff::Timestamp;

/// From when on the newest proven snapshot is called old: two nights and a bit.
const STALE: Duration = Duration::from_secs(50 * 3600);

pub fn status(common: &Common, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    stack.settings = stack.settings.with_surroundings(&stack.environment);
    if let Some(notice) = stack.ledger_notice() {
        ui.note(format!("note: {notice}"));
    }
    let now = Timestamp::now();
    let mut rows = vec![
        ["GUARD", "STATE", "SIZE", "ROWS", "LAST PROVEN"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut reports = Vec::new();
    for guard in stack.guards(&[])? {
        let how = How {
            occasion: Occasion::Report,
            depth: Depth::Full,
            deadline: Duration::from_secs(600),
        };
        let report = check(&mut stack, &guard, how);
        let report = GuardReport::new(
            &report.name,
            report
                .findings
                .into_iter()
                .chain(snapshot_finding(&stack, &guard, now))
                .collect(),
            report.stores,
        );
        rows.push(row(&stack, &guard, &report, now));
        reports.push(report);
    }
    let verdict = Verdict::over(reports.iter().map(|r| r.verdict));
    if ui.is_json() {
        ui.document(&render::document(ui, "aidb-monitor", verdict, &reports));
        return Ok(verdict);
    }
    ui.line(columns(&rows).trim_end());
    for report in &reports {
        for finding in report
            .findings
            .iter()
            .filter(|f| f.severity > Severity::Info)
        {
            render::print_finding(ui, &report.name, finding);
        }
    }
    let mut verdict = verdict;
    if let Err(e) = no_longer_guarded(&stack, ui) {
        // What was found out stands, whatever else could not be.
        ui.error(&e.into());
        verdict = Verdict::over([verdict, Verdict::Unknown]);
    }
    for other in &stack.settings.not_guarded {
        let folders: Vec<_> = other.folders.iter().map(|f| f.to_string_lossy()).collect();
        ui.line(plain(&format!(
            "not guarded: {} ({})",
            other.container,
            folders.join(", ")
        )));
    }
    Ok(verdict)
}

fn row(stack: &Stack, guard: &Guard, report: &GuardReport, now: Timestamp) -> Vec<String> {
    let state = match report.verdict {
        Verdict::Pass => "ok",
        Verdict::Warn => "warn",
        Verdict::Unknown => "unknown",
        Verdict::Hold => "hold",
    };
    let bytes: u64 = report.stores.iter().filter_map(|s| s.size_bytes).sum();
    let rows: Vec<String> = report
        .stores
        .iter()
        .flat_map(|s| &s.rows)
        .map(|(t, n)| format!("{n} {t}"))
        .collect();
    let proven = match stack.memory(guard).proven {
        Some(proven) => ago(proven.taken_at, now),
        None if stack.vault.snapshots(&guard.name).is_err() => "unknown".to_owned(),
        None => "never".to_owned(),
    };
    vec![
        guard.name.clone(),
        state.to_owned(),
        size(bytes),
        plain(&rows.join(", ")),
        proven,
    ]
}

/// Judges the snapshots: is there a proven one, and is it recent?
fn snapshot_finding(stack: &Stack, guard: &Guard, now: Timestamp) -> Option<Finding> {
    let take = vec![Step::new("take one", &["take", &guard.name])];
    let Some(proven) = stack.memory(guard).proven else {
        let has_data =
            std::fs::read_dir(&guard.data).is_ok_and(|mut entries| entries.next().is_some());
        // That the vault cannot be looked at is said elsewhere, and is not that there is none.
        let is_known = stack.vault.snapshots(&guard.name).is_ok();
        let finding = Finding::of_guard(
            FindingId::SnapshotNoneProven,
            Severity::Warn,
            FindingId::SnapshotNoneProven.meaning(),
        );
        return (has_data && is_known).then_some(Finding {
            next: take,
            ..finding
        });
    };
    let age = now.duration_since(proven.taken_at);
    let is_old = std::time::Duration::try_from(age).is_ok_and(|age| age > STALE);
    let finding = Finding::of_guard(
        FindingId::SnapshotStale,
        Severity::Warn,
        FindingId::SnapshotStale.meaning(),
    );
    let evidence = Some(format!("`{}`, {}", proven.id, ago(proven.taken_at, now)));
    is_old.then_some(Finding {
        evidence,
        next: take,
        ..finding
    })
}

/// Names the guards that left the settings: their snapshots are kept.
fn no_longer_guarded(stack: &Stack, ui: &Ui) -> aidb_core::Result<()> {
    for name in stack.vault.guards()? {
        if name == "archive" || stack.settings.guards.iter().any(|g| g.name == name) {
            continue;
        }
        let kept = stack.vault.snapshots(&name)?.len() as u64;
        if kept > 0 {
            ui.line(ui.paint(
                Style::Faint,
                &format!(
                    "no longer guarded: {name}, {} kept",
                    count(kept, "snapshot")
                ),
            ));
        }
    }
    Ok(())
}
