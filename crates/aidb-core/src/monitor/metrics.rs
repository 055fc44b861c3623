//! Metrics in Prometheus' text format (exposition format 0.0.4), for a node exporter's text-file collector.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::picture::{GuardPicture, Picture, Worth};
use crate::drill;
use crate::incarnation::{Ending, Incarnation};
use crate::judge::container::Presence;
use crate::judge::{Severity, Verdict};

/// Runs and failures are counted over this time.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Returns the metrics of a picture.
#[must_use]
pub fn render(picture: &Picture) -> String {
    let mut text = Text::default();
    let guards = &picture.guards;
    text.family(
        "aidb_check_timestamp_seconds",
        "When everything was looked at",
    );
    text.sample(&[], picture.now.as_second());
    text.family(
        "aidb_guard_verdict",
        "1 for the verdict of a guard, 0 for the others",
    );
    for guard in guards {
        for verdict in [
            Verdict::Pass,
            Verdict::Warn,
            Verdict::Unknown,
            Verdict::Hold,
        ] {
            let is = guard.watched.report.verdict == verdict;
            text.of(guard, &[("verdict", verdict.as_str())], u64::from(is));
        }
    }
    text.family("aidb_finding", "1 for each finding that stands, by its id");
    for guard in guards {
        let mut said = std::collections::BTreeSet::new();
        for finding in &guard.watched.report.findings {
            let store = finding.store.as_deref().unwrap_or_default();
            if said.insert((finding.id, store)) {
                let severity = match finding.severity {
                    Severity::Info => "info",
                    Severity::Warn => "warn",
                    Severity::Hold => "hold",
                };
                let labels = [
                    ("id", finding.id.as_str()),
                    ("store", store),
                    ("severity", severity),
                ];
                text.of(guard, &labels, 1);
            }
        }
    }
    stores(&mut text, guards);
    snapshots(&mut text, guards);
    containers(&mut text, picture);
    if let Some(space) = picture.space {
        text.family(
            "aidb_vault_free_bytes",
            "Bytes that may still be written where the vault lies",
        );
        text.sample(&[], space.free_bytes);
        text.family(
            "aidb_vault_size_bytes",
            "Bytes of the filesystem where the vault lies",
        );
        text.sample(&[], space.total_bytes);
    }
    text.out
}

fn stores(text: &mut Text, guards: &[GuardPicture]) {
    text.family("aidb_store_size_bytes", "Size of a store's files");
    for guard in guards {
        for store in &guard.watched.report.stores {
            if let Some(size) = store.size_bytes {
                text.of(guard, &[("store", &store.name)], size);
            }
        }
    }
    text.family(
        "aidb_store_rows",
        "Rows of the tables that a store's contract speaks of",
    );
    for guard in guards {
        for store in &guard.watched.report.stores {
            for (table, rows) in &store.rows {
                text.of(guard, &[("store", &store.name), ("table", table)], *rows);
            }
        }
    }
}

fn snapshots(text: &mut Text, guards: &[GuardPicture]) {
    text.family(
        "aidb_snapshots",
        "Snapshots that are kept, by what they are worth",
    );
    for guard in guards {
        for worth in Worth::ALL {
            let count = guard.snapshots.iter().filter(|s| s.worth == worth).count();
            text.of(guard, &[("state", worth.as_str())], count);
        }
    }
    text.family(
        "aidb_snapshot_proven_timestamp_seconds",
        "When the newest proven snapshot was taken; absent if there is none",
    );
    for guard in guards {
        if let Some((_, at)) = guard.kept().good.last() {
            text.of(guard, &[], at.as_second());
        }
    }
    for (kind, family, help) in [
        (
            drill::GOOD,
            "aidb_drill_timestamp_seconds",
            "When an application last came up on a copy of a snapshot, in a throwaway container; absent if never",
        ),
        (
            drill::FAILED,
            "aidb_drill_failed_timestamp_seconds",
            "When that last failed; absent if never",
        ),
    ] {
        text.family(family, help);
        for guard in guards {
            if let Some(drill) = guard.last_event(kind) {
                text.of(guard, &[], drill.at.as_second());
            }
        }
    }
}

fn containers(text: &mut Text, picture: &Picture) {
    text.family(
        "aidb_container_running",
        "Whether the container runs; absent where nobody can tell",
    );
    for guard in &picture.guards {
        match guard.watched.facts.presence {
            Presence::Running => text.of(guard, &[], 1),
            Presence::Stopped | Presence::Absent => text.of(guard, &[], 0),
            Presence::NotAsked | Presence::Unknown(_) => {}
        }
    }
    text.family(
        "aidb_container_starts_last_week",
        "Runs of the container that began within seven days",
    );
    for guard in &picture.guards {
        text.of(
            guard,
            &[],
            last_week(&guard.watched.runs, picture.now).count(),
        );
    }
    text.family(
        "aidb_container_failures_last_week",
        "Runs of the container that failed within seven days",
    );
    for guard in &picture.guards {
        let failed = last_week(&guard.watched.runs, picture.now)
            .filter(|run| run.ending == Some(Ending::Failed));
        text.of(guard, &[], failed.count());
    }
    text.family("aidb_alerts_waiting", "Findings that no way could tell yet");
    for guard in &picture.guards {
        text.of(
            guard,
            &[],
            guard.alerts.iter().filter(|a| a.tries > 0).count(),
        );
    }
}

/// Returns the runs that began within the last seven days; what is ahead of now, after the clock was set back, is new.
pub fn last_week(runs: &[Incarnation], now: Timestamp) -> impl Iterator<Item = &Incarnation> {
    runs.iter().filter(move |run| {
        run.ending != Some(Ending::NeverRan) && now.duration_since(run.began_at()) < WEEK
    })
}

/// Text in the format, written family by family: all samples of a name stand together.
#[derive(Debug, Default)]
struct Text {
    out: String,
    name: &'static str,
    help: &'static str,
    is_begun: bool,
}

impl Text {
    fn family(&mut self, name: &'static str, help: &'static str) {
        (self.name, self.help, self.is_begun) = (name, help, false);
    }

    fn of(&mut self, guard: &GuardPicture, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let mut all = vec![("guard", guard.watched.guard.name.as_str())];
        all.extend(labels);
        self.sample(&all, value);
    }

    /// Adds a sample; the head of a family without any is left out.
    fn sample(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let Self {
            out,
            name,
            help,
            is_begun,
        } = self;
        if !*is_begun {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
            *is_begun = true;
        }
        out.push_str(name);
        if !labels.is_empty() {
            let labels: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
                .collect();
            let _ = write!(out, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(out, " {value}");
    }
}

/// Within the quotes of a label's value three characters are written with a backslash.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_the_head_stands_once() {
        let mut text = Text::default();
        text.family("aidb_x", "Help");
        text.sample(&[("a", "q\"b\\n\nl")], 1);
        text.sample(&[], 2);
        text.family("aidb_empty", "Nothing");
        assert_eq!(
            text.out,
            "# HELP aidb_x Help\n# TYPE aidb_x gauge\naidb_x{a=\"q\\\"b\\\\n\\nl\"} 1\naidb_x 2\n"
        );
    }
}
