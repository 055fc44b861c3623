//! `status`: one line a guard, then what is not guarded.

use std::collections::BTreeMap;

use aidb_cli::curve::curve;
use aidb_cli::text::{ago, count, plain, size, wrapped};
use aidb_cli::ui::Style;
use aidb_cli::{Common, Ui, render};
use aidb_core::incarnation::{Ending, Incarnation};
use aidb_core::judge::{Finding, FindingId, Severity, Verdict};
use aidb_core::ledger::Measurement;
use aidb_core::monitor::picture::GuardPicture;
use aidb_core::monitor::{Picture, metrics};
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::lines::{Line, table};

/// How many signs a curve has.
const CURVE: usize = 12;

pub fn status(common: &Common, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    stack.settings = stack.settings.with_surroundings(&stack.environment);
    let picture = Picture::of(&mut stack)?;
    if let Some(notice) = &picture.notice {
        ui.note(format!("note: {notice}"));
    }
    let mut verdict = picture.verdict();
    if let Err(why) = &picture.no_longer_guarded {
        // What was found out stands, whatever else could not be.
        ui.note(format!("note: {}", plain(why)));
        verdict = Verdict::over([verdict, Verdict::Unknown]);
    }
    if ui.is_json() {
        ui.document(&document(ui, &picture, verdict));
        return Ok(verdict);
    }
    print_table(ui, &picture);
    for guard in &picture.guards {
        let report = &guard.watched.report;
        let findings = report.findings.iter();
        for finding in findings.filter(|f| f.severity > Severity::Info) {
            render::print_finding(ui, &report.name, finding);
        }
    }
    let mut asides = Vec::new();
    for (name, kept) in picture.no_longer_guarded.iter().flatten() {
        asides.push(format!(
            "no longer guarded: {name}, {} kept",
            count(*kept, "snapshot")
        ));
    }
    for other in &picture.not_guarded {
        let folders: Vec<_> = other.folders.iter().map(|f| f.to_string_lossy()).collect();
        asides.push(format!(
            "not guarded: {} ({})",
            other.container,
            folders.join(", ")
        ));
    }
    if let Some(finding) = no_second_copy(&picture) {
        asides.push(format!("note: {}  [{}]", finding.what, finding.id));
    }
    let waiting = picture.guards.iter().flat_map(|g| &g.alerts);
    let waiting = waiting.filter(|a| a.tries > 0).count() as u64;
    if waiting > 0 {
        asides.push(format!(
            "{} could not be told yet: no way worked",
            count(waiting, "alert")
        ));
    }
    for aside in asides {
        let told = wrapped(&plain(&aside), ui.width(), 6);
        ui.line(ui.paint(Style::Faint, &told));
    }
    Ok(verdict)
}

fn print_table(ui: &Ui, picture: &Picture) {
    let told: Vec<Line> = picture
        .guards
        .iter()
        .map(|g| line(g, picture.now))
        .collect();
    // Colour comes after the columns are aligned: its signs have no width.
    let table = table(&told, ui.width());
    let mut lines = table.lines();
    if let Some(head) = lines.next() {
        ui.line(ui.paint(Style::Faint, head));
    }
    for (line, guard) in lines.zip(&picture.guards) {
        let verdict = guard.watched.report.verdict;
        let (style, word) = (style(verdict), state(verdict));
        let at = guard.watched.report.name.len();
        let (name, rest) = line.split_at_checked(at).unwrap_or((line, ""));
        ui.line(format!(
            "{name}{}",
            rest.replacen(word, &ui.paint(style, word), 1)
        ));
    }
}

fn line(guard: &GuardPicture, now: Timestamp) -> Line {
    let report = &guard.watched.report;
    let bytes: u64 = report.stores.iter().filter_map(|s| s.size_bytes).sum();
    let (rows, curve) = rows(report, &guard.watched.measurements);
    let (proven, reason) = proven(guard, now);
    let (starts, causes) = starts(&guard.watched.runs, now);
    Line {
        guard: report.name.clone(),
        state: state(report.verdict).to_owned(),
        size: size(bytes),
        rows: plain(&rows),
        curve,
        proven,
        reason,
        starts,
        causes,
    }
}

