//! The page: one self-contained HTML document, light and dark, for a phone as for a desk. No script, nothing from elsewhere.
//!
//! Verdicts and what to do come first, then how it goes, then the whole on one line of time.

mod curve;
mod html;
mod timeline;

use std::fmt::Write as _;

use aidb_cli::text::{ago, count, size, took, when};
use aidb_core::drill;
use aidb_core::incarnation::{Ending, Incarnation};
use aidb_core::judge::container::Presence;
use aidb_core::judge::{Finding, FindingId, Severity, Verdict};
use aidb_core::monitor::picture::GuardPicture;
use aidb_core::monitor::{Picture, metrics};
use aidb_core::report::StoreReport;
use html::{sentence, text};
use jiff::Timestamp;
use timeline::Span;

use crate::status::cause;

/// How many snapshots and runs a table shows.
const MOST_LINES: usize = 50;

/// Returns the page; `command` makes a command of arguments that works where the page was made.
pub fn render(picture: &Picture, command: &dyn Fn(&[String]) -> String) -> String {
    let mut out = head(picture);
    findings(&mut out, picture, command);
    guards(&mut out, picture);
    line_of_time(&mut out, picture);
    tables(&mut out, picture);
    others(&mut out, picture);
    let _ = writeln!(
        out,
        "<footer>aidb {} &middot; a look takes no lock for long and changes nothing</footer></main></body></html>",
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn head(picture: &Picture) -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let verdict = picture.verdict();
    let said = in_a_sentence(picture);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{} &middot; aidb</title><style>{}</style></head>\
         <body><main><header class=\"{}\"><h1>{}</h1><p>{} &middot; looked at {}</p></header>",
        text(&said),
        include_str!("style.css"),
        verdict.as_str(),
        text(&said),
        text(&host),
        when(picture.now),
    )
}

/// Returns the whole in one sentence.
fn in_a_sentence(picture: &Picture) -> String {
    let all = picture.guards.len() as u64;
    let with = |verdict| {
        let guards = picture.guards.iter();
        guards
            .filter(|g| g.watched.report.verdict == verdict)
            .count() as u64
    };
    let held = with(Verdict::Hold);
    let unsure = with(Verdict::Unknown);
    let warned = with(Verdict::Warn);
    let of_all = |n: u64, one: &str, several: &str| {
        let verb = if n == 1 { one } else { several };
        format!("{n} of {} {verb}", count(all, "guard"))
    };
    match (all, held, unsure, warned) {
        (0, ..) => "Nothing is guarded".to_owned(),
        (1, 0, 0, 0) => "The data is fit".to_owned(),
        (1, 0, 0, _) => "Something should be looked at".to_owned(),
        (1, 0, _, _) => "Not all could be looked at".to_owned(),
        (1, ..) => "Not fit to start".to_owned(),
        (_, 0, 0, 0) => format!("All {all} guards are fit"),
        (_, 0, 0, n) => of_all(n, "should be looked at", "should be looked at"),
        (_, 0, n, _) => of_all(
            n,
            "could not be looked at in full",
            "could not be looked at in full",
        ),
        (_, n, ..) => of_all(n, "is not fit to start", "are not fit to start"),
    }
}

fn findings(out: &mut String, picture: &Picture, command: &dyn Fn(&[String]) -> String) {
    let mut all: Vec<(&GuardPicture, &Finding)> = picture
        .guards
        .iter()
        .flat_map(|g| g.watched.report.findings.iter().map(move |f| (g, f)))
        .filter(|(_, f)| f.severity > Severity::Info)
        .collect();
    all.sort_by_key(|(_, f)| std::cmp::Reverse(f.severity));
    if all.is_empty() {
        return;
    }
    out.push_str("<section><h2>What to do</h2>");
    for (guard, finding) in all {
        let class = finding.verdict().as_str();
        let name = &guard.watched.guard.name;
        let place = match &finding.store {
            Some(store) => format!("{name}/{store}"),
            None => name.clone(),
        };
        let _ = write!(
            out,
            "<article class=\"card finding {class}\"><h3>{}: {}<span class=\"id\">{}</span></h3>",
            text(&place),
            sentence(&finding.what),
            finding.id
        );
        if let Some(evidence) = &finding.evidence {
            let _ = write!(out, "<p>{}</p>", sentence(evidence));
        }
        if !finding.next.is_empty() {
            out.push_str("<ul>");
            for step in &finding.next {
                let _ = write!(out, "<li><span>{}</span>", text(&step.purpose));
                if step.is_command() {
                    let _ = write!(out, "<code>{}</code>", text(&command(&step.arguments)));
                }
                out.push_str("</li>");
            }
            out.push_str("</ul>");
        }
        out.push_str("</article>");
    }
    out.push_str("</section>");
}

