//! What the rescues of a guard tell a start: that there was data, and where it is.
//!
//! The incident itself is a database that was never initialised while the chats lay in the container's layer. Once
//! they were rescued, the empty file is no fresh start. Every start asks, so only the records' heads are read: not the
//! list of what was kept, which may be long, and no database.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::kept::{FORMAT, folder, names};
use super::layer::Database;
use crate::guard::Guard;
use crate::look::scan::database_file;
use crate::memory::KnownRescue;
use crate::vault::{SnapshotName, Vault};

/// What of a record tells that there was data.
#[derive(Deserialize)]
struct Head {
    format: u32,
    taken_at: Timestamp,
    databases: Vec<Database>,
}

/// Returns for each store the rescue that holds the most of its database, if one that was kept after `since` does. What
/// cannot be read tells nothing.
pub(crate) fn known(
    vault: &Vault,
    guard: &Guard,
    since: Option<Timestamp>,
) -> BTreeMap<String, KnownRescue> {
    let folder = folder(vault, &guard.name);
    let mount = guard
        .mount
        .as_deref()
        .and_then(|m| m.strip_prefix("/").ok());
    let files: Vec<(&str, PathBuf)> = guard
        .stores
        .iter()
        .filter_map(|s| Some((s.name.as_str(), database_file(s)?)))
        .collect();
    let mut best: BTreeMap<String, (u64, KnownRescue)> = BTreeMap::new();
    for name in names(&folder).unwrap_or_default() {
        let Some(head) = head(&folder, &name).filter(|h| since.is_none_or(|at| h.taken_at > at))
        else {
            continue;
        };
        for (store, file) in &files {
            let is_of_store = |d: &&Database| {
                let path = d.path.as_path();
                let at_mount = mount.is_some_and(|m| path == m.join(file));
                at_mount || path.ends_with(file)
            };
            let is_kept = |d: &&Database| {
                let copy = folder.join(name.to_string()).join("data");
                d.is_telling() && copy.join(d.path.as_path()).symlink_metadata().is_ok()
            };
            let databases = head.databases.iter().filter(is_of_store).filter(is_kept);
            let Some(largest) = databases.max_by_key(|d| d.content()) else {
                continue;
            };
            // Of equal ones the newest.
            if best
                .get(*store)
                .is_some_and(|(content, _)| *content > largest.content())
            {
                continue;
            }
            let known = KnownRescue {
                id: format!("{}/rescue/{name}", guard.name),
                sequence: name.sequence,
                taken_at: head.taken_at,
                tables: largest.tables,
            };
            best.insert((*store).to_owned(), (largest.content(), known));
        }
    }
    best.into_iter()
        .map(|(store, (_, known))| (store, known))
        .collect()
}

fn head(folder: &Path, name: &SnapshotName) -> Option<Head> {
    let file = File::open(folder.join(name.to_string()).join("rescue.json")).ok()?;
    let head: Head = serde_json::from_reader(BufReader::new(file)).ok()?;
    (head.format <= FORMAT).then_some(head)
}
