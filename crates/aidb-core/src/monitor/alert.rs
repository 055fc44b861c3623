//! Alerts: what a finding becomes when nobody is looking. It is told once when it appears, and once when it has gone.
//!
//! Pure: findings of now and alerts of before make alerts of after; `ledger` keeps them and `tell` tells them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::judge::{Finding, FindingId, Severity};
use crate::ledger::Alert;

/// For how long at most the return of a held finding waits.
const QUIET_OF_A_HOLD: Duration = Duration::from_secs(3600);

/// What there is to tell about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum News {
    /// It is new, or graver than it was told.
    Opened,
    /// It has gone.
    Ended,
    /// It came and went before anybody could be told.
    Past,
}

/// The topics of a look: what could not be looked at has not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// The data itself.
    Data,
    /// Snapshots and the space for them.
    Snapshots,
    /// The container and what it sees.
    Container,
}

/// Returns the topic of a finding; none for those about the look itself.
#[must_use]
pub fn topic(id: FindingId) -> Option<Topic> {
    if id == FindingId::SpaceGrowth {
        return Some(Topic::Data);
    }
    let id = id.as_str();
    let (family, _) = id.split_once('.').unwrap_or((id, ""));
    match family {
        "check" => None,
        "snapshot" | "space" | "restore" => Some(Topic::Snapshots),
        "mount" | "layer" | "container" | "unit" | "image" => Some(Topic::Container),
        _ => Some(Topic::Data),
    }
}

impl Alert {
    /// Returns an alert about a finding that is new.
    #[must_use]
    pub fn new(guard: &str, finding: Finding, now: Timestamp) -> Self {
        Self {
            id: None,
            guard: guard.to_owned(),
            finding,
            opened_at: now,
            seen_at: now,
            closed_at: None,
            looks: 1,
            told_at: None,
            told_severity: None,
            end_told_at: None,
            tries: 0,
            quiet_since: None,
        }
    }

    fn is_about(&self, finding: &Finding) -> bool {
        self.finding.id == finding.id && self.finding.store == finding.store
    }

    /// Returns what there is to tell now.
    #[must_use]
    pub fn news(&self, now: Timestamp, quiet: Duration) -> Option<News> {
        // A loss that comes back an hour after it was mended is a loss again.
        let quiet = if self.finding.severity == Severity::Hold {
            quiet.min(QUIET_OF_A_HOLD)
        } else {
            quiet
        };
        let is_quiet = self
            .quiet_since
            .is_some_and(|since| within(since, now, quiet));
        let is_sure = self.looks >= looks_needed(self.finding.id);
        match (self.closed_at, self.told_at) {
            (None, None) => (is_sure && !is_quiet).then_some(News::Opened),
            (None, Some(_)) => {
                (self.told_severity < Some(self.finding.severity)).then_some(News::Opened)
            }
            (Some(_), Some(_)) => self.end_told_at.is_none().then_some(News::Ended),
            (Some(_), None) => {
                let matters = self.finding.severity == Severity::Hold && self.end_told_at.is_none();
                (matters && is_sure && !is_quiet).then_some(News::Past)
            }
        }
    }

    /// Notes that no way could tell the news.
    pub fn note_failed(&mut self) {
        self.tries = self.tries.saturating_add(1);
    }

    /// Notes that the news was told.
    pub fn note_told(&mut self, news: News, now: Timestamp) {
        self.tries = 0;
        if news != News::Ended {
            self.told_at = Some(now);
            self.told_severity = Some(self.finding.severity);
        }
        if news != News::Opened {
            self.end_told_at = Some(now);
        }
    }
}

/// That something could not be found out passes by itself most of the time (a busy machine): it is told when it stays.
fn looks_needed(id: FindingId) -> u32 {
    match id {
        FindingId::CheckCouldNot | FindingId::CheckDeadline => 2,
        _ => 1,
    }
}

/// Returns whether a stretch of time since `since` goes on. With the clock set back to before, it does not.
fn within(since: Timestamp, now: Timestamp, length: Duration) -> bool {
    let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
    let passed = now.duration_since(since);
    !passed.is_negative() && passed < length
}