fn guards(out: &mut String, picture: &Picture) {
    if picture.guards.is_empty() {
        return;
    }
    out.push_str("<section><h2>Guards</h2><div class=\"guards\">");
    for guard in &picture.guards {
        let report = &guard.watched.report;
        let (class, word) = match report.verdict {
            Verdict::Pass => ("pass", "fit"),
            Verdict::Warn => ("warn", "look at it"),
            Verdict::Unknown => ("unknown", "unknown"),
            Verdict::Hold => ("hold", "held"),
        };
        let _ = write!(
            out,
            "<article class=\"card guard {class}\"><div><h3>{}</h3><span class=\"word\">{word}</span></div>\
             <p class=\"path\">{}</p>",
            text(&report.name),
            text(&guard.watched.guard.data.to_string_lossy())
        );
        figures(out, guard);
        curve_of(out, guard);
        facts(out, guard, picture.now);
        out.push_str("</article>");
    }
    out.push_str("</div></section>");
}

fn figures(out: &mut String, guard: &GuardPicture) {
    let stores = &guard.watched.report.stores;
    let sizes: Vec<u64> = stores.iter().filter_map(|s| s.size_bytes).collect();
    out.push_str("<div class=\"figures\">");
    if !sizes.is_empty() {
        let _ = write!(
            out,
            "<div class=\"figure\"><b>{}</b><span>in all</span></div>",
            size(sizes.iter().sum())
        );
    }
    let rows = stores.iter().flat_map(|s: &StoreReport| &s.rows);
    for (table, rows) in rows.take(4) {
        let _ = write!(
            out,
            "<div class=\"figure\"><b>{}</b><span>{}</span></div>",
            grouped(*rows),
            text(table)
        );
    }
    out.push_str("</div>");
}

/// Returns a number in groups of three digits, with a narrow space that does not break.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Adds the curve of all rows together; of the size, where there are no rows.
fn curve_of(out: &mut String, guard: &GuardPicture) {
    let measurements = &guard.watched.measurements;
    let rows: Vec<(Timestamp, u64)> = measurements
        .iter()
        .filter(|m| !m.rows.is_empty())
        .map(|m| (m.at, m.rows.values().sum()))
        .collect();
    let sizes: Vec<(Timestamp, u64)> = measurements
        .iter()
        .filter_map(|m| m.size_bytes.map(|s| (m.at, s)))
        .collect();
    let (points, what) = if rows.len() > 1 {
        (rows, "rows")
    } else {
        (sizes, "size")
    };
    let drawn = curve::svg(&points, &format!("{what} over time"));
    if let (false, Some((from, first)), Some((_, last))) =
        (drawn.is_empty(), points.first(), points.last())
    {
        let told = |n: u64| if what == "rows" { grouped(n) } else { size(n) };
        let course = if first == last {
            format!("{what}: {} all along", told(*last))
        } else {
            format!("{what}: {} → {}", told(*first), told(*last))
        };
        let _ = write!(
            out,
            "{drawn}<p class=\"caption\"><span>{course}</span><span>since {}</span></p>",
            from.to_zoned_datetime(jiff::tz::TimeZone::system())
                .strftime("%b %-d")
        );
    }
}

fn facts(out: &mut String, guard: &GuardPicture, now: Timestamp) {
    out.push_str("<dl>");
    let mut fact = |name: &str, value: String| {
        let _ = write!(out, "<dt>{name}</dt><dd>{value}</dd>");
    };
    let kept = guard.kept();
    let mark = kept
        .good
        .last()
        .and_then(|(id, _)| guard.snapshots.iter().find(|s| s.id == *id));
    fact(
        "Last proven",
        match (kept.good.last(), &kept.unknown) {
            (Some((_, at)), _) => {
                let reason = mark
                    .map(|m| format!(" ({})", text(&m.reason)))
                    .unwrap_or_default();
                format!("{}{reason}", ago(*at, now))
            }
            (None, Some(_)) => "unknown".into(),
            (None, None) => "never".into(),
        },
    );
    fact("Snapshots", guard.snapshots.len().to_string());
    let drills = [drill::GOOD, drill::FAILED, drill::UNTOLD].map(|kind| guard.last_event(kind));
    if let Some(last) = drills.into_iter().flatten().max_by_key(|e| e.at) {
        let outcome = match last.kind.as_str() {
            drill::FAILED => "failed ",
            drill::UNTOLD => "told nothing, ",
            _ => "",
        };
        fact("Last drill", format!("{outcome}{}", ago(last.at, now)));
    }
    match guard.watched.facts.presence {
        Presence::Running => {
            let since = guard
                .watched
                .runs
                .last()
                .map(|r| format!(" since {}", when(r.began_at())));
            fact("Container", format!("runs{}", since.unwrap_or_default()));
        }
        Presence::Stopped | Presence::Absent => fact("Container", "does not run".into()),
        Presence::Unknown(_) => fact("Container", "unknown".into()),
        Presence::NotAsked => {}
    }
    let week: Vec<&Incarnation> = metrics::last_week(&guard.watched.runs, now).collect();
    if !week.is_empty() {
        let failed = week
            .iter()
            .filter(|r| r.ending == Some(Ending::Failed))
            .count();
        let failures = if failed > 0 {
            format!(", {failed} failed")
        } else {
            String::new()
        };
        fact("Starts in 7 days", format!("{}{failures}", week.len()));
    }
    let findings = &guard.watched.report.findings;
    for finding in findings
        .iter()
        .filter(|f| f.severity == Severity::Info && f.id != FindingId::SnapshotNoSecondCopy)
    {
        fact(
            "Good to know",
            sentence(&match &finding.evidence {
                Some(evidence) => format!("{}: {evidence}", finding.what),
                None => finding.what.clone(),
            }),
        );
    }
    out.push_str("</dl>");
}

