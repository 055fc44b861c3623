//! Does it show what a healthy store of this application must show?

use super::{Case, Occasion};
use crate::catalog::matches_wildcard;
use crate::finding::{Finding, FindingId, Severity};
use crate::guard::Contract;
use crate::look::observation::Database;

/// Judges tables and schema revision.
pub(super) fn judge(case: &Case, database: &Database, findings: &mut Vec<Finding>) {
    let Some(tables) = &database.tables else {
        return;
    };
    let contract = &case.store.contract;
    let leftovers: Vec<&str> = tables
        .iter()
        .map(String::as_str)
        .filter(|t| {
            contract
                .half_migrated
                .iter()
                .any(|pattern| matches_wildcard(pattern, t))
        })
        .collect();
    let missing = contract.missing_tables(tables);
    if !missing.is_empty() {
        findings.push(table_missing(case, database, &missing));
    }
    if case.memory.of(&case.store.name).is_none() {
        findings.extend(accounts_gone(case, database));
    }
    let unfinished = if !leftovers.is_empty() {
        Some(format!("left over: {}", quoted(&leftovers)))
    } else if !missing.is_empty() && migrating(contract, tables) {
        Some(format!("not there yet: {}", quoted(&missing)))
    } else if let Some(unmade) = unmade(contract, tables) {
        Some(format!("not there yet: {}", quoted(&unmade)))
    } else {
        stopped_revision(contract, database)
    };
    if let Some(evidence) = unfinished {
        let what = "a schema migration stopped half-way; a start usually completes it".to_owned();
        let finding = case.finding(FindingId::ContractHalfMigrated, Severity::Warn, what);
        findings.push(Finding {
            evidence: Some(evidence),
            ..finding
        });
    }
    let revisions = database.opened.as_ref().map_or(&[][..], |o| &o.revision);
    if revisions.len() > 1 {
        let what = format!("the schema has {} revisions at once", revisions.len());
        let finding = case.finding(FindingId::ContractRevisionUnknown, Severity::Warn, what);
        findings.push(Finding {
            evidence: Some(revisions.join(", ")),
            ..finding
        });
    }
}

/// Without any history: nobody's data beside no account at all. The application would make its next visitor the
/// administrator over it.
fn accounts_gone(case: &Case, database: &Database) -> Option<Finding> {
    let contract = &case.store.contract;
    let emptied = contract
        .never_shrink
        .iter()
        .find(|t| database.rows(t) == Some(0))?;
    let (table, rows) = contract
        .max_shrink_percent
        .keys()
        .filter_map(|t| Some((t, database.rows(t)?)))
        .find(|(_, rows)| *rows > 0)?;
    let id = FindingId::ContractRowsShrunk;
    let finding = case.finding(
        id,
        case.guard.policy.missing.into(),
        format!("`{emptied}` is empty, and its data is still there"),
    );
    let next = if finding.severity == Severity::Hold && case.occasion != Occasion::Proof {
        case.ways_out(id)
    } else {
        Vec::new()
    };
    Some(Finding {
        evidence: Some(format!("`{table}`: {rows} rows")),
        next,
        ..finding
    })
}

fn table_missing(case: &Case, database: &Database, missing: &[&str]) -> Finding {
    let id = FindingId::ContractTableMissing;
    let contract = &case.store.contract;
    let known = case.memory.of(&case.store.name);
    let known_missing = known.is_some_and(|b| missing.iter().any(|t| b.most_rows.contains_key(*t)));
    let holds_rows = contract
        .tables
        .iter()
        .any(|t| database.rows(t).unwrap_or(0) > 0);
    // A first start that was interrupted: there is nothing to lose yet, and the next start goes on with it.
    let harmless = !known_missing && !holds_rows && migrating(contract, database.table_names());
    let severity = if harmless && case.occasion != Occasion::Proof {
        Severity::Warn
    } else {
        super::words::damaged(case.guard)
    };
    let what = format!(
        "{} missing: {}",
        if missing.len() == 1 {
            "a table is"
        } else {
            "tables are"
        },
        quoted(missing)
    );
    let next = if severity == Severity::Hold && case.occasion != Occasion::Proof {
        case.ways_out(id)
    } else {
        Vec::new()
    };
    let evidence = case.known_before().or_else(|| {
        Some(format!(
            "found {} other tables",
            database.table_names().len()
        ))
    });
    Finding {
        evidence,
        next,
        ..case.finding(id, severity, what)
    }
}

/// Returns whether this application's migrations have been at work here.
fn migrating(contract: &Contract, tables: &[String]) -> bool {
    contract.migration_tables.iter().any(|t| tables.contains(t))
        || contract
            .half_migrated
            .iter()
            .any(|p| tables.iter().any(|t| matches_wildcard(p, t)))
}

/// Returns the tables that a finished migration would have made; `None` if all are there.
fn unmade<'a>(contract: &'a Contract, tables: &[String]) -> Option<Vec<&'a str>> {
    let implied = contract
        .expected_when
        .iter()
        .filter(|(key, _)| tables.contains(key))
        .flat_map(|(_, e)| e);
    let unmade: Vec<&str> = implied
        .filter(|t| !tables.contains(t))
        .map(String::as_str)
        .collect();
    (!unmade.is_empty()).then_some(unmade)
}

/// Returns evidence of an empty revision table beside tables that only later revisions have.
fn stopped_revision(contract: &Contract, database: &Database) -> Option<String> {
    let revision = contract.revision.as_ref()?;
    let opened = database.opened.as_ref()?;
    let has = |t: &str| database.table_names().iter().any(|x| x == t);
    let implied = contract
        .tables_when
        .iter()
        .any(|(key, tables)| has(key) && tables.contains(&revision.table));
    let empty = has(&revision.table)
        && opened.rows.contains_key(&revision.table)
        && opened.revision.is_empty();
    (implied && empty).then(|| format!("`{}` is empty", revision.table))
}

impl Contract {
    /// Returns the tables that must be there and are not.
    #[must_use]
    pub fn missing_tables(&self, tables: &[String]) -> Vec<&str> {
        let has = |t: &String| tables.contains(t);
        let implied = self
            .tables_when
            .iter()
            .filter(|(key, _)| has(key))
            .flat_map(|(_, implied)| implied);
        let mut missing: Vec<&str> = Vec::new();
        for table in self.tables.iter().chain(implied).filter(|t| !has(t)) {
            if !missing.contains(&table.as_str()) {
                missing.push(table);
            }
        }
        missing
    }

    /// Returns rows as people hear them, such as `14 chat, 4 user`: of the tables that the contract speaks of.
    #[must_use]
    pub fn told_rows(&self, rows: &std::collections::BTreeMap<String, u64>) -> String {
        let told = self.telling_rows(rows);
        told.iter()
            .map(|(table, n)| format!("{n} {table}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Returns the rows of the tables that the contract speaks of.
    #[must_use]
    pub fn telling_rows(
        &self,
        rows: &std::collections::BTreeMap<String, u64>,
    ) -> std::collections::BTreeMap<String, u64> {
        let tells =
            |t: &String| self.never_shrink.contains(t) || self.max_shrink_percent.contains_key(t);
        rows.iter()
            .filter(|(t, _)| tells(t))
            .map(|(t, n)| (t.clone(), *n))
            .collect()
    }
}

fn quoted(names: &[&str]) -> String {
    names
        .iter()
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
