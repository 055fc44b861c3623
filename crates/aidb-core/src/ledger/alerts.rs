//! Alerts: what was found, and whether anybody was told.

use jiff::Timestamp;
use rusqlite::params;
use serde::{Deserialize, Serialize};

use super::Ledger;
use crate::error::Result;
use crate::finding::{Finding, Severity};

pub(super) const TABLE: &str = "
    create table if not exists alert (
        id integer primary key, guard text not null, document text not null
    ) strict;
    create index if not exists alert_by_guard on alert (guard, id);
";

/// How many alerts of one guard are kept.
const KEPT: i64 = 300;

/// A finding over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Its row in the ledger, once it has one.
    #[serde(skip)]
    pub id: Option<i64>,
    /// The guard, or the unit that no guard has.
    pub guard: String,
    /// As it was last seen.
    pub finding: Finding,
    /// When it was first seen.
    pub opened_at: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
    /// When it was first gone.
    pub closed_at: Option<Timestamp>,
    /// In how many looks it was seen.
    pub looks: u32,
    /// When it was told.
    pub told_at: Option<Timestamp>,
    /// How bad it was when it was told.
    pub told_severity: Option<Severity>,
    /// When its end was told.
    pub end_told_at: Option<Timestamp>,
    /// How often telling it failed since.
    #[serde(default)]
    pub tries: u32,
    /// The same was told then and has come back since: until the quiet time from then on is over, it waits.
    pub quiet_since: Option<Timestamp>,
}

impl Ledger {
    /// Returns a guard's alerts, oldest first. One that cannot be read is left out: what it was about is found again.
    pub fn alerts(&self, guard: &str) -> Result<Vec<Alert>> {
        let rows = self.rows(
            "select id, document from alert where guard = ? order by id",
            [guard],
            |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)),
        )?;
        Ok(rows
            .into_iter()
            .filter_map(|(id, document)| {
                let alert: Alert = serde_json::from_str(&document).ok()?;
                Some(Alert {
                    id: Some(id),
                    // A guard that was renamed took its rows along.
                    guard: guard.to_owned(),
                    ..alert
                })
            })
            .collect())
    }

    /// Returns whom alerts are about: guards, and units that no guard has.
    pub fn alerted(&self) -> Result<Vec<String>> {
        self.rows("select distinct guard from alert order by guard", [], |r| {
            r.get(0)
        })
    }

    /// Keeps alerts, new or changed; returns them with their numbers.
    pub fn put_alerts(&mut self, alerts: Vec<Alert>) -> Result<Vec<Alert>> {
        if alerts.is_empty() {
            return Ok(alerts);
        }
        self.transaction(|transaction| {
            let mut kept = Vec::new();
            for mut alert in alerts {
                let document =
                    serde_json::to_string(&alert).expect("an alert has only string keys");
                if let Some(id) = alert.id {
                    transaction.execute(
                        "update alert set document = ? where id = ?",
                        params![document, id],
                    )?;
                } else {
                    transaction.execute(
                        "insert into alert (guard, document) values (?, ?)",
                        [&alert.guard, &document],
                    )?;
                    alert.id = Some(transaction.last_insert_rowid());
                    transaction.execute(
                        "delete from alert where guard = ?1 and id <=
                         (select id from alert where guard = ?1 order by id desc limit 1 offset ?2)",
                        params![alert.guard, KEPT],
                    )?;
                }
                kept.push(alert);
            }
            Ok(kept)
        })
    }
}
