//! Everything about a tree that looking must not change.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Returns, for every name below `root`, its kind, mode, owner, times, extended attributes and a hash of its bytes.
///
/// The access time is left out: reading may set it, and no application's data depends on it.
#[must_use]
pub fn tree_state(root: &Path) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() {
            blake3::hash(&std::fs::read(&path).unwrap())
                .to_hex()
                .to_string()
        } else if metadata.is_symlink() {
            std::fs::read_link(&path).unwrap().display().to_string()
        } else {
            String::new()
        };
        if metadata.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let line = format!(
            "mode {:o} owner {}:{} size {} inode {} mtime {}.{:09} ctime {}.{:09} {content}",
            metadata.mode(),
            metadata.uid(),
            metadata.gid(),
            metadata.len(),
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ) + &attributes(&path);
        state.insert(name, line);
    }
    state
}

/// Returns the names and values of a file's extended attributes.
fn attributes(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut names = vec![0; 64 * 1024];
    // Not every filesystem has any.
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let mut told = String::new();
    for name in names[..length].split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap_or(0);
        let name = String::from_utf8_lossy(name);
        write!(told, " {name}={}", blake3::hash(&value[..length]).to_hex()).unwrap();
    }
    told
}
