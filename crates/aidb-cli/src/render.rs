//! Reports as people and programs read them.

use aidb_core::judge::{Finding, Severity, Step, Verdict};
use aidb_core::look::observation::Checked;
use aidb_core::report::{GuardReport, StoreReport};
use serde_json::{Value, json};

use crate::text::{count, plain, size, wrapped};
use crate::ui::{Style, Ui};

/// Returns the document that `--json` prints.
#[must_use]
pub fn document(ui: &Ui, tool: &str, verdict: Verdict, guards: &[GuardReport]) -> Value {
    let guards: Vec<Value> = guards
        .iter()
        .map(|guard| {
            json!({
                "name": guard.name,
                "verdict": guard.verdict,
                "findings": findings(ui, &guard.findings),
                "stores": guard.stores,
            })
        })
        .collect();
    json!({ "schema": 1, "tool": tool, "verdict": verdict, "guards": guards })
}

/// Returns findings as `--json` shows them: next steps are commands that work as printed.
#[must_use]
pub fn findings(ui: &Ui, findings: &[Finding]) -> Vec<Value> {
    findings
        .iter()
        .map(|f| {
            json!({
                "id": f.id,
                "severity": f.severity,
                "store": f.store,
                "path": f.path,
                "what": f.what,
                "evidence": f.evidence,
                "next": f.next.iter().filter(|s| s.is_command()).map(|s| ui.command(&s.arguments))
                    .collect::<Vec<_>>(),
            })
        })
        .collect()
}

/// Prints a guard: its findings, or one line for each healthy store.
pub fn guard(ui: &Ui, report: &GuardReport) {
    for finding in &report.findings {
        print_finding(ui, &report.name, finding);
    }
    for store in &report.stores {
        let troubled = |f: &Finding| {
            f.store.as_deref() == Some(store.name.as_str()) && f.severity > Severity::Info
        };
        if !report.findings.iter().any(troubled) {
            let name = format!("{}/{}", report.name, store.name);
            let told = format!(
                "{}  {}  {}",
                word(ui, Verdict::Pass),
                plain(&name),
                summary(store)
            );
            ui.line(wrapped(&told, ui.width(), 6));
        }
    }
    if report.stores.is_empty() && report.findings.is_empty() {
        ui.line(format!(
            "{}  {}",
            word(ui, Verdict::Pass),
            plain(&report.name)
        ));
    }
}

/// Prints one finding with its evidence and next steps.
pub fn print_finding(ui: &Ui, guard: &str, finding: &Finding) {
    let place = match &finding.store {
        Some(store) => format!("{guard}/{store}"),
        None => guard.to_owned(),
    };
    let word = match finding.severity {
        Severity::Info => ui.paint(Style::Faint, "info"),
        _ => word(ui, finding.verdict()),
    };
    let id = ui.paint(Style::Faint, &format!("[{}]", finding.id));
    // Commands stay on one line, to be copied.
    let told = |line: String| ui.line(wrapped(&line, ui.width(), 6));
    told(format!(
        "{word}  {}  {}  {id}",
        plain(&place),
        plain(&finding.what)
    ));
    if let Some(evidence) = &finding.evidence {
        told(format!("      {}", plain(evidence)));
    }
    for step in &finding.next {
        let Step { purpose, arguments } = step;
        ui.line(if step.is_command() {
            format!(
                "      {:<22} {}",
                format!("{purpose}:"),
                ui.command(arguments)
            )
        } else {
            wrapped(&format!("      {}", plain(purpose)), ui.width(), 6)
        });
    }
}

/// Returns the verdict as a word of four letters, set off.
#[must_use]
pub fn word(ui: &Ui, verdict: Verdict) -> String {
    match verdict {
        Verdict::Pass => ui.paint(Style::Good, "ok  "),
        Verdict::Warn => ui.paint(Style::Warn, "warn"),
        Verdict::Unknown => ui.paint(Style::Warn, "??  "),
        Verdict::Hold => ui.paint(Style::Bad, "hold"),
    }
}

/// Returns what a healthy store shows, in one line.
#[must_use]
pub fn summary(store: &StoreReport) -> String {
    let mut parts = Vec::new();
    if let Some(bytes) = store.size_bytes {
        parts.push(size(bytes));
    }
    if let Some(tables) = store.tables {
        parts.push(count(tables, "table"));
    }
    parts.extend(
        store
            .rows
            .iter()
            .map(|(table, rows)| format!("{rows} {}", plain(table))),
    );
    parts.push(
        match store.checked {
            Checked::Nothing => "not there yet",
            Checked::Bytes => "read",
            Checked::Quick => "quick check ok",
            Checked::Full => "full check ok",
            Checked::Standing => "unchanged since its full check",
        }
        .to_owned(),
    );
    parts.join(", ")
}
