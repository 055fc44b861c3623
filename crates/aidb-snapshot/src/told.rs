//! What is said of restores: what one would do, what it did; and of what was cleared up.

use std::path::{Path, PathBuf};

use aidb_cli::Ui;
use aidb_cli::text::{count, plain, size, took, when};
use aidb_cli::ui::Style;
use aidb_core::guard::Guard;
use aidb_core::vault::Snapshot;
use aidb_core::vault::restore::{Plan, Restored};

use crate::choose::Ready;

/// Returns the words for where the files go, if not to the data folder.
fn elsewhere(to: Option<&Path>) -> String {
    to.map(|to| format!(" to `{}`", to.display()))
        .unwrap_or_default()
}

/// Says what would be restored.
pub fn plan(ui: &Ui, ready: &Ready, plan: &Plan, to: Option<&Path>) {
    let what = format!("{}, {}", count(plan.files, "file"), size(plan.size_bytes));
    ui.line(plain(&format!(
        "would restore {} from {}{} ({what})",
        ready.guard.name,
        ready.id,
        elsewhere(to)
    )));
    if let Some(aside) = &plan.put_aside {
        ui.line(plain(&format!(
            "would keep what is there now as `{}`",
            aside.display()
        )));
    }
    for path in &plan.carried_over {
        ui.line(plain(&format!(
            "would carry over `{}`, which no snapshot holds",
            path.display()
        )));
    }
    for user in &plan.users {
        ui.line(ui.paint(Style::Warn, &plain(&format!("in use: {user}"))));
    }
}

/// Says what was restored, and how to undo it.
pub fn restored(
    ui: &Ui,
    guard: &Guard,
    snapshot: &Snapshot,
    restored: &Restored,
    to: Option<&Path>,
) {
    let state = aidb_cli::snapshots::state(snapshot);
    let what = format!(
        "{}, {}",
        count(restored.files, "file"),
        size(restored.size_bytes)
    );
    let taken = when(snapshot.summary.taken_at);
    ui.line(plain(&format!(
        "restored {} from {taken} ({state}){}: {what}, in {}",
        guard.name,
        elsewhere(to),
        took(restored.took)
    )));
    if let Some(aside) = &restored.put_aside {
        ui.line(plain(&format!(
            "what was there is kept: `{}`",
            aside.display()
        )));
        ui.line(format!(
            "undo: {}",
            ui.command(&["undo".into(), guard.name.clone()])
        ));
    }
    for path in &restored.carried_over {
        ui.step(plain(&format!(
            "carried over `{}`, which no snapshot holds",
            path.display()
        )));
    }
    for path in &restored.special_skipped {
        ui.note(plain(&format!(
            "note: `{}` is a pipe, socket or device, and is not made again",
            path.display()
        )));
    }
    if restored.unhashed > 0 {
        ui.note(format!(
            "note: {} had no hash to be compared with",
            count(restored.unhashed, "file")
        ));
    }
    for note in &restored.notes {
        ui.note(plain(&format!("note: {note}")));
    }
}

/// Says which half-made files of killed runs are gone.
pub fn cleared(ui: &Ui, files: &[PathBuf]) {
    for file in files {
        ui.note(plain(&format!(
            "cleared `{}`, which an interrupted run had left half-made",
            file.display()
        )));
    }
}
