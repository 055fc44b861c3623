//! Proving: opening a snapshot, folding its logs, hashing it, holding it against its contract. Works on the copy only.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::layout::{DAMAGED, Snapshot, Vault};
use super::proof::{Proof, StoreProof};
use super::publish::{sync_folder, write_durably, write_json};
use super::replace;
use crate::capture::Root;
use crate::capture::blobs::Blobs;
use crate::capture::copy::transfer;
use crate::capture::pin::{companions, sidecar};
use crate::catalog::Catalog;
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::judge::{self, Finding, FindingId, Occasion, Severity};
use crate::lock::{Lock, Mode};
use crate::look::application::Terms;
use crate::look::content::{self, hash};
use crate::look::observation::{Checked, GuardObservation, Place};
use crate::look::ollama::Hashed;
use crate::look::reading::{AtRest, at_rest, holds_bytes};
use crate::look::seen::Seen;
use crate::look::{Depth, sqlite::Examiner};
use crate::look::{Way, Where, scan};
use crate::manifest::{FORMAT, How, Kind, Manifest};
use crate::memory::Memory;

/// What proving needs beside the snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who opens databases.
    pub examiner: &'a Examiner,
    /// What is known from before, to tell a shrunken state.
    pub memory: &'a Memory,
    /// How long to wait for the guard's lock.
    pub patience: Duration,
    /// For how long SQLite may work.
    pub deadline: Duration,
}

/// Opens, folds, hashes and judges a snapshot, and writes `proof.json`, or `refused.json` if it did not meet its
/// contract. A snapshot that is proven already is left as it is.
///
/// # Errors
/// [`Error::Busy`] if another run holds the guard; [`Error::CouldNot`] if the checks could not be made: then the
/// snapshot stays as it was, and can be proven later.
pub fn prove(vault: &Vault, snapshot: &Snapshot, request: &Request) -> Result<Snapshot> {
    let guard = &snapshot.summary.guard;
    let _lock = Lock::guard(vault, guard, Mode::Exclusive, request.patience)?;
    let again = |path: &Path| {
        Snapshot::open(snapshot.name.clone(), path.to_owned())?.ok_or_else(|| Error::CouldNot {
            what: format!("`{}` is no longer there", snapshot.id()),
            hint: None,
        })
    };
    // Another run may have been first, or removed it.
    let snapshot = again(&snapshot.path)?;
    // What has rotted is not proven anew: its bytes would become the truth.
    if snapshot.is_proven() || snapshot.path.join(DAMAGED).exists() {
        return Ok(snapshot);
    }
    let mut manifest = snapshot.manifest()?;
    let data = snapshot.data();
    let databases = databases(&data, &manifest)?;
    part_with_others(&data, &databases)?;
    set_mode(&data, &databases, 0o600)?;
    let before = at_rest_of(&data, &databases);
    let way = Way {
        examiner: request.examiner,
        depth: Depth::Full,
        deadline: Instant::now() + request.deadline,
        place: Where::Ours,
        standing: None,
        damage_stands: false,
        mount: Catalog::builtin()
            .mount(&manifest.settings)
            .map(|mount| (mount, data.as_path())),
    };
    let mut seen = scan::guard(&manifest.settings, &data, &way);
    if let Some(why) = could_not(&seen) {
        // The databases stay writable, by which is seen that they may be folded and the manifest does not know it.
        return Err(Error::CouldNot {
            what: format!("`{}` could not be checked: {why}", snapshot.id()),
            hint: None,
        });
    }
    let known = hashed_on_the_way(&manifest.settings, &data, &seen, &before);
    let blobs = refresh(&mut manifest, &data, &databases, &known)?;
    note_blobs(&mut seen, &manifest, &blobs);
    write_durably(&snapshot.path.join("manifest.json"), &manifest.text()?)?;
    set_mode(&data, &databases, 0o400)?;

    let proof = judge(&snapshot, &manifest, &seen, request.memory)?;
    let met = proof.findings.iter().all(|f| f.severity < Severity::Hold);
    let (write, remove) = if met {
        ("proof.json", "refused.json")
    } else {
        ("refused.json", "proof.json")
    };
    write_json(&snapshot.path.join(write), &proof)?;
    match std::fs::remove_file(snapshot.path.join(remove)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).doing("remove", &snapshot.path.join(remove));
        }
        _ => sync_folder(&snapshot.path)?,
    }
    let proven = again(&snapshot.path)?;
    replace::older_of_same_stop(vault, &proven)?;
    Ok(proven)
}