fn line_of_time(out: &mut String, picture: &Picture) {
    if picture.guards.is_empty() {
        return;
    }
    let span = Span::over(&picture.guards, picture.now);
    out.push_str("<section><h2>Over time</h2><div class=\"card time\">");
    for guard in &picture.guards {
        out.push_str(&timeline::line(guard, span));
    }
    out.push_str(&span.scale());
    out.push_str(
        "<ul class=\"legend\"><li><i class=\"snapshot proven\"></i>proven snapshot</li>\
         <li><i class=\"snapshot unproven\"></i>not proven yet</li>\
         <li><i class=\"snapshot doubtful\"></i>suspicious or refused</li>\
         <li><i class=\"run\"></i>container started</li><li><i class=\"run bad\"></i>and failed, or was cut off</li>\
         <li><i class=\"stretch warned\"></i>something to look at</li><li><i class=\"stretch held\"></i>held</li></ul>\
         </div></section>",
    );
}

fn tables(out: &mut String, picture: &Picture) {
    let some = |g: &&GuardPicture| !g.snapshots.is_empty() || !g.watched.runs.is_empty();
    let guards: Vec<&GuardPicture> = picture.guards.iter().filter(some).collect();
    if guards.is_empty() {
        return;
    }
    out.push_str("<section><h2>In detail</h2><div class=\"card\">");
    for guard in guards {
        let _ = write!(
            out,
            "<details><summary>{} <span>{}, {}</span></summary>",
            text(&guard.watched.guard.name),
            count(guard.snapshots.len() as u64, "snapshot"),
            count(guard.watched.runs.len() as u64, "run"),
        );
        if !guard.snapshots.is_empty() {
            out.push_str("<div class=\"table\"><table><tr><th>Snapshot</th><th>Taken</th><th>Why</th><th>Worth</th><th>Size</th></tr>");
            for mark in guard.snapshots.iter().rev().take(MOST_LINES) {
                let name = mark
                    .id
                    .split_once('/')
                    .map_or(mark.id.as_str(), |(_, name)| name);
                let _ = write!(
                    out,
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    text(name),
                    when(mark.at),
                    text(&mark.reason),
                    mark.worth.as_str(),
                    size(mark.size_bytes)
                );
            }
            out.push_str("</table></div>");
        }
        if !guard.watched.runs.is_empty() {
            out.push_str("<div class=\"table\"><table><tr><th>Run</th><th>Began</th><th>For</th><th>Ended</th><th>Image</th></tr>");
            for run in guard.watched.runs.iter().rev().take(MOST_LINES) {
                let id = run.container_id.as_deref().unwrap_or("-");
                let end = run.ended_at.unwrap_or(picture.now);
                let lasted = std::time::Duration::try_from(end.duration_since(run.began_at()));
                let _ = write!(
                    out,
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    text(id.get(..12).unwrap_or(id)),
                    when(run.began_at()),
                    lasted.map(took).unwrap_or_default(),
                    run.ending.map_or("runs", cause),
                    text(run.image.as_deref().unwrap_or("-"))
                );
            }
            out.push_str("</table></div>");
        }
        out.push_str("</details>");
    }
    out.push_str("</div></section>");
}

fn others(out: &mut String, picture: &Picture) {
    let mut lines: Vec<String> = Vec::new();
    for other in &picture.not_guarded {
        let folders: Vec<String> = other
            .folders
            .iter()
            .map(|f| format!("<code>{}</code>", text(&f.to_string_lossy())))
            .collect();
        lines.push(format!(
            "{} is not guarded ({})",
            text(&other.container),
            folders.join(", ")
        ));
    }
    for (name, kept) in picture.no_longer_guarded.iter().flatten() {
        lines.push(format!(
            "{} is no longer guarded; {} are kept",
            text(name),
            count(*kept, "snapshot")
        ));
    }
    let is_alone = |f: &Finding| f.id == FindingId::SnapshotNoSecondCopy;
    if picture
        .guards
        .iter()
        .flat_map(|g| &g.watched.report.findings)
        .any(is_alone)
    {
        lines.push("Every copy lies on the same disk as the data".into());
    }
    if let Some(space) = picture.space {
        lines.push(format!(
            "{} of {} are free where the vault lies",
            size(space.free_bytes),
            size(space.total_bytes)
        ));
    }
    if let Some(notice) = &picture.notice {
        lines.push(sentence(notice));
    }
    if lines.is_empty() {
        return;
    }
    out.push_str("<section><h2>Beside that</h2><ul class=\"quiet\">");
    for line in lines {
        let _ = write!(out, "<li>{line}</li>");
    }
    out.push_str("</ul></section>");
}
