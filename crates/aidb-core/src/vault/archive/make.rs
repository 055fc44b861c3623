//! Making a guard's archive: the newest proven snapshot, written, read back, published; and the oldest ones dropped.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::format::{DAMAGED, HASH, NEW};
use super::half_made::clear_in;
use super::{Archive, SUFFIX, beside, pack, read};
use crate::error::{Error, IoContext, Result};
use crate::lock::{Lock, Mode};
use crate::progress::Progress;
use crate::vault::publish::{sync_folder, write_durably};
use crate::vault::{Snapshot, Vault, retention};
use crate::{priority, space};

/// What came of it.
#[derive(Debug)]
pub enum Made {
    /// An archive was made and read back.
    New {
        /// It.
        archive: Archive,
        /// How many bytes of files it holds.
        content_bytes: u64,
        /// The archives that it took the place of.
        dropped: Vec<Archive>,
    },
    /// The newest proven snapshot is archived already.
    Current(Archive),
    /// There is no proven snapshot.
    NothingProven,
}

/// Archives the newest proven snapshot of a guard, unless that is done, and keeps the newest `keep` archives.
///
/// It runs at idle priority from here on, and so does what this thread does next.
///
/// # Errors
/// [`Error::Busy`] if another run archives this guard; [`Error::CouldNot`] if there is no room, the snapshot differs from
/// its manifest, or the archive could not be read back. Then there is what there was.
pub fn make(
    vault: &Vault,
    guard: &str,
    keep: u32,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<Made> {
    let Some(snapshot) = vault.newest_good(guard)? else {
        return Ok(Made::NothingProven);
    };
    if let Some(archive) = current(vault, &snapshot)? {
        return Ok(Made::Current(archive));
    }
    let folder = vault.archive_folder(guard);
    crate::folder::make(&folder)?;
    let what = format!("the archive of `{guard}`");
    let _lock = Lock::on(&folder.join(".lock"), Mode::Exclusive, patience, &what)?;
    // Another run may have been first, or the snapshot be gone.
    let Some(snapshot) = vault.newest_good(guard)? else {
        return Ok(Made::NothingProven);
    };
    if let Some(archive) = current(vault, &snapshot)? {
        return Ok(Made::Current(archive));
    }
    let _snapshot_lock = Lock::snapshot(&snapshot.path, Mode::Shared)?;
    clear_in(&folder)?;
    let earlier = vault.archives(guard)?;
    space::make_sure_of_room(
        &folder,
        expected_bytes(&snapshot, &earlier),
        "the archive",
        "free some space, or mount another disk there",
    )?;
    priority::idle();
    let new = folder.join(format!("{NEW}{}{SUFFIX}", snapshot.name));
    let made = write(&snapshot, &new, progress);
    if made.is_err() {
        // Failing here loses nothing: the next run clears it.
        let _ = std::fs::remove_file(&new);
        let _ = std::fs::remove_file(beside(&new, HASH));
    }
    made?;
    let target = folder.join(format!("{}{SUFFIX}", snapshot.name));
    // The hash first: an archive is never without it.
    for suffix in [HASH, ""] {
        let (from, to) = (beside(&new, suffix), beside(&target, suffix));
        std::fs::rename(&from, &to).doing("publish as", &to)?;
    }
    remove(&beside(&target, DAMAGED))?;
    sync_folder(&folder)?;
    let archives = vault.archives(guard)?;
    let dropped = drop_old(&folder, &archives, keep)?;
    let archive = archives.into_iter().find(|a| a.name == snapshot.name);
    Ok(Made::New {
        archive: archive.ok_or_else(|| Error::CouldNot {
            what: format!("`{}` was published and is not there", target.display()),
            hint: None,
        })?,
        content_bytes: snapshot.summary.size_bytes,
        dropped,
    })
}

/// Returns the archive of a snapshot that is there and was not found damaged.
fn current(vault: &Vault, snapshot: &Snapshot) -> Result<Option<Archive>> {
    let archives = vault.archives(&snapshot.summary.guard)?;
    Ok(archives
        .into_iter()
        .find(|a| a.name == snapshot.name && !a.damaged))
}

/// Writes an archive and its hash, and reads it back from the disk.
fn write(snapshot: &Snapshot, new: &Path, progress: &dyn Progress) -> Result<()> {
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(new)
        .doing("make the file", new)?;
    let packed = pack::pack(snapshot, &file, new, progress)?;
    let contents = read::verify(new, progress)?;
    let same = contents.blake3 == packed.blake3 && contents.differing.is_empty();
    if !same {
        return Err(Error::CouldNot {
            what: format!(
                "`{}` was written, and read back as something else",
                new.display()
            ),
            hint: Some("check the disk that it lies on".into()),
        });
    }
    let line = format!("{}  {}{SUFFIX}\n", packed.blake3, snapshot.name);
    write_durably(&beside(new, HASH), line.as_bytes())
}

/// Returns about how long the archive will be: as the last one was, or else as if nothing could be compressed.
fn expected_bytes(snapshot: &Snapshot, earlier: &[Archive]) -> u64 {
    let size = snapshot.summary.size_bytes;
    let ratio = earlier.iter().rev().find(|a| !a.damaged).and_then(|a| {
        let content = a.head().ok()?.summary.size_bytes;
        Some((a.size_bytes, content.max(1)))
    });
    match ratio {
        Some((archive, content)) => {
            let expected = u128::from(size) * u128::from(archive) / u128::from(content) * 5 / 4;
            u64::try_from(expected).unwrap_or(u64::MAX).min(size)
        }
        None => size,
    }
}

/// Removes the archives that no rule keeps, and returns them.
fn drop_old(folder: &Path, archives: &[Archive], keep: u32) -> Result<Vec<Archive>> {
    let sound: Vec<bool> = archives.iter().map(|a| !a.damaged).collect();
    let mut dropped = Vec::new();
    for (archive, stays) in archives.iter().zip(retention::archives(&sound, keep)) {
        if stays {
            continue;
        }
        // The archive before its hash, and before the word that it is damaged.
        for suffix in ["", HASH, DAMAGED] {
            remove(&beside(&archive.path, suffix))?;
        }
        sync_folder(folder)?;
        dropped.push(archive.clone());
    }
    Ok(dropped)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).doing("remove", path),
        _ => Ok(()),
    }
}