/// Compares what was found with the alerts of a guard, oldest first; returns those that are new or changed.
#[must_use]
pub fn compare(
    guard: &str,
    known: &[Alert],
    findings: &[Finding],
    not_looked_at: &[Topic],
    now: Timestamp,
) -> Vec<Alert> {
    let mut after: Vec<Alert> = Vec::new();
    let tellable = findings.iter().filter(|f| f.severity > Severity::Info);
    for finding in tellable {
        // Several files of one store with the same trouble are one alert.
        if after.iter().any(|a| a.is_about(finding)) {
            continue;
        }
        let before = known.iter().rev().find(|a| a.is_about(finding));
        after.push(match before {
            Some(alert) if alert.closed_at.is_none() => Alert {
                finding: finding.clone(),
                seen_at: now,
                looks: alert.looks.saturating_add(1),
                ..alert.clone()
            },
            before => Alert {
                quiet_since: before.and_then(|a| a.told_at.or(a.quiet_since)),
                ..Alert::new(guard, finding.clone(), now)
            },
        });
    }
    for alert in known.iter().filter(|a| a.closed_at.is_none()) {
        let is_unknown = topic(alert.finding.id).is_some_and(|t| not_looked_at.contains(&t));
        if !is_unknown && !after.iter().any(|a| a.is_about(&alert.finding)) {
            after.push(Alert {
                closed_at: Some(now),
                ..alert.clone()
            });
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(24 * 3600);

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    fn finding(id: FindingId, severity: Severity) -> Finding {
        Finding::of_guard(id, severity, "what")
    }

    /// Alerts over a run of looks; returns what was told at each, if every telling works.
    fn told(looks: &[(i64, Vec<Finding>)]) -> Vec<(i64, News)> {
        let mut known: Vec<Alert> = Vec::new();
        let mut told = Vec::new();
        for (hour, findings) in looks {
            for alert in compare("web", &known, findings, &[], at(*hour)) {
                let before = known
                    .iter_mut()
                    .find(|k| alert.id.is_some() && k.id == alert.id);
                if let Some(before) = before {
                    *before = alert;
                } else {
                    let id = Some(i64::try_from(known.len()).unwrap());
                    known.push(Alert { id, ..alert });
                }
            }
            for alert in &mut known {
                if let Some(news) = alert.news(at(*hour), QUIET) {
                    alert.note_told(news, at(*hour));
                    told.push((*hour, news));
                }
            }
        }
        told
    }

    #[test]
    fn a_finding_is_told_once_and_its_end_once() {
        let gone = || vec![finding(FindingId::StoreMissing, Severity::Hold)];
        let looks = [
            (0, vec![]),
            (1, gone()),
            (2, gone()),
            (3, vec![]),
            (4, vec![]),
        ];
        assert_eq!(told(&looks), [(1, News::Opened), (3, News::Ended)]);
    }

    #[test]
    fn what_comes_back_within_the_quiet_time_waits_until_it_is_over() {
        let stale = || vec![finding(FindingId::SnapshotStale, Severity::Warn)];
        let looks = [
            (0, stale()),
            (1, vec![]),
            (2, stale()),
            (3, stale()),
            (25, stale()),
            (26, vec![]),
        ];
        assert_eq!(
            told(&looks),
            [
                (0, News::Opened),
                (1, News::Ended),
                (25, News::Opened),
                (26, News::Ended)
            ]
        );
        // What flutters is told once in the quiet time, however often it comes and goes.
        let flutter: Vec<_> = (0..20)
            .map(|h| (h, if h % 2 == 0 { stale() } else { vec![] }))
            .collect();
        assert_eq!(told(&flutter), [(0, News::Opened), (1, News::Ended)]);
    }

    #[test]
    fn what_gets_graver_is_told_again() {
        let of = |severity| vec![finding(FindingId::ContractRowsShrunk, severity)];
        let looks = [
            (0, of(Severity::Warn)),
            (1, of(Severity::Hold)),
            (2, of(Severity::Warn)),
            (3, vec![]),
        ];
        assert_eq!(
            told(&looks),
            [(0, News::Opened), (1, News::Opened), (3, News::Ended)]
        );
    }

    #[test]
    fn what_is_only_worth_knowing_is_never_told_and_could_not_only_when_it_stays() {
        let info = || vec![finding(FindingId::LayerWrites, Severity::Info)];
        assert_eq!(told(&[(0, info()), (1, vec![])]), []);
        let slow = || vec![finding(FindingId::CheckCouldNot, Severity::Warn)];
        assert_eq!(told(&[(0, slow()), (1, vec![])]), []);
        assert_eq!(
            told(&[(0, slow()), (1, slow()), (2, slow()), (3, vec![])]),
            [(1, News::Opened), (3, News::Ended)]
        );
    }

    #[test]
    fn what_could_not_be_looked_at_has_not_gone() {
        let alert = Alert::new(
            "web",
            finding(FindingId::ContainerMissing, Severity::Warn),
            at(0),
        );
        let after = compare(
            "web",
            std::slice::from_ref(&alert),
            &[],
            &[Topic::Container],
            at(1),
        );
        assert_eq!(after, []);
        let after = compare("web", &[alert], &[], &[Topic::Data], at(1));
        assert_eq!(after[0].closed_at, Some(at(1)));
    }

    /// No way worked while it was there: a hold is told all the same, as something past.
    #[test]
    fn a_hold_that_nobody_could_be_told_of_is_told_when_it_is_over() {
        for (severity, news) in [(Severity::Hold, Some(News::Past)), (Severity::Warn, None)] {
            let alert = Alert::new("web", finding(FindingId::StoreMissing, severity), at(0));
            let after = compare("web", &[alert], &[], &[], at(1));
            assert_eq!(after[0].news(at(2), QUIET), news);
        }
    }

    #[test]
    fn nothing_stays_quiet_for_ever_and_a_hold_not_for_long() {
        let came_back = |severity| {
            let finding = finding(FindingId::ContractRowsShrunk, severity);
            let mut alert = Alert::new("web", finding, at(0));
            alert.quiet_since = Some(at(1000));
            alert
        };
        let warn = came_back(Severity::Warn);
        assert_eq!(warn.news(at(1001), QUIET), None);
        assert_eq!(warn.news(at(1024), QUIET), Some(News::Opened));
        // The clock was set back.
        assert_eq!(warn.news(at(0), QUIET), Some(News::Opened));
        let hold = came_back(Severity::Hold);
        assert_eq!(hold.news(at(1000), QUIET), None);
        assert_eq!(hold.news(at(1001), QUIET), Some(News::Opened));
    }

    #[test]
    fn every_finding_but_those_about_the_look_has_a_topic() {
        for id in FindingId::ALL {
            assert_eq!(
                topic(*id).is_none(),
                id.as_str().starts_with("check."),
                "{id}"
            );
        }
    }
}