fn could_not(seen: &GuardObservation) -> Option<String> {
    if let Place::Unreadable(why) = &seen.folder {
        return Some(why.clone());
    }
    seen.stores.iter().find_map(|s| {
        let late = s
            .deadline_hit
            .then(|| format!("`{}`: the time was not enough", s.name));
        s.could_not
            .as_ref()
            .map(|why| format!("`{}`: {why}", s.name))
            .or(late)
    })
}

/// Returns the main files of the stores' databases that the snapshot has.
fn databases(data: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>> {
    let root = Root::open(data)?;
    let stores = manifest
        .settings
        .stores
        .iter()
        .filter_map(scan::database_file);
    Ok(stores
        .filter(
            |file| matches!(root.open_file(file), Ok(f) if f.metadata().is_ok_and(|m| m.len() > 0)),
        )
        .collect())
}

/// Gives a database that has something to fold an inode of its own: folding through a link would change another
/// snapshot.
fn part_with_others(data: &Path, databases: &[PathBuf]) -> Result<()> {
    for main in databases.iter().map(|d| data.join(d)) {
        let metadata = std::fs::metadata(&main).doing("look at", &main)?;
        let has_log = companions(&main).iter().any(|c| holds_bytes(c));
        if metadata.nlink() == 1 || !has_log {
            continue;
        }
        let own = sidecar(&main, ".aidb-own");
        let copied = File::open(&main).and_then(|source| {
            let copy = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&own)?;
            transfer(&source, &copy)?;
            copy.sync_all()?;
            std::fs::rename(&own, &main)
        });
        copied.doing("copy", &main)?;
    }
    Ok(())
}

/// Returns what tells that nothing wrote to a main file, of those that nothing is folded into. Of the others no time tells:
/// a filesystem may count whole seconds, and the copy is younger than that.
fn at_rest_of(data: &Path, databases: &[PathBuf]) -> HashMap<PathBuf, AtRest> {
    let paths = databases.iter().map(|d| data.join(d));
    paths
        .filter_map(|p| at_rest(&p).map(|state| (p, state)))
        .collect()
}

/// Returns the hashes of main files that were made while they were read for the checks, before nothing or after
/// everything was folded into them.
fn hashed_on_the_way(
    guard: &Guard,
    data: &Path,
    seen: &GuardObservation,
    before: &HashMap<PathBuf, AtRest>,
) -> HashMap<PathBuf, String> {
    let hashed = guard.stores.iter().filter_map(|store| {
        let path = data.join(scan::database_file(store)?);
        let seen = seen.stores.iter().find(|s| s.name == store.name)?;
        let database = seen.database.as_ref()?;
        if let Some(folded) = database.folded_blake3.clone() {
            return Some((path, folded));
        }
        let hash = database.main_blake3.clone()?;
        let then = before.get(&path)?;
        (at_rest(&path)? == *then).then_some((path, hash))
    });
    hashed.collect()
}

/// Sets the mode of the databases and their companions: writable to fold, read-only to keep.
fn set_mode(data: &Path, databases: &[PathBuf], mode: u32) -> Result<()> {
    for main in databases.iter().map(|d| data.join(d)) {
        for path in companions(&main).into_iter().chain([main]) {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
                .doing("set the mode of", &path)?;
        }
    }
    Ok(())
}

/// A blob of a model that was read: its digest as its name tells it, and as its content does.
struct Blob {
    path: PathBuf,
    named: String,
    found: String,
}