fn state(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "ok",
        Verdict::Warn => "warn",
        Verdict::Unknown => "unknown",
        Verdict::Hold => "hold",
    }
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => Style::Good,
        Verdict::Warn | Verdict::Unknown => Style::Warn,
        Verdict::Hold => Style::Bad,
    }
}

/// Returns the rows of now, with the course of all of them together; of the size, where there are no rows.
fn rows(report: &GuardReport, measurements: &[Measurement]) -> (String, String) {
    let rows: Vec<String> = report
        .stores
        .iter()
        .flat_map(|s| &s.rows)
        .map(|(table, n)| format!("{n} {table}"))
        .collect();
    let course: Vec<u64> = measurements
        .iter()
        .filter_map(|m| {
            let all: u64 = m.rows.values().sum();
            if rows.is_empty() {
                m.size_bytes
            } else {
                (!m.rows.is_empty()).then_some(all)
            }
        })
        .collect();
    // Two looks are no course yet.
    let drawn = if course.len() < 3 {
        String::new()
    } else {
        curve(&course, CURVE)
    };
    (rows.join(", "), drawn)
}

/// Returns how long ago the newest proven snapshot was taken, and why.
fn proven(guard: &GuardPicture, now: Timestamp) -> (String, String) {
    let kept = guard.kept();
    let Some((id, at)) = kept.good.last() else {
        let known = if kept.unknown.is_some() {
            "unknown"
        } else {
            "never"
        };
        return (known.to_owned(), String::new());
    };
    let mark = guard.snapshots.iter().find(|s| s.id == *id);
    let reason = mark.map(|m| format!("({})", plain(&m.reason)));
    (ago(*at, now), reason.unwrap_or_default())
}

/// Returns how often the container began within a week, and why the runs before ended.
fn starts(runs: &[Incarnation], now: Timestamp) -> (String, String) {
    if runs.is_empty() {
        return (String::new(), String::new());
    }
    let week: Vec<&Incarnation> = metrics::last_week(runs, now).collect();
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    for run in &week {
        if let Some(ending) = run.ending {
            *causes.entry(cause(ending)).or_default() += 1;
        }
    }
    let causes: Vec<String> = causes.iter().map(|(why, n)| format!("{n} {why}")).collect();
    let causes = match causes.join(", ") {
        none if none.is_empty() => none,
        causes => format!("({causes})"),
    };
    (week.len().to_string(), causes)
}

/// Returns why a run ended, for people.
pub fn cause(ending: Ending) -> &'static str {
    match ending {
        Ending::Stopped => "stopped",
        Ending::Failed => "failed",
        Ending::NeverRan => "held",
        Ending::PowerCut => "power cut",
        Ending::Unseen => "unseen",
    }
}

fn no_second_copy(picture: &Picture) -> Option<&Finding> {
    let findings = picture
        .guards
        .iter()
        .flat_map(|g| &g.watched.report.findings);
    let mut found = findings.filter(|f| f.id == FindingId::SnapshotNoSecondCopy);
    found.next()
}

fn document(ui: &Ui, picture: &Picture, verdict: Verdict) -> Value {
    let reports: Vec<GuardReport> = picture
        .guards
        .iter()
        .map(|g| g.watched.report.clone())
        .collect();
    let mut document = render::document(ui, "aidb-monitor", verdict, &reports);
    for (n, guard) in picture.guards.iter().enumerate() {
        let proven = guard.kept().good.last();
        document["guards"][n]["proven"] =
            json!(proven.map(|(id, at)| json!({ "id": id, "taken_at": at })));
        let week: Vec<&Incarnation> =
            metrics::last_week(&guard.watched.runs, picture.now).collect();
        document["guards"][n]["starts_last_week"] = json!(week.len());
        document["guards"][n]["incarnation"] = json!(guard.watched.runs.last());
    }
    let others = picture.not_guarded.iter();
    document["not_guarded"] = others
        .map(|o| json!({ "container": o.container, "folders": o.folders, "why": o.why }))
        .collect();
    let former = picture.no_longer_guarded.iter().flatten();
    document["no_longer_guarded"] = former
        .map(|(name, kept)| json!({ "name": name, "snapshots": kept }))
        .collect();
    document
}
