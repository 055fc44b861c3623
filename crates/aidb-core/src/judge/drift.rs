//! Is it still the data that was known before, and as much of it?

use super::words::ways_out;
use super::{Case, Occasion};
use crate::finding::{Finding, FindingId, Severity};
use crate::look::content::LIVE;
use crate::look::observation::Database;
use crate::look::seen::Counters;
use crate::memory::Baseline;

/// Judges rows, identity and content against the baseline.
pub(super) fn judge(case: &Case, database: &Database, findings: &mut Vec<Finding>) {
    let Some(baseline) = case.memory.of(&case.store.name) else {
        return;
    };
    // What was restored is what somebody chose: the next healthy look is what later ones are compared with.
    if baseline.begins_anew {
        return;
    }
    let lost_log = super::log::judge(case, database, baseline, findings);
    let other = other_database(case, database, baseline)
        .or_else(|| silent_change(case, database, baseline));
    let mut shrunken = shrunken(case, database, baseline);
    if !lost_log && other.is_none() {
        match (&mut shrunken, older(database, baseline)) {
            (None, Some(older)) => findings.push(older_copy(case, &older)),
            (Some(shrunken), Some(older)) => {
                let rows = shrunken.evidence.take().unwrap_or_default();
                shrunken.evidence = Some(format!("{rows}; {}", older.told()));
            }
            (_, None) => {}
        }
    }
    findings.extend(other);
    findings.extend(shrunken);
}

fn shrunken(case: &Case, database: &Database, baseline: &Baseline) -> Option<Finding> {
    let contract = &case.store.contract;
    let mut told = Vec::new();
    let mut emptied = false;
    for (table, most) in &baseline.most_rows {
        let Some(now) = database.rows(table) else {
            continue;
        };
        let never = contract.never_shrink.contains(table);
        let limit = match contract.max_shrink_percent.get(table) {
            _ if never => *most,
            Some(percent) => most - most.saturating_mul(u64::from(*percent)) / 100,
            None => continue,
        };
        if now < limit {
            told.push(format!("`{table}`: {now}, was {most}"));
            emptied |= never && now == 0;
        }
    }
    if told.is_empty() {
        return None;
    }
    let id = FindingId::ContractRowsShrunk;
    // An application without a single account makes its next visitor the administrator.
    let severity = if emptied {
        case.guard.policy.missing.into()
    } else {
        drifted(case)
    };
    let what = if emptied {
        "the accounts are gone"
    } else {
        "there are far fewer rows than there were"
    };
    let finding = case.finding(id, severity, what.to_owned());
    Some(Finding {
        evidence: Some(told.join("; ")),
        next: ways_out(case, id, severity),
        ..finding
    })
}

/// At a start a warning by default: what happened has happened. A switch is refused, because it can still wait.
fn drifted(case: &Case) -> Severity {
    if case.occasion == Occasion::Switch {
        Severity::Hold
    } else {
        case.guard.policy.shrunken.into()
    }
}

fn other_database(case: &Case, database: &Database, baseline: &Baseline) -> Option<Finding> {
    let now = &database.opened.as_ref()?.identity;
    let before = &baseline.last.identity;
    if now.is_empty() || before.is_empty() || before.iter().any(|id| now.contains(id)) {
        return None;
    }
    let id = FindingId::ContractOtherDatabase;
    let severity = drifted(case);
    let identity = case.store.contract.identity.as_ref()?;
    let evidence = format!(
        "none of the {} oldest rows of `{}` known before is among the oldest now",
        before.len(),
        identity.table
    );
    let finding = case.finding(
        id,
        severity,
        "this is another database than before".to_owned(),
    );
    Some(Finding {
        evidence: Some(evidence),
        next: ways_out(case, id, severity),
        ..finding
    })
}

