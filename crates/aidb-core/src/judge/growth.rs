//! Judging how a guard's data grows: at the pace that it keeps, when is its filesystem full?
//!
//! A pace is the least that the data grew in each of three stretches in a row, so one large import, a model that is fetched
//! or an index that a migration makes is none. Where a stretch has no measurement, nothing is concluded.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, FindingId, Severity, Step};
use crate::space::Space;

/// How large a guard's data was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// When.
    pub at: Timestamp,
    /// Its stores added up.
    pub bytes: u64,
}

/// A length of time by which growth is measured.
struct Stretch {
    length: SignedDuration,
    name: &'static str,
    /// One of them, as people say it.
    one: &'static str,
    /// For how many of them there has to be room.
    room: u64,
}

/// By the hour for what runs away over night, by the day for what is slow.
const STRETCHES: [Stretch; 2] = [
    Stretch {
        length: SignedDuration::from_hours(1),
        name: "hour",
        one: "an hour",
        room: 24,
    },
    Stretch {
        length: SignedDuration::from_hours(24),
        name: "day",
        one: "a day",
        room: 14,
    },
];

/// In how many stretches in a row it has to have grown.
const IN_A_ROW: i32 = 3;

/// Returns what is to be said about a guard's growth. Sizes are oldest first, the last one is of now; the space is that of
/// the filesystem of its data.
#[must_use]
pub fn judge(guard: &str, sizes: &[Size], space: Space) -> Option<Finding> {
    let sizes = since_the_clock_was_set_back(sizes);
    STRETCHES.iter().find_map(|stretch| {
        let pace = pace(sizes, stretch)?;
        let lasts = space.free_bytes / pace;
        (lasts < stretch.room).then(|| told(guard, stretch, pace, lasts, space.free_bytes))
    })
}

fn told(guard: &str, stretch: &Stretch, pace: u64, lasts: u64, free_bytes: u64) -> Finding {
    let Stretch { name, one, .. } = stretch;
    let evidence = format!(
        "it grew by {} {one} or more, {IN_A_ROW} {name}s in a row; {} are free on its filesystem, enough for {lasts} {name}{}",
        told_bytes(pace),
        told_bytes(free_bytes),
        if lasts == 1 { "" } else { "s" },
    );
    Finding {
        evidence: Some(evidence),
        next: vec![
            Step::new("see its course", &["report", "--to", "aidb.html"]),
            Step::by_hand(format!("make room, or find out what `{guard}` writes")),
        ],
        ..Finding::of_guard(
            FindingId::SpaceGrowth,
            Severity::Warn,
            FindingId::SpaceGrowth.meaning(),
        )
    }
}

fn told_bytes(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        mib => format!("{mib} MiB"),
    }
}

/// Returns the measurements from the last one on that is later than its successor.
fn since_the_clock_was_set_back(sizes: &[Size]) -> &[Size] {
    let back = sizes.windows(2).rposition(|pair| pair[0].at > pair[1].at);
    &sizes[back.map_or(0, |last| last + 1)..]
}

/// Returns the bytes by which it grew in each of the last stretches at least; none if it did not grow in one of them, or
/// that is not known.
fn pace(sizes: &[Size], stretch: &Stretch) -> Option<u64> {
    let now = sizes.last()?.at;
    let marks =
        (0..=IN_A_ROW).map(|n| nearest(sizes, now - stretch.length * n, stretch.length / 2));
    let marks = marks.collect::<Option<Vec<&Size>>>()?;
    let grown = marks.windows(2).map(|pair| {
        let (after, before) = (pair[0], pair[1]);
        let bytes = after.bytes.checked_sub(before.bytes)?;
        let seconds = u64::try_from(after.at.duration_since(before.at).as_secs()).ok()?;
        let length = stretch.length.as_secs().unsigned_abs();
        bytes.checked_mul(length)?.checked_div(seconds)
    });
    let least = grown.collect::<Option<Vec<u64>>>()?.into_iter().min()?;
    (least > 0).then_some(least)
}

