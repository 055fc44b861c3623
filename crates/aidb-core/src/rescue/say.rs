//! What a rescue means to the person: a database in a layer is the loss that this program was made against.

use super::kept::Rescue;
use crate::judge::{Finding, FindingId, Severity, Step};
use crate::words::first_few;

/// Returns what is to be said about a rescue.
#[must_use]
pub fn findings(rescue: &Rescue) -> Vec<Finding> {
    let record = &rescue.record;
    let guard = record.guard.as_str();
    let show = Step::new("see what it holds", &["show", &rescue.id()]);
    let databases: Vec<_> = record.telling_databases().collect();
    if databases.is_empty() {
        return vec![Finding {
            evidence: Some(format!("kept as `{}`", rescue.id())),
            next: vec![show],
            ..Finding::of_guard(
                FindingId::LayerWrites,
                Severity::Warn,
                "the container wrote outside its volumes, and what it wrote goes with it",
            )
        }];
    }
    let is_kept = |path| record.entries.iter().any(|e| e.path == path);
    let named = first_few(
        databases.iter().map(|d| {
            let tables = d
                .tables
                .map_or_else(|| "unreadable".to_owned(), |n| format!("{n} tables"));
            let kept = if is_kept(d.path.clone()) {
                ""
            } else {
                ", NOT KEPT"
            };
            let kib = d.size_bytes.div_ceil(1024);
            format!(
                "`/{}` ({tables}, {kib} KiB{kept})",
                d.path.as_path().display()
            )
        }),
        ", ",
    );
    let id = rescue.name.sequence.to_string();
    let back = Step::new(
        "put it into the data folder",
        &["restore", guard, "--rescue", &id],
    );
    vec![Finding {
        evidence: Some(format!("{named}; kept as `{}`", rescue.id())),
        next: vec![back, show],
        ..Finding::of_guard(
            FindingId::LayerDatabase,
            Severity::Warn,
            "a database lies in the container's own layer and goes with it",
        )
    }]
}
