//! Linking many unchanged files at once.
//!
//! Each name in a snapshot is a link of its own: for 100,000 of them the kernel's work is all that a capture waits for.
//! So a folder's files are linked from folder to folder, without looking the whole paths up for each, and folders are
//! shared among the cores: names are made in different folders at once, in one folder one after the other.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

/// Below so many files one core is as fast as several.
const FEW_FILES: usize = 1_000;
/// More cores than this wait for the filesystem's journal only.
const MOST_CORES: usize = 4;

/// Links each of `files` from below `from` to below `to`, where its folder exists. Returns in the same order which ones
/// could be; why one could not is for whoever tries it again.
#[must_use]
pub fn link_all(from: &Path, to: &Path, files: &[&Path]) -> Vec<bool> {
    // A walk tells the files of one folder one after the other.
    let mut folders = Vec::new();
    let mut first = 0;
    for folder in files.chunk_by(|a, b| a.parent() == b.parent()) {
        folders.push((first, folder));
        first += folder.len();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((first, folder)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((*first, link_folder(from, to, folder)));
        }
        done
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let others = if files.len() < FEW_FILES {
        0
    } else {
        cores.min(MOST_CORES) - 1
    };
    let mut linked = vec![false; files.len()];
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let own = work();
        // What one linked that panicked is not known, and tried again.
        let theirs = others.into_iter().filter_map(|o| o.join().ok()).flatten();
        for (first, folder) in theirs.chain(own) {
            linked[first..first + folder.len()].copy_from_slice(&folder);
        }
    });
    linked
}

/// Links the files of one folder.
fn link_folder(from: &Path, to: &Path, files: &[&Path]) -> Vec<bool> {
    let parent = files[0].parent().unwrap_or(Path::new(""));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = |folder: &Path| openat(CWD, folder.join(parent), flags, Mode::empty());
    let (Ok(from), Ok(to)) = (opened(from), opened(to)) else {
        return vec![false; files.len()];
    };
    let names = files.iter().map(|f| f.file_name());
    names
        .map(|name| {
            name.is_some_and(|name| linkat(&from, name, &to, name, AtFlags::empty()).is_ok())
        })
        .collect()
}
