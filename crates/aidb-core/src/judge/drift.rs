//! Is it still the data that was known before, and as much of it?

use super::finding::{Finding, FindingId, Severity, Step};
use super::{Case, Occasion};
use crate::look::observation::Database;
use crate::memory::Baseline;

/// Judges rows, identity and content against the baseline.
pub(super) fn judge(case: &Case, database: &Database, findings: &mut Vec<Finding>) {
    let Some(baseline) = case.memory.of(&case.store.name) else {
        return;
    };
    findings.extend(silent_change(case, database, baseline));
    findings.extend(shortened_log(case, database, baseline));
    if let Some(finding) = other_database(case, database, baseline) {
        findings.push(finding);
    }
    findings.extend(shrunken(case, database, baseline));
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

/// Bytes that changed although no transaction did.
fn silent_change(case: &Case, database: &Database, baseline: &Baseline) -> Option<Finding> {
    let before = baseline.last.content.as_ref()?;
    let now = database.seen().content?;
    let made_anew = before.schema_cookie.is_some() && now.schema_cookie != before.schema_cookie;
    if now.change_counter != before.change_counter || now.blake3 == before.blake3 || made_anew {
        return None;
    }
    let id = FindingId::SqliteDamaged;
    let severity = super::damage::severity(case.guard);
    let what = "bytes changed although no transaction did".to_owned();
    let evidence = format!(
        "the content differs from the one known before, under the same change counter {}",
        now.change_counter
    );
    Some(Finding {
        evidence: Some(evidence),
        next: ways_out(case, id, severity),
        ..case.finding(id, severity, what)
    })
}

/// A log that is shorter than it was: within one generation it only grows.
fn shortened_log(case: &Case, database: &Database, baseline: &Baseline) -> Option<Finding> {
    let before = baseline.last.log.as_ref()?;
    let now = &database.log;
    if now.torn.is_some()
        || now.salts != before.salts
        || now.committed_frames >= before.committed_frames
    {
        return None;
    }
    let id = FindingId::SqliteWalTorn;
    let what = "the write-ahead log is shorter than it was: commits are lost".to_owned();
    let evidence = format!(
        "{} committed pages, were {}",
        now.committed_frames, before.committed_frames
    );
    let severity = Severity::Warn;
    Some(Finding {
        evidence: Some(evidence),
        next: ways_out(case, id, severity),
        ..case.finding(id, severity, what)
    })
}

fn ways_out(case: &Case, id: FindingId, severity: Severity) -> Vec<Step> {
    if case.occasion == Occasion::Proof {
        return Vec::new();
    }
    let name = case.guard.name.as_str();
    let mut steps = Vec::new();
    if case
        .memory
        .proven
        .as_ref()
        .is_some_and(|s| s.stores.contains_key(&case.store.name))
    {
        steps.push(Step::new("bring it back", &["restore", name]));
    }
    steps.push(Step::new(
        "or it is right so",
        &["accept", name, "--reason", "I have looked at it"],
    ));
    if severity == Severity::Hold {
        steps.push(super::allow(name, id));
    }
    steps
}
