//! Judging: from observations and memory to findings and a verdict. Pure; no I/O.

pub mod applications;
pub mod container;
pub mod contract;
pub mod damage;
pub mod drift;
pub mod growth;
mod log;
pub mod presence;
pub mod snapshots;
mod words;

pub use crate::finding::{Finding, FindingId, Severity, Step, Verdict};

use crate::guard::{Guard, Reaction, Store};
use crate::look::observation::{GuardObservation, Place, StoreObservation};
use crate::memory::{KnownRescue, Memory};

/// When a guard is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Somebody asks.
    Report,
    /// Its container is about to start.
    Start,
    /// A switch is about to restart its container.
    Switch,
    /// The folder is a snapshot that is to be proven.
    Proof,
}

/// What a store is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The guard.
    pub guard: &'a Guard,
    /// One of its stores.
    pub store: &'a Store,
    /// What was found of it.
    pub seen: &'a StoreObservation,
    /// What is known from before.
    pub memory: &'a Memory,
    /// When it is judged.
    pub occasion: Occasion,
}

/// Returns what is to be said about a guard.
#[must_use]
pub fn guard(
    guard: &Guard,
    seen: &GuardObservation,
    memory: &Memory,
    occasion: Occasion,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(finding) = presence::folder(guard, seen, memory, occasion) {
        findings.push(finding);
        return findings;
    }
    for (store, seen) in guard.stores.iter().zip(&seen.stores) {
        store_findings(
            &Case {
                guard,
                store,
                seen,
                memory,
                occasion,
            },
            &mut findings,
        );
    }
    findings.extend(presence::legacy_database(guard, seen));
    if let Some(why) = &memory.unknown {
        let what = format!("nothing can be concluded about earlier data: {why}");
        findings.push(Finding::of_guard(
            FindingId::CheckCouldNot,
            Severity::Warn,
            &what,
        ));
    }
    findings
}

/// The questions in their order; once the answer is that there is no database, nothing more is asked of it.
fn store_findings(case: &Case, findings: &mut Vec<Finding>) {
    if case.seen.deadline_hit {
        let what = "the time was not enough to check everything".to_owned();
        findings.push(case.finding(FindingId::CheckDeadline, Severity::Warn, what));
    }
    if let Some(why) = &case.seen.no_room {
        let what = "there is too little room for a private copy: only its bytes were checked";
        let finding = case.finding(FindingId::SpaceLow, Severity::Warn, what.to_owned());
        findings.push(Finding {
            evidence: Some(why.clone()),
            ..finding
        });
    }
    if let Some(why) = &case.seen.could_not {
        findings.push(case.finding(FindingId::CheckCouldNot, Severity::Warn, why.clone()));
    }
    if let Some(finding) = presence::store(case) {
        findings.push(finding);
        return;
    }
    let (Place::File(_) | Place::Folder, Some(database)) = (&case.seen.place, &case.seen.database)
    else {
        applications::judge(case, findings);
        return;
    };
    let before = findings.len();
    damage::judge(case, database, findings);
    if findings[before..]
        .iter()
        .any(|f| f.severity == Severity::Hold)
    {
        return;
    }
    contract::judge(case, database, findings);
    drift::judge(case, database, findings);
    applications::judge(case, findings);
}

impl Case<'_> {
    /// Returns a finding about this store.
    fn finding(&self, id: FindingId, severity: Severity, what: String) -> Finding {
        Finding {
            id,
            severity,
            store: Some(self.store.name.clone()),
            path: Some(self.seen.path.clone()),
            what,
            evidence: None,
            next: Vec::new(),
        }
    }

    /// Returns a finding about this store with its evidence, and the ways out if it holds. A snapshot that is to be
    /// proven has none: what it shows decides whether it is one.
    fn told(
        &self,
        id: FindingId,
        severity: Severity,
        what: String,
        evidence: Option<String>,
    ) -> Finding {
        let has_ways_out = severity == Severity::Hold && self.occasion != Occasion::Proof;
        Finding {
            evidence,
            next: if has_ways_out {
                self.ways_out(id)
            } else {
                Vec::new()
            },
            ..self.finding(id, severity, what)
        }
    }

    /// Returns the ways out of a held finding: back to the newest proven snapshot, or past it once.
    fn ways_out(&self, id: FindingId) -> Vec<Step> {
        let name = self.guard.name.as_str();
        let mut steps: Vec<Step> = former_path(self.memory).into_iter().collect();
        if self
            .memory
            .proven
            .as_ref()
            .is_some_and(|s| s.stores.contains_key(&self.store.name))
        {
            steps.push(Step::new("bring it back", &["restore", name]));
        }
        steps.extend(
            self.memory
                .rescued_of(&self.store.name)
                .map(|rescued| bring_rescue_back(name, rescued)),
        );
        steps.push(allow(name, id));
        steps
    }

    /// Returns what of the store was rescued, for people.
    fn rescued_before(&self) -> Option<String> {
        let rescued = self.memory.rescued_of(&self.store.name)?;
        let tables = match rescued.tables {
            Some(1) => "1 table".to_owned(),
            Some(n) => format!("{n} tables"),
            None => "data".to_owned(),
        };
        Some(format!(
            "on {} one with {tables} was rescued from the container's own layer",
            rescued.taken_at.strftime("%Y-%m-%d %H:%M UTC")
        ))
    }

    /// Returns what is known of the store's rows before, for people.
    fn known_before(&self) -> Option<String> {
        let (when, rows) = match (self.memory.of(&self.store.name), &self.memory.proven) {
            (Some(baseline), _) => (baseline.seen_at, &baseline.last.rows),
            (None, Some(snapshot)) => (snapshot.taken_at, snapshot.stores.get(&self.store.name)?),
            (None, None) => return self.rescued_before(),
        };
        let rows = self.store.contract.told_rows(rows);
        let rows = if rows.is_empty() {
            "data".to_owned()
        } else {
            rows
        };
        let had = format!("on {} it had {rows}", when.strftime("%Y-%m-%d %H:%M UTC"));
        Some(match former_told(self.memory) {
            Some(former) => format!("{former}; {had}"),
            None => had,
        })
    }
}

/// Returns where the data lay until now, if the guard's path was changed.
fn former_told(memory: &Memory) -> Option<String> {
    let former = memory.former.as_ref()?;
    let there = if former.is_there {
        "still"
    } else {
        "no longer"
    };
    Some(format!(
        "until now its data was in `{}`, which is {there} there",
        former.data.display()
    ))
}

/// Returns the step that mends a path which was changed by mistake.
fn former_path(memory: &Memory) -> Option<Step> {
    let former = memory.former.as_ref().filter(|f| f.is_there)?;
    Some(Step::by_hand(format!(
        "set its folder to `{}` again, or move that here",
        former.data.display()
    )))
}

/// Returns the step that brings back what was rescued.
pub(crate) fn bring_rescue_back(guard: &str, rescued: &KnownRescue) -> Step {
    let id = rescued.sequence.to_string();
    Step::new(
        "bring the rescue back",
        &["restore", guard, "--rescue", &id],
    )
}

/// Returns the step that lets a start pass a finding once.
pub(crate) fn allow(guard: &str, id: FindingId) -> Step {
    Step::new(
        "or let it pass once",
        &[
            "allow",
            guard,
            id.as_str(),
            "--reason",
            "I have looked at it",
        ],
    )
}

impl From<Reaction> for Severity {
    fn from(reaction: Reaction) -> Self {
        match reaction {
            Reaction::Hold => Self::Hold,
            Reaction::Warn => Self::Warn,
        }
    }
}
