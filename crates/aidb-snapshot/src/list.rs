//! `list` and `show`.

use aidb_cli::text::{ago, count, plain, size, when, wrapped};
use aidb_cli::{Common, Ui, snapshots};
use aidb_core::judge::Verdict;
use aidb_core::manifest::Entry;
use aidb_core::stack::{Kept, Stack};
use aidb_core::vault::Archive;
use aidb_core::vault::proof::Proof;
use jiff::Timestamp;
use serde_json::json;

use crate::entries::{print_entries, print_facts};
use crate::lacking::Lacking;
use crate::lines::{Line, table};
use crate::rescues;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Guard whose snapshots to list, or any unambiguous part of its name (without one, all of them)
    #[arg(value_name = "GUARD")]
    guards: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// Snapshot to show: GUARD/ID, a prefix of it, or GUARD for its newest proven one
    snapshot: String,
}

pub fn list(common: &Common, args: &ListArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let stack = Stack::open(common.config.as_deref())?;
    let names: Vec<String> = if args.guards.is_empty() {
        stack.vault.guards()?
    } else {
        stack
            .guards_past_or_present(&args.guards)?
            .into_iter()
            .map(|g| g.name)
            .collect()
    };
    let now = Timestamp::now();
    let mut lines = Vec::new();
    let mut documents = Vec::new();
    for name in &names {
        for snapshot in stack.vault.each_snapshot(name)? {
            let snapshot = snapshot?;
            // Of ten thousand only what is printed is held.
            if ui.is_json() {
                documents.push(snapshots::document(&snapshot));
                continue;
            }
            let manifest_stores = snapshot.proof.iter().flat_map(|p| &p.stores);
            let rows_told = stack
                .settings
                .guards
                .iter()
                .find(|g| g.name == *name)
                .map_or_else(String::new, |guard| {
                    let told = manifest_stores.filter_map(|proof| {
                        let store = guard.stores.iter().find(|s| s.name == proof.name)?;
                        Some(store.contract.told_rows(&proof.seen.rows)).filter(|t| !t.is_empty())
                    });
                    told.collect::<Vec<_>>().join(", ")
                });
            let summary = &snapshot.summary;
            lines.push(Line {
                id: snapshot.id(),
                number: format!("{name}/{}", snapshot.name.sequence),
                reason: summary.reason.clone(),
                taken: when(summary.taken_at),
                ago: ago(summary.taken_at, now),
                state: snapshots::state(&snapshot).to_owned(),
                size: size(summary.size_bytes),
                rows: rows_told,
                pairing: summary.pairing.clone(),
            });
        }
        for archive in stack.vault.archives(name)? {
            if ui.is_json() {
                documents.push(snapshots::archived(&archive));
                continue;
            }
            let head = archive.head().ok();
            let taken_at = head.as_ref().map(|h| h.summary.taken_at);
            lines.push(Line {
                id: archive.id(),
                number: format!("{name}/{}", archive.name.sequence),
                reason: archive.name.reason().to_owned(),
                taken: taken_at.map(when).unwrap_or_default(),
                ago: taken_at.map(|at| ago(at, now)).unwrap_or_default(),
                state: match &head {
                    Some(_) => snapshots::state_of_archive(&archive).to_owned(),
                    None => "damaged".to_owned(),
                },
                size: size(archive.size_bytes),
                rows: String::new(),
                pairing: head.map(|h| h.summary.pairing).unwrap_or_default(),
            });
        }
    }
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "snapshots": documents,
            "rescues": rescues::documents(&stack, &names) }));
    } else if lines.is_empty() {
        ui.line(format!(
            "no snapshots in `{}`",
            plain(&stack.vault.root().to_string_lossy())
        ));
    } else {
        ui.line(table(&lines, ui.width()).trim_end());
    }
    rescues::list(&stack, &names, now, ui);
    crate::undo::list_put_asides(&stack, &names, ui);
    Ok(Verdict::Pass)
}

