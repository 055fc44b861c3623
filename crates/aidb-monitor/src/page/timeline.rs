//! Snapshots, runs of the container and findings on one line of time.

use std::fmt::Write as _;

use aidb_cli::text::{plain, when};
use aidb_core::incarnation::Ending;
use aidb_core::judge::Severity;
use aidb_core::monitor::picture::{GuardPicture, Worth};
use jiff::{SignedDuration, Timestamp};

use super::html::text;
use crate::status::cause;

/// How far back the line goes at most.
const MOST: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How far back it goes at least: on a new machine everything would lie on one spot.
const LEAST: SignedDuration = SignedDuration::from_hours(24);

/// A stretch of time that ends now.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    from: Timestamp,
    to: Timestamp,
}

impl Span {
    /// Returns the stretch that shows what is known of the guards.
    pub fn over(guards: &[GuardPicture], now: Timestamp) -> Self {
        let first = guards.iter().flat_map(|g| {
            let snapshots = g.snapshots.iter().map(|s| s.at);
            let runs = g
                .watched
                .runs
                .iter()
                .map(aidb_core::incarnation::Incarnation::began_at);
            let looks = g.watched.measurements.iter().map(|m| m.at);
            snapshots.chain(runs).chain(looks)
        });
        let oldest = first.min().unwrap_or(now);
        let age = now.duration_since(oldest).clamp(LEAST, MOST);
        Self {
            from: now.checked_sub(age).unwrap_or(now),
            to: now,
        }
    }

    /// Returns where a time lies, in percent; `None` before the stretch. What is yet to come, after the clock was set back,
    /// lies at its end.
    fn place(self, at: Timestamp) -> Option<f64> {
        let whole = self.to.duration_since(self.from).as_secs_f64().max(1.0);
        let part = at.duration_since(self.from).as_secs_f64() / whole;
        (part >= 0.0).then(|| part.min(1.0) * 100.0)
    }

    /// Returns the names of days along the stretch.
    pub fn scale(self) -> String {
        let mut out = String::from("<div class=\"scale\" aria-hidden=\"true\">");
        for n in 0..=4 {
            let whole = self.to.duration_since(self.from);
            let at = self.from.checked_add(whole / 4 * n).unwrap_or(self.to);
            let zoned = at.to_zoned_datetime(jiff::tz::TimeZone::system());
            let shown = if whole > SignedDuration::from_hours(72) {
                zoned.strftime("%b %-d")
            } else {
                zoned.strftime("%a %H:%M")
            };
            let name = if n == 4 {
                "now".to_owned()
            } else {
                shown.to_string()
            };
            let _ = write!(out, "<span style=\"left:{}%\">{name}</span>", n * 25);
        }
        out.push_str("</div>");
        out
    }
}

/// Returns the line of one guard.
pub fn line(guard: &GuardPicture, span: Span) -> String {
    let mut out = format!(
        "<div class=\"line-of-time\"><h3>{}</h3><div class=\"track\">",
        text(&guard.watched.guard.name)
    );
    for alert in &guard.alerts {
        let end = alert.closed_at.unwrap_or(span.to);
        let (Some(until), from) = (span.place(end), span.place(alert.opened_at).unwrap_or(0.0))
        else {
            continue;
        };
        let class = if alert.finding.severity == Severity::Hold {
            "held"
        } else {
            "warned"
        };
        let width = (until - from).max(0.5);
        let from = from.min(100.0 - width);
        let title = format!(
            "{}: {}, since {}",
            alert.finding.id,
            alert.finding.what,
            when(alert.opened_at)
        );
        let _ = write!(
            out,
            "<i class=\"stretch {class}\" style=\"left:{from:.2}%;width:{width:.2}%\" title=\"{}\"></i>",
            text(&title)
        );
    }
    for run in &guard.watched.runs {
        let Some(left) = span
            .place(run.began_at())
            .filter(|_| run.ending != Some(Ending::NeverRan))
        else {
            continue;
        };
        let failed = matches!(
            run.ending,
            Some(Ending::Failed | Ending::PowerCut | Ending::Unseen)
        );
        let class = if failed { "run bad" } else { "run" };
        let end = run.ending.map_or("runs", cause);
        let status = run
            .exit_status
            .map(|s| format!(", status {s}"))
            .unwrap_or_default();
        let title = format!("container started {}: {end}{status}", when(run.began_at()));
        let _ = write!(
            out,
            "<i class=\"{class}\" style=\"left:{left:.2}%\" title=\"{}\"></i>",
            text(&title)
        );
    }
    for snapshot in &guard.snapshots {
        let Some(left) = span.place(snapshot.at) else {
            continue;
        };
        let class = match snapshot.worth {
            Worth::Proven => "proven",
            Worth::Suspicious | Worth::Refused => "doubtful",
            Worth::Unproven => "unproven",
        };
        let title = format!(
            "{} ({}), {}",
            when(snapshot.at),
            plain(&snapshot.reason),
            snapshot.worth.as_str()
        );
        let _ = write!(
            out,
            "<i class=\"snapshot {class}\" style=\"left:{left:.2}%\" title=\"{}\"></i>",
            text(&title)
        );
    }
    out.push_str("</div></div>");
    out
}
