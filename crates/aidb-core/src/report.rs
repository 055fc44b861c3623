//! What a tool answers about a guard: the same facts for people and for `--json`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Verdict};
use crate::guard::StoreKind;
use crate::look::observation::Checked;

/// The answer about one guard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardReport {
    /// The guard's name.
    pub name: String,
    /// The worst of its findings.
    pub verdict: Verdict,
    /// What was judged, worst first.
    pub findings: Vec<Finding>,
    /// What was seen, healthy or not.
    pub stores: Vec<StoreReport>,
}

impl GuardReport {
    /// Returns a report; its verdict is the worst of the findings.
    #[must_use]
    pub fn new(name: &str, mut findings: Vec<Finding>, stores: Vec<StoreReport>) -> Self {
        findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
        Self {
            name: name.to_owned(),
            verdict: verdict_of(&findings),
            findings,
            stores,
        }
    }
}

/// Returns the verdict that findings add up to.
#[must_use]
pub fn verdict_of(findings: &[Finding]) -> Verdict {
    Verdict::over(findings.iter().map(Finding::verdict))
}

/// What was seen of one store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreReport {
    /// The store's name.
    pub name: String,
    /// Its format.
    pub kind: StoreKind,
    /// Its main file or folder.
    pub path: PathBuf,
    /// Sizes of its files added up.
    pub size_bytes: Option<u64>,
    /// Pages of the database as of the last commit.
    pub pages: Option<u64>,
    /// Number of tables.
    pub tables: Option<u64>,
    /// Rows of the tables that its contract speaks of.
    pub rows: std::collections::BTreeMap<String, u64>,
    /// The schema's revision.
    pub schema_revision: Option<String>,
    /// `wal` or `rollback`.
    pub journal: Option<String>,
    /// How far it was checked.
    pub checked: Checked,
}