/// Writes into the manifest what every file holds now: hashes, and what folding changed or removed. Returns the blobs of
/// models that were read for that.
fn refresh(
    manifest: &mut Manifest,
    data: &Path,
    databases: &[PathBuf],
    known: &HashMap<PathBuf, String>,
) -> Result<Vec<Blob>> {
    for main in databases.iter().map(|d| data.join(d)) {
        // What SQLite leaves when a copy could not be read to its end; it can be made anew from the log.
        let shm = sidecar(&main, "-shm");
        match std::fs::remove_file(&shm) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).doing("remove", &shm);
            }
            _ => {}
        }
    }
    let folded: HashSet<PathBuf> = databases
        .iter()
        .flat_map(|d| ["-wal", "-journal"].map(|suffix| sidecar(d, suffix)))
        .collect();
    manifest
        .entries
        .retain(|e| !folded.contains(e.path.as_path()) || data.join(e.path.as_path()).exists());
    let root = Root::open(data)?;
    let named = Blobs::of(&root, &manifest.settings, HashSet::new());
    let mut blobs = Vec::new();
    let mut size = 0;
    for entry in &mut manifest.entries {
        let path = data.join(entry.path.as_path());
        if let Kind::File {
            size_bytes,
            blake3,
            how,
            ..
        } = &mut entry.kind
        {
            *size_bytes = std::fs::metadata(&path).doing("look at", &path)?.len();
            size += *size_bytes;
            // What is one with a proven snapshot's file was hashed for that one; reading it again is `verify`'s work.
            if blake3.is_some() && matches!(how, How::Link | How::Live) {
                continue;
            }
            if let Some(known) = known.get(&path) {
                *blake3 = Some(known.clone());
                continue;
            }
            let digest = named.digest_in(&root, entry.path.as_path());
            let read = File::open(&path)
                .and_then(|file| content::digests(&file, digest.is_some(), |_| true))
                .doing("read", &path)?;
            *blake3 = Some(read.blake3);
            blobs.extend(digest.zip(read.sha256).map(|(named, found)| Blob {
                path: entry.path.as_path().to_owned(),
                named,
                found,
            }));
        }
    }
    let files = manifest.files().count() as u64;
    manifest.summary.size_bytes = size;
    manifest.summary.files = files;
    Ok(blobs)
}

/// Adds to what was seen of each store whether its blobs that were read are what their names say.
fn note_blobs(seen: &mut GuardObservation, manifest: &Manifest, blobs: &[Blob]) {
    for (store, seen) in manifest.settings.stores.iter().zip(&mut seen.stores) {
        let Some(Terms::Ollama(found)) = seen.application.as_mut().map(|a| &mut a.terms) else {
            continue;
        };
        let mut hashed = Hashed {
            complete: true,
            ..Hashed::default()
        };
        let is_of = |b: &&Blob| store.path == Path::new(".") || b.path.starts_with(&store.path);
        for blob in blobs.iter().filter(is_of) {
            let name = blob.path.file_name().unwrap_or_default();
            hashed.compare(&name.to_string_lossy(), &blob.named, &blob.found);
        }
        found.hashed = Some(hashed);
    }
}

/// Returns when a store's main file had last been written to when it was captured.
fn written_ns(guard: &Guard, store: &str, manifest: &Manifest) -> Option<i64> {
    let store = guard.stores.iter().find(|s| s.name == store)?;
    let file = scan::database_file(store)?;
    let (_, entry) = manifest.files().find(|(path, _)| path.as_path() == file)?;
    match &entry.kind {
        Kind::File { source, .. } => Some(source.mtime_ns),
        _ => None,
    }
}

