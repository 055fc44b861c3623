//! Excluded paths of the present folder, carried over into the restored one: no snapshot holds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, Stat, ioctl_ficlone, linkat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::attributes::Attributes;
use super::stage::{Stage, create, parent_in};
use super::step::step;
use crate::aside_name::is_ours;
use crate::capture::copy::transfer;
use crate::capture::walk::{Exclude, Root};
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::vault::Manifest;

/// Returns the tops of the excluded trees that exist in the present folder and that the manifest does not hold.
///
/// What was excluded when the snapshot was taken counts as well as what is excluded now. A path that the snapshot
/// does hold is restored from it.
pub(super) fn carried(present: &Root, guard: &Guard, manifest: &Manifest) -> Result<Vec<PathBuf>> {
    let patterns: Vec<String> = [&guard.exclude[..], &manifest.settings.exclude]
        .concat()
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let held = |top: &Path| {
        let paths = manifest.entries.iter().map(|e| e.path.as_path());
        let mut below = paths.filter(|p| p.starts_with(top));
        below.next().is_some()
    };
    let mut tops = present.walk(&Exclude::new(&patterns)?).excluded;
    tops.retain(|top| !top.iter().next().is_some_and(is_ours) && !held(top));
    Ok(tops)
}

/// Brings the trees at `tops` into the stage.
pub(super) fn bring(stage: &mut Stage<'_>, present: &Root, tops: &[PathBuf]) -> Result<()> {
    if tops.is_empty() {
        return Ok(());
    }
    let everything = present.walk(&Exclude::default());
    if let Some((path, source)) = everything.unreadable.into_iter().find(|(path, _)| {
        let touches = |top: &PathBuf| path.starts_with(top) || top.starts_with(path);
        tops.iter().any(touches)
    }) {
        return Err(Error::Io {
            doing: "carry over",
            path: present.path().join(path),
            source,
        });
    }
    for found in everything.found {
        if tops.iter().any(|top| found.path.starts_with(top)) {
            make_parents(stage, present, &found.path).doing("make the folder of", &found.path)?;
            one(stage, present, &found.path, &found.stat).doing("carry over", &found.path)?;
        }
    }
    Ok(())
}

/// Makes the folders that lead to a carried path and that the snapshot lacks, like the present ones.
fn make_parents(stage: &mut Stage<'_>, present: &Root, path: &Path) -> Result<(), Errno> {
    let parents: Vec<&Path> = path.ancestors().skip(1).collect();
    for parent in parents.into_iter().rev() {
        if parent.as_os_str().is_empty() || stage.target().stat(parent)?.is_some() {
            continue;
        }
        let fd = present.open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
        stage.make_folder(parent)?;
        stage.finish_folder_as(parent, Attributes::of_file(&fd)?);
    }
    Ok(())
}

fn one(stage: &mut Stage<'_>, present: &Root, path: &Path, stat: &Stat) -> Result<(), Errno> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let fd = present.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            stage.make_folder(path)?;
            stage.finish_folder_as(path, Attributes::of_file(&fd)?);
            Ok(())
        }
        FileType::RegularFile => file(stage, present, path),
        FileType::Symlink => {
            let (parent, name) = stage.parent_fd(path)?;
            step("symlink")?;
            symlinkat(present.read_link(path)?, &parent, name)
        }
        // Made anew by whoever uses it.
        _ => {
            stage.written.special_skipped.push(path.to_owned());
            Ok(())
        }
    }
}

/// Brings a file: sharing its blocks where that is possible, else its inode, else as a copy.
fn file(stage: &mut Stage<'_>, present: &Root, path: &Path) -> Result<(), Errno> {
    let (parent, name) = stage.parent_fd(path)?;
    step("carry over")?;
    // A file that we may not read can still get a second name.
    let source = present.open_file(path).ok();
    let attributes = source.as_ref().map(Attributes::of_file).transpose()?;
    if let (Some(source), Some(attributes)) = (&source, &attributes) {
        let target = create(&parent, name)?;
        if ioctl_ficlone(&target, source).is_ok() {
            return attributes.apply(&target, path, &mut stage.written.notes);
        }
        unlinkat(&parent, name, AtFlags::empty())?;
    }
    let (old_parent, old_name) = parent_in(present, path)?;
    match (
        linkat(&old_parent, old_name, &parent, name, AtFlags::empty()),
        source,
        attributes,
    ) {
        (Ok(()), _, _) => Ok(()),
        (Err(_), Some(source), Some(attributes)) => {
            let target = create(&parent, name)?;
            transfer(&source, &target)
                .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
            attributes.apply(&target, path, &mut stage.written.notes)
        }
        (Err(e), _, _) => Err(e),
    }
}
