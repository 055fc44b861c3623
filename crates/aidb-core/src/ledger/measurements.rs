//! Measurements: how large each guard was and how many rows it had, thinned with age.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use rusqlite::params;
use serde::Serialize;

use super::Ledger;
use crate::error::Result;
use crate::finding::Verdict;

pub(super) const TABLE: &str = "
    create table if not exists measurement (
        id integer primary key, guard text not null, at text not null, verdict text not null, size_bytes integer,
        rows text not null
    ) strict;
    create index if not exists measurement_by_guard on measurement (guard, id);
";

/// From which age on how much is kept: age in seconds, and of how many seconds one.
const THINNING: [(i64, i64); 5] = [
    (2 * DAY, 5 * 60),
    (14 * DAY, 3600),
    (100 * DAY, 6 * 3600),
    (730 * DAY, DAY),
    (i64::MAX, 7 * DAY),
];

const DAY: i64 = 86_400;

/// How large a guard was, and how many rows it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Measurement {
    /// Rises with each one, whatever the clock says.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What was judged then.
    pub verdict: Verdict,
    /// Sizes of its stores added up; `None` if it was not found out.
    pub size_bytes: Option<u64>,
    /// Rows by `STORE/TABLE`.
    pub rows: BTreeMap<String, u64>,
}

impl Ledger {
    /// Notes a measurement, and drops older ones that are denser than their age is worth.
    pub fn note_measurement(
        &mut self,
        guard: &str,
        at: Timestamp,
        verdict: Verdict,
        size_bytes: Option<u64>,
        rows: &BTreeMap<String, u64>,
    ) -> Result<()> {
        let kept: Vec<(i64, Timestamp)> = self
            .rows(
                "select id, at from measurement where guard = ? order by id",
                [guard],
                |r| Ok((r.get(0)?, r.get::<_, String>(1)?)),
            )?
            .into_iter()
            .map(|(id, at)| (id, at.parse().unwrap_or(Timestamp::UNIX_EPOCH)))
            .collect();
        let rows = serde_json::to_string(rows).expect("rows have only string keys");
        let size = size_bytes.and_then(|s| i64::try_from(s).ok());
        self.transaction(|transaction| {
            for id in superfluous(&kept, at) {
                transaction.execute("delete from measurement where id = ?", [id])?;
            }
            transaction.execute(
                "insert into measurement (guard, at, verdict, size_bytes, rows) values (?, ?, ?, ?, ?)",
                params![guard, at.to_string(), verdict.as_str(), size, rows],
            )?;
            Ok(())
        })
    }

    /// Returns a guard's measurements, oldest first. One that cannot be read is left out.
    pub fn measurements(&self, guard: &str) -> Result<Vec<Measurement>> {
        let rows = self.rows(
            "select id, at, verdict, size_bytes, rows from measurement where guard = ? order by id",
            [guard],
            |r| {
                Ok((
                    r.get(0)?,
                    r.get::<_, String>(1)?,
                    r.get::<_, String>(2)?,
                    r.get::<_, Option<i64>>(3)?,
                    r.get::<_, String>(4)?,
                ))
            },
        )?;
        Ok(rows
            .into_iter()
            .filter_map(|(id, at, verdict, size, rows)| {
                Some(Measurement {
                    id,
                    at: at.parse().ok()?,
                    verdict: Verdict::parse(&verdict).unwrap_or(Verdict::Unknown),
                    size_bytes: size.and_then(|s| u64::try_from(s).ok()),
                    rows: serde_json::from_str(&rows).ok()?,
                })
            })
            .collect())
    }
}

/// Returns which of the measurements (oldest first) are denser than their age is worth. Of each stretch of time the newest
/// stays, and the very first of all. One from ahead of now, after the clock was set back, is as if it were of now.
fn superfluous(kept: &[(i64, Timestamp)], now: Timestamp) -> Vec<i64> {
    let mut newest: HashMap<(i64, i64), i64> = HashMap::new();
    let mut drop = Vec::new();
    for (id, at) in kept.iter().skip(1) {
        let age = now.as_second().saturating_sub(at.as_second()).max(0);
        let (_, step) = THINNING
            .iter()
            .find(|(until, _)| age < *until)
            .copied()
            .unwrap_or(THINNING[THINNING.len() - 1]);
        drop.extend(newest.insert((step, at.as_second().div_euclid(step)), *id));
    }
    drop
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::Vault;

    #[test]
    fn a_year_of_hours_is_kept_in_a_few_hundred_and_the_first_stays() {
        let start = 1_700_000_000;
        let mut kept: Vec<(i64, Timestamp)> = Vec::new();
        for hour in 0..365 * 24 {
            let now = Timestamp::from_second(start + hour * 3600).unwrap();
            let drop = superfluous(&kept, now);
            kept.retain(|(id, _)| !drop.contains(id));
            kept.push((hour, now));
        }
        assert!((700..1100).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept[0].0, 0);
        assert!(kept.is_sorted());
    }

    #[test]
    fn with_the_clock_set_back_nothing_is_lost_but_what_is_dense() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let kept = [
            (1, at(10_000)),
            (2, at(900_000)),
            (3, at(800_000)),
            (4, at(100)),
        ];
        assert_eq!(superfluous(&kept, at(200)), Vec::<i64>::new());
        assert_eq!(
            superfluous(&[(1, at(0)), (2, at(301)), (3, at(302))], at(303)),
            [2]
        );
    }

    #[test]
    fn measurements_come_back_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(&folder.path().join("vault"));
        let mut ledger = Ledger::open(folder.path(), &vault).unwrap();
        for (second, rows) in [(5000, 3), (100, 4)] {
            let rows = [("chats/chat".to_owned(), rows)].into();
            let at = Timestamp::from_second(second).unwrap();
            ledger
                .note_measurement("web", at, Verdict::Pass, Some(7), &rows)
                .unwrap();
        }
        let known = ledger.measurements("web").unwrap();
        let rows: Vec<u64> = known.iter().map(|m| m.rows["chats/chat"]).collect();
        assert_eq!(rows, [3, 4]);
        assert_eq!(
            (known[1].size_bytes, known[1].verdict),
            (Some(7), Verdict::Pass)
        );
    }
}