pub fn show(common: &Common, args: &ShowArgs, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let stack = Stack::open(common.config.as_deref())?;
    if let Some((guard, id)) = args.snapshot.split_once("/rescue") {
        return rescues::show(&stack, guard, id.trim_start_matches('/'), ui);
    }
    let snapshot = match stack.kept(&args.snapshot)? {
        Kept::Snapshot(snapshot) => *snapshot,
        Kept::Archive(archive) => return show_archive(&archive, ui),
    };
    let manifest = snapshot.manifest()?;
    if ui.is_json() {
        let mut document = snapshots::document(&snapshot);
        document["entries"] = serde_json::to_value(&manifest.entries)?;
        document["gaps"] = serde_json::to_value(&snapshot.summary.gaps)?;
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "snapshots": [document] }));
        return Ok(Verdict::Pass);
    }
    let summary = &snapshot.summary;
    let facts = [
        ("snapshot", snapshot.id()),
        (
            "taken",
            format!("{} ({})", when(summary.taken_at), summary.reason),
        ),
        ("state", snapshots::state(&snapshot).to_owned()),
        (
            "suspicious",
            snapshot.suspicious().unwrap_or_default().to_owned(),
        ),
        (
            "schema revision",
            snapshots::revision(&snapshot).unwrap_or_default(),
        ),
        ("image", summary.pairing.image.clone().unwrap_or_default()),
        (
            "image digest",
            summary.pairing.image_digest.clone().unwrap_or_default(),
        ),
        (
            "generation",
            summary
                .pairing
                .generation
                .as_ref()
                .map(|g| g.to_string_lossy().into_owned())
                .unwrap_or_default(),
        ),
        (
            "files",
            format!(
                "{}, {}",
                count(summary.files, "file"),
                size(summary.size_bytes)
            ),
        ),
        ("folder", snapshot.path.to_string_lossy().into_owned()),
    ];
    print_facts(facts, ui);
    Lacking::from(summary).show(ui);
    print_content(snapshot.proof.as_ref(), &manifest.entries, ui);
    Ok(Verdict::Pass)
}

fn show_archive(archive: &Archive, ui: &Ui) -> anyhow::Result<Verdict> {
    let (manifest, proof) = archive.manifest()?;
    if ui.is_json() {
        let mut document = snapshots::archived(archive);
        document["entries"] = serde_json::to_value(&manifest.entries)?;
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": Verdict::Pass, "snapshots": [document] }));
        return Ok(Verdict::Pass);
    }
    let summary = &manifest.summary;
    let facts = [
        ("archive", archive.id()),
        (
            "taken",
            format!("{} ({})", when(summary.taken_at), summary.reason),
        ),
        ("state", snapshots::state_of_archive(archive).to_owned()),
        ("image", summary.pairing.image.clone().unwrap_or_default()),
        (
            "files",
            format!(
                "{}, {}, as {}",
                count(summary.files, "file"),
                size(summary.size_bytes),
                size(archive.size_bytes)
            ),
        ),
        ("file", archive.path.to_string_lossy().into_owned()),
    ];
    print_facts(facts, ui);
    print_content(Some(&proof), &manifest.entries, ui);
    Ok(Verdict::Pass)
}

/// Prints what the proof saw, and every file.
fn print_content(proof: Option<&Proof>, entries: &[Entry], ui: &Ui) {
    for store in proof.iter().flat_map(|p| &p.stores) {
        let rows: Vec<String> = store
            .seen
            .rows
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(t, n)| format!("{n} {t}"))
            .collect();
        let rows = if rows.is_empty() {
            String::new()
        } else {
            format!(": {}", rows.join(", "))
        };
        let told = plain(&format!("{} ({} check){rows}", store.name, store.checked));
        ui.line(wrapped(&told, ui.width(), 2));
    }
    print_entries(entries, "", ui);
}
