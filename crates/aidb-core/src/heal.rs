//! Healing at start: moving a never-initialised database aside, and what the policy for damage says. Nothing is deleted.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::capture::Root;
use crate::capture::pin::sidecar;
use crate::error::{IoContext, Result, told};
use crate::guard::Guard;
use crate::judge::{Finding, FindingId, Severity};
use crate::ledger;
use crate::lock::{Lock, Mode};
use crate::stack::Stack;
use crate::vault::lock::PATIENCE;
use crate::vault::restore;

/// Moves a database and what belongs to it to names beside it: `webui.db` to `webui.db.empty-TIME`, `webui.db-wal` to
/// `webui.db.empty-TIME-wal`. Returns the new path of the main file.
///
/// The companions go first: killed in between, this leaves an empty main file without a log, which the next run moves.
/// The other way round a log would lie beside the application's new database, and be applied to it.
pub fn quarantine(root: &Root, relative: &Path, now: Timestamp) -> Result<PathBuf> {
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let parent = relative.parent().unwrap_or(Path::new(""));
    let folder_path = root.path().join(parent);
    let folder = root
        .open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY)
        .doing("open", &folder_path)?;
    let mut number = 0;
    let aside = loop {
        let mut name = relative.as_os_str().to_owned();
        name.push(format!(".empty-{stamp}"));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        let aside = PathBuf::from(name);
        if root
            .stat(&aside)
            .doing("look at", &root.path().join(&aside))?
            .is_none()
        {
            break aside;
        }
        number += 1;
    };
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let (from, to) = (sidecar(relative, suffix), sidecar(&aside, suffix));
        let (Some(from_name), Some(to_name)) = (from.file_name(), to.file_name()) else {
            continue;
        };
        match renameat_with(&folder, from_name, &folder, to_name, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(Errno::NOENT) if !suffix.is_empty() => {}
            Err(e) => return Err(e).doing("move aside", &root.path().join(&from)),
        }
    }
    rustix::fs::fsync(&folder).doing("sync the folder", &folder_path)?;
    Ok(root.path().join(aside))
}

/// What the policy for damage speaks of.
const DAMAGE: [FindingId; 12] = [
    FindingId::SqliteNotSqlite,
    FindingId::SqliteTruncated,
    FindingId::SqliteDamaged,
    FindingId::SqliteIndexDisagrees,
    FindingId::SqliteWalForeign,
    FindingId::SqliteJournalForeign,
    FindingId::ChromaIndexMissing,
    FindingId::ChromaIndexTruncated,
    FindingId::OllamaNoManifests,
    FindingId::QdrantSegmentBad,
    FindingId::QdrantJsonBad,
    FindingId::QdrantWalBad,
];

pub(crate) fn is_damaged(findings: &[Finding]) -> bool {
    findings
        .iter()
        .any(|f| f.severity == Severity::Hold && DAMAGE.contains(&f.id))
}

/// For how long after a restore by policy there is no other: a disk that goes on damaging would fill up with what was
/// put aside, and nobody would look at it.
const BRAKE: SignedDuration = SignedDuration::from_hours(24);

/// What came of the policy to restore.
pub(crate) enum Healed {
    /// It was done.
    Restored(Finding),
    /// It was not done, and why.
    Braked(String),
}

/// Returns why the policy does not restore once more.
fn brake(stack: &mut Stack, guard: &Guard) -> Option<String> {
    let events = match stack.ledger().and_then(|ledger| ledger.events(&guard.name)) {
        Ok(events) => events,
        Err(e) => {
            let why = told(&e);
            return Some(format!(
                "not restored by policy: whether that was done lately cannot be found out: {why}"
            ));
        }
    };
    let is_by_policy = |e: &&ledger::Event| e.kind == "restore" && e.detail.ends_with(BY_POLICY);
    let last = events.iter().rev().find(is_by_policy)?;
    let age = Timestamp::now().duration_since(last.at);
    (age < BRAKE).then(|| {
        format!(
            "not restored by policy once more: that was done on {}, and it is damaged again; look at the disk",
            last.at.strftime("%Y-%m-%d %H:%M UTC")
        )
    })
}

/// How the ledger tells a restore by policy.
const BY_POLICY: &str = ", by policy";

/// Adds to what is said of the damage.
pub(crate) fn add_evidence(findings: &mut [Finding], why: &str) {
    let of_damage = |f: &&mut Finding| f.severity == Severity::Hold && DAMAGE.contains(&f.id);
    if let Some(finding) = findings.iter_mut().find(of_damage) {
        let evidence = finding.evidence.take().map(|e| format!("{e}; "));
        finding.evidence = Some(evidence.unwrap_or_default() + why);
    }
}

/// Restores by policy: what is damaged is put aside, never deleted.
pub(crate) fn restore_newest(stack: &mut Stack, guard: &Guard) -> Result<Healed> {
    if let Some(why) = brake(stack, guard) {
        return Ok(Healed::Braked(why));
    }
    let lock = Lock::guard(&stack.vault, &guard.name, Mode::Exclusive, PATIENCE)?;
    let snapshot = stack.snapshot(&guard.name)?;
    let options = restore::Options {
        btrfs: stack.btrfs(),
        ..restore::Options::default()
    };
    let restored = restore::restore(&stack.vault, guard, &snapshot, &options)?;
    drop(lock);
    if let Ok(ledger) = stack.ledger() {
        let _ = ledger.note_replaced(
            &guard.name,
            "restore",
            &format!("{}{BY_POLICY}", snapshot.id()),
        );
    }
    let what = format!(
        "the data was damaged and was restored from `{}`, as the policy says",
        snapshot.id()
    );
    let kept = restored
        .put_aside
        .map(|p| format!("what was there is kept: `{}`", p.display()));
    Ok(Healed::Restored(Finding {
        evidence: kept,
        ..Finding::of_guard(FindingId::SqliteDamaged, Severity::Warn, &what)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_companions_move_with_their_database_and_keep_belonging_to_it() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "webui.db",
            "webui.db-wal",
            "webui.db-shm",
            "other.db",
            "webui.db.empty-20261123T060311Z",
        ] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        let now = "2026-11-23T06:03:11Z".parse().unwrap();
        let aside = quarantine(&root, Path::new("webui.db"), now).unwrap();
        assert_eq!(
            aside,
            folder.path().join("webui.db.empty-20261123T060311Z-1")
        );
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "other.db",
                "webui.db.empty-20261123T060311Z",
                "webui.db.empty-20261123T060311Z-1",
                "webui.db.empty-20261123T060311Z-1-shm",
                "webui.db.empty-20261123T060311Z-1-wal",
            ]
        );
        assert_eq!(std::fs::read_to_string(aside).unwrap(), "webui.db");
    }
}
