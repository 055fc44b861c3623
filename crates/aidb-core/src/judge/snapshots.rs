//! Judging the snapshots of a guard: is there a proven one, is it recent, is there another copy, is there room?

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Finding, FindingId, Severity, Step};
use crate::space::Space;

/// From when on the newest proven snapshot is called old: two nights and a bit.
pub const STALE: Duration = Duration::from_secs(50 * 3600);

/// What is kept of one guard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// Good snapshots (proven, not suspicious), oldest first: id, and when it was taken or last seen to be still the same.
    pub good: Vec<(String, Timestamp)>,
    /// Whether there is anything to keep, asked where nothing is kept; `None` if that cannot be found out.
    pub has_data: Option<bool>,
    /// Why the vault cannot be looked at, if that is so.
    pub unknown: Option<String>,
    /// Whether a copy lies somewhere else than on the disk of the data; `None` if that cannot be told.
    pub has_second_copy: Option<bool>,
    /// The room in the vault.
    pub space: Option<Space>,
    /// What `verify` found to differ from what was kept, oldest first.
    pub damaged: Vec<Damaged>,
}

/// A snapshot or an archive that is no longer what it was when it was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The id that users and programs know.
    pub id: String,
    /// When `verify` found it.
    pub found_at: Timestamp,
}

/// Returns what is to be said about a guard's snapshots.
#[must_use]
pub fn judge(guard: &str, kept: &Kept, now: Timestamp) -> Vec<Finding> {
    if let Some(why) = &kept.unknown {
        let what = format!("the snapshots cannot be looked at: {why}");
        return vec![Finding::of_guard(
            FindingId::CheckCouldNot,
            Severity::Warn,
            &what,
        )];
    }
    let mut findings = Vec::new();
    findings.extend(proven(guard, kept, now));
    findings.extend(damaged(guard, kept));
    if !kept.good.is_empty() && kept.has_second_copy == Some(false) {
        let id = FindingId::SnapshotNoSecondCopy;
        findings.push(Finding {
            evidence: Some(
                "data and vault lie on the same filesystem, and nothing goes off-site".into(),
            ),
            ..Finding::of_guard(id, Severity::Info, id.meaning())
        });
    }
    findings.extend(kept.space.and_then(|space| room(&space)));
    findings
}

fn proven(guard: &str, kept: &Kept, now: Timestamp) -> Option<Finding> {
    let take = || vec![Step::new("take one", &["take", guard])];
    let finding = |id: FindingId, evidence| Finding {
        evidence,
        next: take(),
        ..Finding::of_guard(id, Severity::Warn, id.meaning())
    };
    let Some((newest, at)) = kept.good.last() else {
        return (kept.has_data == Some(true)).then(|| finding(FindingId::SnapshotNoneProven, None));
    };
    // With the clock set back, the newest may carry a time that is yet to come. It was taken after the one before it, so
    // it is no older than the newest one whose time has come.
    let past = kept.good.iter().rev().find(|(_, at)| *at <= now);
    let ahead = *at > now;
    let Some((_, known)) = past else {
        let what = "how old the newest proven snapshot is cannot be told: its time is yet to come";
        return Some(Finding {
            evidence: Some(format!("`{newest}`: was the clock set back?")),
            ..Finding::of_guard(FindingId::CheckCouldNot, Severity::Info, what)
        });
    };
    let age = now.duration_since(*known);
    let stale = SignedDuration::try_from(STALE).unwrap_or(SignedDuration::MAX);
    if age <= stale {
        return None;
    }
    let told = if ahead {
        format!(
            "`{newest}`, whose time is yet to come; the one before it is {} old",
            age_told(age)
        )
    } else {
        format!("`{newest}`, {} old", age_told(age))
    };
    Some(finding(FindingId::SnapshotStale, Some(told)))
}

