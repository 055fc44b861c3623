//! What to keep: a pure function from snapshots and rules to *keep, because …* or *drop*.
//!
//! Newest means the highest sequence; days are the local dates stored at capture. Two lanes never push each other out:
//! suspicious captures (the source was held, or has shrunken) and unproven ones live in lanes of their own, in which the
//! first (of each episode) and the last three stay: if proving is broken, the disk must not fill all the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::civil::Date;

use super::name::SnapshotName;
use crate::settings::Keep;

/// On which later days the data was found as a snapshot holds it, by the snapshot's name: no new one was made, and it
/// counts for those days too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenAgain(pub BTreeMap<String, BTreeSet<Date>>);

impl SeenAgain {
    /// Returns the later days of one snapshot.
    #[must_use]
    pub fn of(&self, name: &SnapshotName) -> BTreeSet<Date> {
        self.0.get(&name.to_string()).cloned().unwrap_or_default()
    }
}

/// Names the day, week or month that a date belongs to.
type PeriodOf = fn(Date) -> String;

/// How many of the newest unproven and of the newest suspicious snapshots are kept, beside the first.
const SIDE_LAST: usize = 3;

/// What retention needs to know of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the history.
    pub sequence: u64,
    /// The local date at capture.
    pub local_date: Date,
    /// Later local dates on which the same state was found again.
    pub seen_again: BTreeSet<Date>,
    /// Whether it was opened, checked and met its contract.
    pub proven: bool,
    /// Whether its state is suspicious.
    pub suspicious: bool,
    /// The same for snapshots of the same state; unproven ones have none.
    pub content: Option<String>,
}

/// Whether a snapshot stays, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays, for each of these reasons.
    Keep(Vec<String>),
    /// It goes.
    Drop(String),
}

impl Decision {
    /// Returns whether it stays.
    #[must_use]
    pub fn is_keep(&self) -> bool {
        matches!(self, Self::Keep(_))
    }

    fn because(&mut self, reason: impl Into<String>) {
        match self {
            Self::Keep(reasons) => reasons.push(reason.into()),
            Self::Drop(_) => *self = Self::Keep(vec![reason.into()]),
        }
    }
}

/// Returns a decision for each snapshot, in the order given.
#[must_use]
pub fn plan(snapshots: &[Candidate], keep: &Keep) -> Vec<Decision> {
    let mut decisions = vec![Decision::Drop("no rule keeps it".into()); snapshots.len()];
    let mut newest_first: Vec<usize> = (0..snapshots.len()).collect();
    newest_first.sort_by_key(|i| std::cmp::Reverse(snapshots[*i].sequence));
    let lane = |wanted: fn(&Candidate) -> bool| -> Vec<usize> {
        newest_first
            .iter()
            .copied()
            .filter(|i| wanted(&snapshots[*i]))
            .collect()
    };
    let good = lane(|s| s.proven && !s.suspicious);
    let suspicious = lane(|s| s.proven && s.suspicious);
    let unproven = lane(|s| !s.proven);

    for (lane, name) in [(&good, "newest proven"), (&suspicious, "newest suspicious")] {
        if let Some(newest) = lane.first() {
            decisions[*newest].because(name);
        }
    }
    let mut contents = HashSet::new();
    for i in &good {
        // One without a known content counts as distinct.
        let key = snapshots[*i]
            .content
            .clone()
            .unwrap_or_else(|| format!("#{}", snapshots[*i].sequence));
        if contents.len() < keep.last as usize && contents.insert(key) {
            decisions[*i].because(format!("last {} of {}", contents.len(), keep.last));
        }
    }
    let periods: [(&str, u32, PeriodOf); 3] = [
        ("daily", keep.daily, |d| d.to_string()),
        ("weekly", keep.weekly, |d| {
            let week = d.iso_week_date();
            format!("{}-W{:02}", week.year(), week.week())
        }),
        ("monthly", keep.monthly, |d| {
            format!("{}-{:02}", d.year(), d.month())
        }),
    ];
    for (name, count, period_of) in periods {
        let mut periods = HashSet::new();
        for i in &good {
            let snapshot = &snapshots[*i];
            let later = snapshot.seen_again.iter().rev().copied();
            for date in later.chain([snapshot.local_date]) {
                let period = period_of(date);
                if periods.len() < count as usize && periods.insert(period.clone()) {
                    decisions[*i]
                        .because(format!("{name} {} of {count} ({period})", periods.len()));
                }
            }
        }
    }
    keep_ends(&mut decisions, &unproven, "unproven");
    for episode in episodes(snapshots, &newest_first) {
        keep_ends(&mut decisions, &episode[episode.len() - 1..], "suspicious");
    }
    keep_ends(&mut decisions, &suspicious, "suspicious");
    decisions
}

