//! Taking a snapshot: capture into staging, write the manifest, publish. It is unproven until `prove` opened it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::layout::{Snapshot, Vault};
use super::lock::{Lock, Mode, Staging};
use super::manifest::{FORMAT, Gap, Kind, Manifest, Pairing, Summary};
use super::name::SnapshotName;
use super::publish::{publish, write_json};
use crate::capture::walk::Exclude;
use crate::capture::{Captured, Root, tree};
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;

/// What is to be taken.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Of which guard.
    pub guard: &'a Guard,
    /// Why, as the user or the hook says it.
    pub reason: &'a str,
    /// How long to wait for locks: the guard's, and an application's.
    pub patience: Duration,
    /// What runs on the data, as far as it is known.
    pub pairing: Pairing,
    /// Why the state is suspicious, if the source is held.
    pub suspicious: Option<String>,
    /// The systemd invocation of the unit that is stopping, if one is.
    pub invocation: Option<String>,
}

/// Takes a snapshot of a guard's data folder.
///
/// # Errors
/// [`Error::Busy`] if another run holds the guard, or an application a database; [`Error::CouldNot`] if the disk is
/// full; [`Error::Io`] if the data folder cannot be opened. In every case the vault is as before.
pub fn take(vault: &Vault, request: &Request) -> Result<Snapshot> {
    let guard = request.guard;
    let began = Instant::now();
    let taken_at = Timestamp::now();
    let root = Root::open(&guard.data)?;
    refuse_vault_inside(vault, &root)?;
    let _lock = Lock::guard(vault, &guard.name, Mode::Exclusive, request.patience)?;
    let staging = Staging::new(vault, &format!("take-{}", guard.name))?;
    let staged = staging.path().join("snapshot");
    Vault::make_folder(&staged)?;
    let exclude = Exclude::new(&guard.exclude)?;
    let left = request.patience.saturating_sub(began.elapsed());
    let captured =
        tree(&root, &exclude, &staged.join("data"), left).map_err(|e| tell_full_disk(e, vault))?;
    protect(&staged.join("data"), &captured)?;

    let sequence = vault.highest_sequence(&guard.name)? + 1;
    let name = SnapshotName::new(sequence, taken_at, request.reason);
    let manifest = manifest(request, sequence, taken_at, began, captured);
    write_json(&staged.join("manifest.json"), &manifest).map_err(|e| tell_full_disk(e, vault))?;
    let path = vault.guard_folder(&guard.name).join(name.to_string());
    publish(&staged, &path).map_err(|e| tell_full_disk(e, vault))?;
    Snapshot::open(name, path.clone())?.ok_or_else(|| Error::CouldNot {
        what: format!("`{}` was published and cannot be read back", path.display()),
        hint: None,
    })
}

fn manifest(
    request: &Request,
    sequence: u64,
    taken_at: Timestamp,
    began: Instant,
    captured: Captured,
) -> Manifest {
    let local = taken_at.to_zoned_datetime(TimeZone::system());
    let files = captured
        .entries
        .iter()
        .filter(|e| matches!(e.kind, Kind::File { .. }))
        .count() as u64;
    let summary = Summary {
        format: FORMAT,
        sequence,
        guard: request.guard.name.clone(),
        reason: request.reason.to_owned(),
        taken_at,
        local_date: local.date(),
        local_offset: local.strftime("%:z").to_string(),
        invocation: request.invocation.clone(),
        pairing: request.pairing.clone(),
        suspicious: request.suspicious.clone(),
        files,
        size_bytes: captured.size_bytes,
        new_bytes: captured.new_bytes,
        blocked_ms: milliseconds(captured.blocked),
        took_ms: milliseconds(began.elapsed()),
        gaps: captured
            .gaps
            .into_iter()
            .map(|(path, why)| Gap {
                path: path.into(),
                why,
            })
            .collect(),
        unsteady: captured.unsteady.into_iter().map(Into::into).collect(),
        imported: false,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Manifest {
        summary,
        settings: request.guard.clone(),
        entries: captured.entries,
    }
}

/// A vault inside the data folder would capture itself.
fn refuse_vault_inside(vault: &Vault, root: &Root) -> Result<()> {
    let data = std::fs::canonicalize(root.path()).doing("look at", root.path())?;
    let place = nearest_existing(vault.root());
    let place = std::fs::canonicalize(&place).doing("look at", &place)?;
    if !place.starts_with(&data) {
        return Ok(());
    }
    Err(Error::Settings {
        file: None,
        what: format!(
            "/vault: expected a folder outside of the data, found `{}` inside of `{}`",
            vault.root().display(),
            root.path().display()
        ),
        hint: Some("choose another `vault`, on the same filesystem if it can be".into()),
    })
}

/// Returns the path, or the closest folder above it that exists.
pub(crate) fn nearest_existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// Takes away the permission to write to what was kept. The modes to restore stand in the manifest.
fn protect(data: &Path, captured: &Captured) -> Result<()> {
    for entry in &captured.entries {
        if matches!(entry.kind, Kind::File { .. }) {
            let path = data.join(entry.path.as_path());
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400))
                .doing("protect", &path)?;
        }
    }
    Ok(())
}

/// Says how much is free where a write failed for lack of space.
fn tell_full_disk(error: Error, vault: &Vault) -> Error {
    let full = |e: &std::io::Error| {
        matches!(
            e.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        )
    };
    match &error {
        Error::Io { source, .. } if full(source) => {}
        _ => return error,
    }
    let free = free_bytes(vault.root()).map_or_else(String::new, |free| {
        format!(", found {} MiB free", free >> 20)
    });
    Error::CouldNot {
        what: format!(
            "the disk of the vault `{}` is full{free}; nothing was kept, and nothing was lost",
            vault.root().display()
        ),
        hint: Some("free some space, lower `keep`, or move `vault`".into()),
    }
}

/// Returns how many bytes an ordinary user may still write where `path` lies.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(nearest_existing(path)).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