fn judge(
    snapshot: &Snapshot,
    manifest: &Manifest,
    seen: &GuardObservation,
    memory: &Memory,
) -> Result<Proof> {
    let guard = &manifest.settings;
    // A snapshot is judged by what it shows itself; what was known before only tells whether it is suspicious.
    let alone = Memory::default();
    let mut findings = judge::guard(guard, seen, &alone, Occasion::Proof);
    let told = manifest.summary.told_gaps();
    findings.extend(
        told.map(|what| Finding::of_guard(FindingId::StoreUnreadable, Severity::Hold, &what)),
    );
    let known = memory.before_capture(snapshot.summary.taken_at);
    let drift = judge::guard(guard, seen, &known, Occasion::Proof);
    let suspicious = drift.iter().find(|f| {
        matches!(
            f.id,
            FindingId::ContractRowsShrunk
                | FindingId::ContractOtherDatabase
                | FindingId::ContractOlderCopy
        ) && f.severity > Severity::Info
            || (f.severity == Severity::Hold && !findings.iter().any(|g| g.id == f.id))
    });
    let path = snapshot.path.join("manifest.json");
    let manifest_blake3 = hash(&path).doing("read", &path)?;
    let stores = seen
        .stores
        .iter()
        .filter(|s| matches!(s.place, Place::File(_) | Place::Folder))
        .map(|s| StoreProof {
            name: s.name.clone(),
            checked: match s.checked {
                Checked::Full => "full",
                Checked::Quick => "quick",
                Checked::Bytes | Checked::Nothing | Checked::Standing => "bytes",
            }
            .to_owned(),
            seen: match &s.database {
                Some(database) => Seen {
                    written_ns: written_ns(guard, &s.name, manifest),
                    ..database.seen()
                },
                None => s.seen().unwrap_or_default(),
            },
        });
    Ok(Proof {
        format: FORMAT,
        proven_at: Timestamp::now(),
        manifest_blake3,
        content_id: manifest.content_id().unwrap_or_default(),
        stores: stores.collect(),
        suspicious: suspicious.map(|f| match &f.evidence {
            Some(evidence) => format!("{}: {evidence}", f.what),
            None => f.what.clone(),
        }),
        findings,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "CREATE TABLE a(x, y); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99) \
         INSERT INTO a SELECT i, randomblob(500) FROM n;";
    const CHANGE: &str = "UPDATE a SET y = randomblob(500);";

    /// Lays the files as this SQL leaves them while its connection is open.
    fn laid(sql: &str) -> (tempfile::TempDir, Guard) {
        let (live, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let guard = Guard::of_database("g", &folder.path().canonicalize().unwrap());
        let db = rusqlite::Connection::open(live.path().join("webui.db")).unwrap();
        db.execute_batch(sql).unwrap();
        for file in std::fs::read_dir(live.path()).unwrap() {
            let name = file.unwrap().file_name();
            if name != "webui.db-shm" {
                std::fs::copy(live.path().join(&name), guard.data.join(&name)).unwrap();
            }
        }
        (folder, guard)
    }

    /// On a filesystem that counts whole seconds every snapshot with a log was proven with the hash of what there was before
    /// the log was folded, and the next `verify` called it damaged.
    #[test]
    fn a_hash_from_before_a_fold_or_a_rollback_is_not_believed_whatever_the_times_say() {
        let log =
            format!("PRAGMA journal_mode=WAL; {ROWS} PRAGMA wal_checkpoint(TRUNCATE); {CHANGE}");
        // Without syncs a journal is hot from its first byte on.
        let hot = format!("PRAGMA synchronous=OFF; {ROWS} BEGIN; {CHANGE}");
        for (sql, is_changed) in [(log.as_str(), true), (&hot, true), (ROWS, false)] {
            let (_folder, guard) = laid(sql);
            let main = guard.data.join("webui.db");
            if sql == hot {
                // As if a part of the change were in the main file already.
                let mut bytes = std::fs::read(&main).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                std::fs::write(&main, bytes).unwrap();
            }
            let (bytes, time) = (hash(&main).unwrap(), main.metadata().unwrap().modified());
            let before = at_rest_of(&guard.data, &["webui.db".into()]);
            let way = Way {
                examiner: &Examiner::Here,
                depth: Depth::Full,
                deadline: Instant::now() + Duration::from_secs(60),
                place: Where::Ours,
                standing: None,
                damage_stands: false,
                mount: None,
            };
            let seen = scan::guard(&guard, &guard.data, &way);
            assert_eq!(could_not(&seen), None);
            let now = hash(&main).unwrap();
            assert_eq!(now != bytes, is_changed, "{sql}");
            // As where the change falls into the second in which the copy was made.
            let file = File::options().write(true).open(&main).unwrap();
            file.set_modified(time.unwrap()).unwrap();
            let known = hashed_on_the_way(&guard, &guard.data, &seen, &before);
            assert_eq!(known.get(&main), (!is_changed).then_some(&now), "{sql}");
        }
    }
}