fn age_told(age: SignedDuration) -> String {
    match age.as_hours() {
        hours @ 0..72 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

/// Once a sound copy is known from after it was found, that a kept one is damaged stays worth knowing: retention may keep
/// it for months, and nobody could do more about it.
fn damaged(guard: &str, kept: &Kept) -> Option<Finding> {
    let newest = kept.damaged.iter().max_by_key(|d| d.found_at)?;
    let is_made_good = kept
        .good
        .last()
        .is_some_and(|(_, at)| *at > newest.found_at);
    let severity = if is_made_good {
        Severity::Info
    } else {
        Severity::Warn
    };
    let others = kept.damaged.len() - 1;
    let mut evidence = format!("`{}`", newest.id);
    if others > 0 {
        let _ = write!(evidence, " and {others} more");
    }
    Some(Finding {
        evidence: Some(evidence),
        next: vec![
            Step::new("take a sound one", &["take", guard]),
            Step::new("read it once more", &["verify", &newest.id]),
        ],
        ..Finding::of_guard(
            FindingId::SnapshotHash,
            severity,
            FindingId::SnapshotHash.meaning(),
        )
    })
}

/// A clone turns an overwrite into an allocation, and an application that writes through a mapping dies on a full disk.
fn room(space: &Space) -> Option<Finding> {
    if space.free_bytes >= space.floor_bytes {
        return None;
    }
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    Some(Finding {
        evidence: Some(format!(
            "{} of {} are free, {} should stay free",
            mib(space.free_bytes),
            mib(space.total_bytes),
            mib(space.floor_bytes)
        )),
        next: vec![Step::new("see what could go", &["prune", "--dry-run"])],
        ..Finding::of_guard(
            FindingId::SpaceLow,
            Severity::Warn,
            FindingId::SpaceLow.meaning(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + hours * 3600).unwrap()
    }

    fn kept(good: &[i64]) -> Kept {
        Kept {
            good: good
                .iter()
                .enumerate()
                .map(|(n, h)| (format!("web/{n}"), at(*h)))
                .collect(),
            has_data: Some(true),
            unknown: None,
            has_second_copy: Some(true),
            ..Kept::default()
        }
    }

    fn ids(kept: &Kept, now: i64) -> Vec<(&'static str, Severity)> {
        judge("web", kept, at(now))
            .iter()
            .map(|f| (f.id.as_str(), f.severity))
            .collect()
    }

    #[test]
    fn the_newest_proven_one_counts_and_a_set_back_clock_makes_no_negative_age() {
        for (good, now, expected) in [
            (vec![], 0, vec![("snapshot.none-proven", Severity::Warn)]),
            (vec![0], 50, vec![]),
            (vec![0], 51, vec![("snapshot.stale", Severity::Warn)]),
            (vec![0, 40], 51, vec![]),
            // The second was taken before the clock was set back by a year.
            (vec![0, 8760], 40, vec![]),
            (vec![0, 8760], 51, vec![("snapshot.stale", Severity::Warn)]),
            (vec![8760], 0, vec![("check.could-not", Severity::Info)]),
        ] {
            assert_eq!(ids(&kept(&good), now), expected, "{good:?} at {now}");
        }
    }

    #[test]
    fn an_empty_folder_needs_no_snapshot_and_a_vault_that_cannot_be_read_is_not_empty() {
        let empty = Kept {
            has_data: Some(false),
            ..kept(&[])
        };
        assert_eq!(ids(&empty, 0), []);
        let unknown = Kept {
            unknown: Some("permission denied".into()),
            ..kept(&[])
        };
        assert_eq!(ids(&unknown, 0), [("check.could-not", Severity::Warn)]);
    }

    #[test]
    fn one_disk_for_everything_is_worth_knowing_and_no_alarm() {
        let one = Kept {
            has_second_copy: Some(false),
            ..kept(&[0])
        };
        assert_eq!(ids(&one, 1), [("snapshot.no-second-copy", Severity::Info)]);
    }

    #[test]
    fn a_damaged_copy_is_told_until_a_sound_one_is_known_from_after_it_was_found() {
        let damaged = |hours: &[i64]| {
            let each = hours.iter().map(|h| Damaged {
                id: format!("web/damaged-{h}"),
                found_at: at(*h),
            });
            Kept {
                damaged: each.collect(),
                ..kept(&[10])
            }
        };
        let hash = "snapshot.hash";
        assert_eq!(ids(&damaged(&[9]), 12), [(hash, Severity::Info)]);
        assert_eq!(ids(&damaged(&[10]), 12), [(hash, Severity::Warn)]);
        // The newest word counts, wherever it stands.
        let two = damaged(&[11, 9]);
        assert_eq!(ids(&two, 12), [(hash, Severity::Warn)]);
        let found = &judge("web", &two, at(12))[0];
        assert_eq!(
            found.evidence.as_deref(),
            Some("`web/damaged-11` and 1 more")
        );
        let nothing_good = Kept {
            good: Vec::new(),
            ..damaged(&[9])
        };
        let both = [
            ("snapshot.none-proven", Severity::Warn),
            (hash, Severity::Warn),
        ];
        assert_eq!(ids(&nothing_good, 12), both);
    }

    #[test]
    fn room_is_low_below_the_floor() {
        for (free_bytes, is_low) in [(4, true), (5, false), (6, false)] {
            let space = Space {
                free_bytes,
                total_bytes: 100,
                floor_bytes: 5,
            };
            assert_eq!(room(&space).is_some(), is_low, "{space:?}");
        }
    }
}