/// Returns for each archive, oldest first, whether it stays: the newest `keep` sound ones (one at least), and a damaged
/// one only where there is no sound one.
#[must_use]
pub fn archives(sound: &[bool], keep: u32) -> Vec<bool> {
    let any_sound = sound.contains(&true);
    let mut left = keep.max(1);
    let newest_first = sound.iter().rev().map(|sound| {
        let stays = if *sound { left > 0 } else { !any_sound };
        left = left.saturating_sub(u32::from(*sound));
        stays
    });
    let mut stays: Vec<bool> = newest_first.collect();
    stays.reverse();
    stays
}

/// Keeps the first and the last few of a lane that is sorted newest first.
fn keep_ends(decisions: &mut [Decision], lane: &[usize], name: &str) {
    for (n, i) in lane.iter().take(SIDE_LAST).enumerate() {
        decisions[*i].because(format!("{name}, last {} of {SIDE_LAST}", n + 1));
    }
    if lane.len() > SIDE_LAST || lane.len() == 1 {
        decisions[lane[lane.len() - 1]].because(format!("{name}, first"));
    }
}

/// Returns the runs of suspicious snapshots that no good one interrupts, each newest first.
fn episodes(snapshots: &[Candidate], newest_first: &[usize]) -> Vec<Vec<usize>> {
    let mut episodes: Vec<Vec<usize>> = Vec::new();
    let mut open = false;
    for i in newest_first
        .iter()
        .copied()
        .filter(|i| snapshots[*i].proven)
    {
        if !snapshots[i].suspicious {
            open = false;
        } else if open {
            episodes
                .last_mut()
                .expect("an open episode has a first snapshot")
                .push(i);
        } else {
            episodes.push(vec![i]);
            open = true;
        }
    }
    episodes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(sequence: u64, date: &str, state: &str) -> Candidate {
        Candidate {
            sequence,
            local_date: date.parse().unwrap(),
            seen_again: BTreeSet::new(),
            proven: state != "unproven",
            suspicious: state == "suspicious",
            content: (state != "unproven").then(|| format!("content {sequence}")),
        }
    }

    fn kept(snapshots: &[Candidate], keep: &Keep) -> Vec<u64> {
        let decisions = plan(snapshots, keep);
        snapshots
            .iter()
            .zip(decisions)
            .filter(|(_, d)| d.is_keep())
            .map(|(s, _)| s.sequence)
            .collect()
    }

    #[test]
    fn seven_days_are_kept_and_the_eighth_goes() {
        let days: Vec<_> = (1..=10)
            .map(|d| candidate(d, &format!("2026-11-{:02}", d + 8), "proven"))
            .collect();
        let keep = Keep {
            last: 1,
            daily: 7,
            weekly: 0,
            monthly: 0,
            ..Keep::default()
        };
        assert_eq!(kept(&days, &keep), [4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn the_reasons_are_told() {
        let snapshots = [
            candidate(1, "2026-11-01", "proven"),
            candidate(2, "2026-11-23", "proven"),
            candidate(3, "2026-11-23", "proven"),
        ];
        let decisions = plan(
            &snapshots,
            &Keep {
                last: 1,
                daily: 1,
                weekly: 0,
                monthly: 0,
                ..Keep::default()
            },
        );
        assert_eq!(decisions[0], Decision::Drop("no rule keeps it".into()));
        assert_eq!(
            decisions[2],
            Decision::Keep(vec![
                "newest proven".into(),
                "last 1 of 1".into(),
                "daily 1 of 1 (2026-11-23)".into()
            ])
        );
    }

    #[test]
    fn equal_contents_count_once_among_the_last() {
        let mut snapshots: Vec<_> = (1..=5)
            .map(|s| candidate(s, "2026-11-23", "proven"))
            .collect();
        for s in &mut snapshots[2..] {
            s.content = Some("same".into());
        }
        assert_eq!(
            kept(
                &snapshots,
                &Keep {
                    last: 2,
                    daily: 0,
                    weekly: 0,
                    monthly: 0,
                    ..Keep::default()
                }
            ),
            [2, 5]
        );
    }

    #[test]
    fn a_snapshot_from_the_future_is_not_the_newest_for_ever() {
        let snapshots = [
            candidate(1, "2038-01-01", "proven"),
            candidate(2, "2026-11-23", "proven"),
        ];
        let decisions = plan(
            &snapshots,
            &Keep {
                last: 1,
                daily: 0,
                weekly: 0,
                monthly: 0,
                ..Keep::default()
            },
        );
        assert!(!decisions[0].is_keep() && decisions[1].is_keep());
    }

    #[test]
    fn a_snapshot_that_was_seen_again_counts_for_those_days_too() {
        let mut snapshots = [
            candidate(1, "2026-11-20", "proven"),
            candidate(2, "2026-11-21", "proven"),
        ];
        snapshots[1].seen_again = ["2026-11-22", "2026-11-23"]
            .map(|d| d.parse().unwrap())
            .into();
        let keep = |daily| Keep {
            last: 0,
            daily,
            weekly: 0,
            monthly: 0,
            ..Keep::default()
        };
        assert_eq!(kept(&snapshots, &keep(3)), [2]);
        assert_eq!(kept(&snapshots, &keep(4)), [1, 2]);
    }

    #[test]
    fn a_flood_of_suspicious_or_unproven_captures_pushes_nothing_good_out() {
        let mut snapshots = vec![
            candidate(1, "2026-11-20", "proven"),
            candidate(2, "2026-11-21", "proven"),
        ];
        for s in 3..40 {
            snapshots.push(candidate(
                s,
                "2026-11-23",
                if s % 2 == 0 { "suspicious" } else { "unproven" },
            ));
        }
        let kept = kept(&snapshots, &Keep::default());
        assert!(kept.contains(&1) && kept.contains(&2), "{kept:?}");
    }

    #[test]
    fn of_what_was_never_proven_the_first_and_the_last_three_stay() {
        for state in ["unproven", "suspicious"] {
            let snapshots: Vec<_> = (1..20).map(|s| candidate(s, "2026-11-23", state)).collect();
            assert_eq!(kept(&snapshots, &Keep::default()), [1, 17, 18, 19]);
        }
    }

    #[test]
    fn the_first_of_each_suspicious_episode_stays() {
        let states = "gsssssgsssssg".chars().zip(1..);
        let snapshots: Vec<_> = states
            .map(|(c, s)| {
                candidate(
                    s,
                    "2026-11-23",
                    if c == 's' { "suspicious" } else { "proven" },
                )
            })
            .collect();
        assert_eq!(
            kept(
                &snapshots,
                &Keep {
                    last: 1,
                    ..Keep::default()
                }
            ),
            [2, 8, 10, 11, 12, 13]
        );
    }

    #[test]
    fn the_newest_sound_archive_is_never_dropped() {
        for (sound, keep, stays) in [
            (&[true, true, true][..], 2, &[false, true, true][..]),
            (&[true, true, false], 1, &[false, true, false]),
            (&[false, false], 1, &[true, true]),
            (&[true, false], 0, &[true, false]),
            (&[], 2, &[]),
        ] {
            assert_eq!(archives(sound, keep), stays, "{sound:?}, {keep}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn whatever_the_history_the_newest_proven_stays_and_bad_ones_push_out_no_good_one(
            states in prop::collection::vec((0..3u8, 0..60i64), 1..40),
            last in 0..4u32, daily in 0..8u32, weekly in 0..5u32, monthly in 0..4u32,
        ) {
            let start: Date = "2026-10-01".parse().unwrap();
            let names = ["proven", "suspicious", "unproven"];
            let snapshots: Vec<_> = states.iter().enumerate().map(|(i, (state, day))| {
                let date = start.checked_add(jiff::Span::new().days(*day)).unwrap();
                candidate(i as u64 + 1, &date.to_string(), names[*state as usize])
            }).collect();
            let keep = Keep { last, daily, weekly, monthly, archives: 1 };
            let decisions = plan(&snapshots, &keep);
            let good: Vec<_> = snapshots.iter().filter(|s| s.proven && !s.suspicious).cloned().collect();
            if let Some(newest) = good.iter().map(|s| s.sequence).max() {
                let i = snapshots.iter().position(|s| s.sequence == newest).unwrap();
                prop_assert!(decisions[i].is_keep());
            }
            for (snapshot, decision) in snapshots.iter().zip(&decisions) {
                let fallback = good.iter().any(|g| g.sequence > snapshot.sequence);
                prop_assert!(decision.is_keep() || fallback || !snapshot.proven || snapshot.suspicious);
            }
            let alone = kept(&good, &keep);
            let among = kept(&snapshots, &keep);
            prop_assert!(alone.iter().all(|s| among.contains(s)), "alone {alone:?}, among others {among:?}");
        }
    }
}
