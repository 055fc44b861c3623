//! From looks to news, and from news to people.

use aidb_cli::Ui;
use aidb_cli::journal::{self, Priority};
use aidb_cli::text::plain;
use aidb_core::judge::Severity;
use aidb_core::ledger::Alert;
use aidb_core::look::unit::{self, UnitState};
use aidb_core::monitor::tell::{self, Message, Outcome};
use aidb_core::monitor::{News, Watched, alert};
use aidb_core::stack::Stack;
use jiff::Timestamp;
use serde_json::Value;

/// What came of telling.
pub struct Told {
    /// What was new, as the user's command is told it.
    pub documents: Value,
    /// Whether somebody was told, or there was nothing to tell.
    pub worked: bool,
}

/// Compares looks with the alerts of before, and keeps what is new of them.
pub fn compare(stack: &mut Stack, watched: &[Watched], now: Timestamp) {
    // A ledger that cannot be used was said when it was opened.
    let Ok(ledger) = stack.ledger() else { return };
    for look in watched {
        let name = &look.guard.name;
        let Ok(known) = ledger.alerts(name) else {
            continue;
        };
        let findings = &look.report.findings;
        let changed = alert::compare(name, &known, findings, &look.not_looked_at, now);
        let _ = ledger.put_alerts(changed);
    }
}

/// Looks after alerts that are about no guard of the settings: units that may have recovered, and guards that have left.
pub fn compare_others(stack: &mut Stack, now: Timestamp) {
    let known: Vec<String> = stack
        .settings
        .guards
        .iter()
        .map(|g| g.name.clone())
        .collect();
    let Ok(others) = stack.ledger().and_then(|l| l.alerted()) else {
        return;
    };
    let others: Vec<String> = others.into_iter().filter(|o| !known.contains(o)).collect();
    let units: Vec<String> = others
        .iter()
        .filter(|o| o.ends_with(".service"))
        .cloned()
        .collect();
    let states = unit::states(
        &units,
        &stack.settings.programs,
        &stack.environment,
        aidb_core::monitor::watch::PATIENCE,
    );
    let Ok(ledger) = stack.ledger() else { return };
    for name in others {
        let is_unit = units.contains(&name);
        let has_failed = match &states {
            Ok(states) => states.get(&name).is_some_and(UnitState::has_failed),
            // Whether it has recovered cannot be told.
            Err(_) => is_unit,
        };
        let open = |a: &Alert| a.closed_at.is_none();
        if has_failed {
            continue;
        }
        let closed = ledger
            .alerts(&name)
            .unwrap_or_default()
            .into_iter()
            .filter(open);
        let closed = closed.map(|alert| Alert {
            closed_at: Some(now),
            // That a guard was taken out of the settings is no news to whoever did it.
            end_told_at: (!is_unit).then_some(now),
            ..alert
        });
        let _ = ledger.put_alerts(closed.collect());
    }
}

/// Tells what is new, by the journal (or the terminal) and by the ways of the settings.
pub fn tell(stack: &mut Stack, ui: &Ui, now: Timestamp) -> Told {
    let quiet = stack.settings.alert.quiet;
    let due = stack
        .ledger()
        .and_then(|l| tell::due(l, now, quiet))
        .unwrap_or_default();
    let messages: Vec<Message> = due
        .into_iter()
        .map(|(news, alert)| message(news, alert, ui))
        .collect();
    let documents = tell::document(&messages, "")["alerts"].take();
    if messages.is_empty() {
        return Told {
            documents,
            worked: true,
        };
    }
    // What was written to the journal once need not be written there again while the other ways fail.
    for message in messages.iter().filter(|m| m.alert.tries == 0) {
        let text = format!("{}\n{}", message.title(), message.body());
        let lines: Vec<String> = text.lines().map(plain).collect();
        journal::write(priority(message), lines.join("\n      ").trim_end());
    }
    let outcome: Outcome = tell::tell(stack, &messages);
    for failed in &outcome.failed {
        journal::write(
            Priority::Warning,
            plain(&format!("an alert could not be told: {failed}")),
        );
    }
    if let Ok(ledger) = stack.ledger() {
        let _ = tell::note(ledger, messages, &outcome, now);
    }
    Told {
        documents,
        worked: outcome.told,
    }
}

fn message(news: News, alert: Alert, ui: &Ui) -> Message {
    let steps = alert.finding.next.iter().filter(|s| s.is_command());
    let next = steps.map(|s| (s.purpose.clone(), ui.command(&s.arguments)));
    Message {
        news,
        next: next.collect(),
        alert,
    }
}

fn priority(message: &Message) -> Priority {
    match (message.news, message.alert.finding.severity) {
        (News::Ended, _) => Priority::Notice,
        (_, Severity::Hold) => Priority::Error,
        _ => Priority::Warning,
    }
}