/// Bytes that changed although no transaction did. Where rows, sizes or names differ as well, it is another database that
/// happens to have counted as far.
fn silent_change(case: &Case, database: &Database, baseline: &Baseline) -> Option<Finding> {
    let before = baseline.last.content.as_ref()?;
    let seen = database.seen();
    let now = seen.content.as_ref()?;
    let made_anew = before.schema_cookie.is_some() && now.schema_cookie != before.schema_cookie;
    // One that counts free pages says nothing beside one that leaves them out.
    let is_comparable = before.blake3.starts_with(LIVE) || !now.blake3.starts_with(LIVE);
    if !is_comparable
        || now.change_counter != before.change_counter
        || now.blake3 == before.blake3
        || made_anew
    {
        return None;
    }
    let contract = &case.store.contract;
    let is_blank = |rows| {
        let telling = contract.telling_rows(rows);
        !telling.is_empty() && telling.values().all(|n| *n == 0)
    };
    if is_blank(&seen.rows) && is_blank(&baseline.last.rows) {
        // Two first starts count alike, and neither holds anything of anybody's.
        return None;
    }
    let counter = now.change_counter;
    let is_same = seen.rows == baseline.last.rows && seen.size_bytes == baseline.last.size_bytes;
    let (id, severity, what, evidence) = if is_same {
        (
            FindingId::SqliteDamaged,
            super::words::damaged(case.guard),
            "bytes changed although no transaction did",
            format!(
                "the content differs from the one known before, under the same change counter {counter}"
            ),
        )
    } else {
        (
            FindingId::ContractOtherDatabase,
            drifted(case),
            "this is another database than before",
            format!("it holds other rows under the same change counter {counter}"),
        )
    };
    Some(Finding {
        evidence: Some(evidence),
        next: ways_out(case, id, severity),
        ..case.finding(id, severity, what.to_owned())
    })
}

/// What tells that a database is another copy than the one known before, which had counted further.
struct Older {
    now: Counters,
    before: Counters,
    /// Tables that have fewer rows.
    fewer: Vec<String>,
    /// When exactly these bytes were seen, before the ones known last.
    seen_at: Option<jiff::Timestamp>,
}

impl Older {
    fn told(&self) -> String {
        let seen = self.seen_at.map(|at| {
            let at = at.strftime("%Y-%m-%d %H:%M UTC");
            format!("; these bytes were last seen on {at}")
        });
        let (what, now, before) = if self.now.schema == self.before.schema {
            ("transactions", self.now.change, self.before.change)
        } else {
            ("changes of its schema", self.now.schema, self.before.schema)
        };
        format!(
            "it counted {now} {what}, {before} before{}",
            seen.unwrap_or_default()
        )
    }
}

fn older(database: &Database, baseline: &Baseline) -> Option<Older> {
    let (now, before) = (database.last_commit?, baseline.last.counters?);
    if !now.went_back(before) {
        return None;
    }
    // A newer version of the application makes tables, and may drop others.
    let has_new = database
        .table_names()
        .iter()
        .any(|t| database.rows(t).is_some() && !baseline.last.rows.contains_key(t));
    let fewer = baseline.last.rows.iter().filter_map(|(table, before)| {
        match database.rows(table) {
            Some(now) => (now < *before).then(|| format!("`{table}`: {now}, was {before}")),
            // It was made later than this state.
            None if *before > 0 && !has_new && !database.table_names().contains(table) => {
                Some(format!("`{table}`: not there, had {before}"))
            }
            None => None,
        }
    });
    let seen = baseline
        .earlier
        .iter()
        .find(|e| database.main_blake3.as_ref() == Some(&e.blake3));
    Some(Older {
        now,
        before,
        fewer: fewer.collect(),
        seen_at: seen.map(|e| e.seen_at),
    })
}

/// A copy that was made anew, as by `.backup` or by reading a dump back, counts anew and has all the rows; an older state
/// has fewer, or is one that was seen before.
fn older_copy(case: &Case, older: &Older) -> Finding {
    let id = FindingId::ContractOlderCopy;
    if older.fewer.is_empty() && older.seen_at.is_none() {
        let what = "the database was exchanged for another copy of it".to_owned();
        return Finding {
            evidence: Some(older.told()),
            ..case.finding(id, Severity::Info, what)
        };
    }
    let severity = drifted(case);
    let what = "this is an older state of the database than the one known before".to_owned();
    let rows = older.fewer.iter().take(3).cloned().chain([older.told()]);
    Finding {
        evidence: Some(rows.collect::<Vec<_>>().join("; ")),
        next: ways_out(case, id, severity),
        ..case.finding(id, severity, what)
    }
}
