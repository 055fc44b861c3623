//! The kernel's word on what was done to a folder: also what leaves no trace in it.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Everything but reading. That a file was open for writing is told when it is closed, written or not.
const CHANGES: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MOVE_SELF);

/// Watches a folder and all that is below it now.
#[derive(Debug)]
pub struct Watch {
    events: OwnedFd,
    folders: HashMap<i32, PathBuf>,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn on(root: &Path) -> Self {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
        let (mut folders, mut pending) = (HashMap::new(), vec![root.to_owned()]);
        while let Some(folder) = pending.pop() {
            let entries = std::fs::read_dir(&folder)
                .unwrap()
                .map(|e| e.unwrap().path());
            pending.extend(entries.filter(|p| p.is_dir() && !p.is_symlink()));
            let watch = inotify::add_watch(&events, &folder, CHANGES).unwrap();
            folders.insert(watch, folder);
        }
        Self { events, folders }
    }

    /// Returns what was done since the last call, other than reading.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = inotify::Reader::new(&self.events, &mut buffer);
        let mut changes = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => changes.push(format!(
                    "{}/{} {}",
                    self.folders
                        .get(&event.wd())
                        .map_or("?".into(), |p| p.display().to_string()),
                    event
                        .file_name()
                        .map(|n| n.to_string_lossy())
                        .unwrap_or_default(),
                    names(event.events()),
                )),
                Err(Errno::AGAIN) => return changes,
                Err(Errno::INTR) => {}
                Err(e) => panic!("{e}"),
            }
        }
    }
}

fn names(events: ReadFlags) -> String {
    events
        .iter_names()
        .map(|(name, _)| name)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_for_writing_is_told_and_a_reading_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/file");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "x").unwrap();
        let watch = Watch::on(folder.path());
        std::fs::read(&file).unwrap();
        assert_eq!(watch.changes(), [""; 0]);
        drop(std::fs::File::options().write(true).open(&file).unwrap());
        let changes = watch.changes();
        assert!(
            matches!(&changes[..], [one] if one.ends_with("below/file CLOSE_WRITE")),
            "{changes:?}"
        );
    }
}