/// Returns the measurement that is nearest to a time, and no further from it than that.
fn nearest(sizes: &[Size], at: Timestamp, no_further: SignedDuration) -> Option<&Size> {
    let distance = |size: &&Size| size.at.duration_since(at).abs();
    let from = sizes.partition_point(|s| s.at < at);
    let around = &sizes[from.saturating_sub(1)..(from + 1).min(sizes.len())];
    around
        .iter()
        .min_by_key(distance)
        .filter(|size| distance(size) < no_further)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Measurements, as minutes and MiB.
    fn sizes(of: &[(i64, u64)]) -> Vec<Size> {
        let at = |minute: i64| Timestamp::from_second(1_700_000_000 + minute * 60).unwrap();
        of.iter()
            .map(|(minute, mib)| Size {
                at: at(*minute),
                bytes: mib * MIB,
            })
            .collect()
    }

    fn evidence(of: &[(i64, u64)], free_mib: u64) -> Option<String> {
        let space = Space {
            free_bytes: free_mib * MIB,
            total_bytes: 1 << 40,
            floor_bytes: 0,
        };
        judge("web", &sizes(of), space).map(|f| f.evidence.unwrap())
    }

    /// By the day: from hour to hour, at a third of a day's growth each.
    fn days(grown: &[u64]) -> Vec<(i64, u64)> {
        let mut mib = 1000;
        let mut all = vec![(0, mib)];
        for (day, grown) in (0..).zip(grown) {
            for third in 1..=3_u64 {
                all.push((
                    day * 1440 + 480 * third.cast_signed(),
                    mib + grown * third / 3,
                ));
            }
            mib += grown;
        }
        all
    }

    #[test]
    fn what_keeps_growing_is_told_when_there_is_room_for_less_than_two_weeks() {
        assert_eq!(
            evidence(&days(&[30, 33, 60]), 419).unwrap(),
            "it grew by 30 MiB a day or more, 3 days in a row; 419 MiB are free on its filesystem, enough for 13 days"
        );
        assert_eq!(evidence(&days(&[30, 33, 60]), 420), None);
        assert_eq!(
            evidence(&[(0, 10), (60, 30), (121, 51), (180, 75)], 20 * 23).unwrap(),
            "it grew by 20 MiB an hour or more, 3 hours in a row; 460 MiB are free on its filesystem, enough for 23 hours"
        );
        assert_eq!(
            evidence(&[(0, 10), (60, 30), (120, 50), (180, 75)], 480),
            None
        );
        assert!(evidence(&days(&[30, 33, 60]), 0).is_some());
    }

    #[test]
    fn one_import_is_no_pace_nor_is_what_shrinks_between() {
        for grown in [[0, 0, 9000], [0, 9000, 0], [9000, 0, 0]] {
            assert_eq!(evidence(&days(&grown), 1), None, "{grown:?}");
        }
        // In the log when it was committed, and in the database when the log was checkpointed.
        for twice in [[0, 9000, 9000], [9000, 0, 9000], [9000, 9000, 0]] {
            assert_eq!(evidence(&days(&twice), 1), None, "{twice:?}");
        }
        assert_eq!(
            evidence(&[(0, 10), (60, 900), (120, 50), (180, 900)], 1),
            None
        );
    }

    #[test]
    fn where_nothing_was_measured_nothing_is_concluded() {
        assert_eq!(evidence(&[], 0), None);
        assert_eq!(evidence(&[(0, 1), (60, 90), (120, 900)], 1), None);
        // The machine was off for the second of three hours and half of the third.
        assert_eq!(
            evidence(&[(0, 1), (60, 90), (150, 900), (180, 9000)], 1),
            None
        );
        // Measured late, it is still measured, and by how late it was.
        assert_eq!(
            evidence(&[(0, 10), (65, 75), (120, 130), (180, 190)], 60).unwrap(),
            "it grew by 60 MiB an hour or more, 3 hours in a row; 60 MiB are free on its filesystem, enough for 1 hour"
        );
    }

    #[test]
    fn with_the_clock_set_back_it_begins_anew() {
        let back = [(9000, 10), (0, 20), (60, 40), (120, 60)];
        assert_eq!(evidence(&back, 1), None);
        let later = [back.as_slice(), &[(180, 80)]].concat();
        assert!(evidence(&later, 1).is_some());
    }
}
