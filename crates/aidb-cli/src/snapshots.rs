//! Snapshots as people and programs read them.

use aidb_core::vault::{Archive, Snapshot};
use serde_json::{Value, json};

/// Returns a snapshot as `--json` shows it.
#[must_use]
pub fn document(snapshot: &Snapshot) -> Value {
    let summary = &snapshot.summary;
    json!({
        "id": snapshot.id(),
        "guard": summary.guard,
        "reason": summary.reason,
        "taken_at": summary.taken_at,
        "proven": snapshot.is_proven(),
        "refused": snapshot.refused.is_some(),
        "suspicious": snapshot.suspicious(),
        "files": summary.files,
        "size_bytes": summary.size_bytes,
        "new_bytes": summary.new_bytes,
        "blocked_ms": summary.blocked_ms,
        "took_ms": summary.took_ms,
        "image": summary.pairing.image,
        "image_digest": summary.pairing.image_digest,
        "generation": summary.pairing.generation,
        "schema_revision": revision(snapshot),
    })
}

/// Returns the schema's revision that the proof saw.
#[must_use]
pub fn revision(snapshot: &Snapshot) -> Option<String> {
    snapshot
        .proof
        .as_ref()?
        .stores
        .iter()
        .find_map(|s| s.seen.revision.first().cloned())
}

/// Returns one word for what a snapshot is worth.
#[must_use]
pub fn state(snapshot: &Snapshot) -> &'static str {
    match (&snapshot.proof, &snapshot.refused, snapshot.suspicious()) {
        (Some(_), _, Some(_)) => "suspicious",
        (Some(_), _, None) => "proven",
        (None, Some(_), _) => "refused",
        (None, None, _) => "unproven",
    }
}

/// Returns an archive as `--json` shows it.
#[must_use]
pub fn archived(archive: &Archive) -> Value {
    let head = archive.head().ok();
    let summary = head.as_ref().map(|h| &h.summary);
    json!({
        "id": archive.id(),
        "guard": archive.guard,
        "archive": archive.path,
        "archive_bytes": archive.size_bytes,
        "reason": archive.name.reason(),
        "taken_at": summary.map(|s| s.taken_at),
        "proven": head.is_some() && !archive.damaged,
        "damaged": archive.damaged,
        "files": summary.map(|s| s.files),
        "size_bytes": summary.map(|s| s.size_bytes),
        "image": summary.and_then(|s| s.pairing.image.clone()),
    })
}

/// Returns one word for what an archive is worth.
#[must_use]
pub fn state_of_archive(archive: &Archive) -> &'static str {
    if archive.damaged {
        "damaged"
    } else {
        "archive"
    }
}
