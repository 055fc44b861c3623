//! Rescues as `list` and `show` tell them.

use aidb_cli::Ui;
use aidb_cli::text::{ago, count, plain, size, when};
use aidb_core::judge::Verdict;
use aidb_core::rescue::{self, Rescue};
use aidb_core::stack::Stack;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::entries::{print_entries, print_facts};
use crate::lacking::Lacking;

/// Lists what was kept of containers' layers.
pub fn list(stack: &Stack, names: &[String], now: Timestamp, ui: &Ui) {
    for rescue in names
        .iter()
        .flat_map(|name| rescue::list(&stack.vault, name).unwrap_or_default())
    {
        let record = &rescue.record;
        let databases: Vec<String> = record
            .telling_databases()
            .map(|d| format!(", database /{}", d.path.as_path().display()))
            .collect();
        ui.line(plain(&format!(
            "rescued {}: {} ({}, {}{})",
            ago(record.taken_at, now),
            rescue.id(),
            count(record.files, "file"),
            size(record.size_bytes),
            databases.concat()
        )));
    }
}

/// Shows what was kept of a container's layer.
pub fn show(stack: &Stack, guard: &str, id: &str, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let guard = stack.guards_past_or_present(&[guard.to_owned()])?.remove(0);
    let rescue = rescue::find(
        &stack.vault,
        &guard.name,
        Some(id).filter(|id| !id.is_empty()),
    )?;
    let record = &rescue.record;
    if ui.is_json() {
        let mut document = document(&rescue);
        document["entries"] = serde_json::to_value(&record.entries)?;
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "rescues": [document] }));
        return Ok(Verdict::Pass);
    }
    let facts = [
        ("rescue", rescue.id()),
        (
            "taken",
            format!("{} ({})", when(record.taken_at), record.reason),
        ),
        (
            "container",
            format!("{} {}", record.container, record.container_id),
        ),
        ("image", record.image_id.clone().unwrap_or_default()),
        (
            "files",
            format!(
                "{}, {}",
                count(record.files, "file"),
                size(record.size_bytes)
            ),
        ),
        ("folder", rescue.path.to_string_lossy().into_owned()),
    ];
    print_facts(facts, ui);
    for finding in rescue::findings(&rescue) {
        aidb_cli::render::print_finding(ui, &guard.name, &finding);
    }
    print_entries(&record.entries, "/", ui);
    Lacking::from(record).show(ui);
    Ok(Verdict::Pass)
}

/// Returns a rescue as `--json` shows it.
pub fn document(rescue: &Rescue) -> Value {
    let record = &rescue.record;
    json!({
        "id": rescue.id(), "guard": record.guard, "container": record.container, "container_id": record.container_id,
        "reason": record.reason, "taken_at": record.taken_at, "files": record.files, "size_bytes": record.size_bytes,
        "took_ms": record.took_ms, "databases": record.databases, "left_out": record.left_out, "gaps": record.gaps,
        "unsteady": record.unsteady, "frozen_ms": record.frozen_ms, "deleted": record.deleted,
    })
}

/// Returns the rescues of guards as `--json` shows them.
pub fn documents(stack: &Stack, names: &[String]) -> Vec<Value> {
    names
        .iter()
        .flat_map(|name| rescue::list(&stack.vault, name).unwrap_or_default())
        .map(|rescue| document(&rescue))
        .collect()
}
