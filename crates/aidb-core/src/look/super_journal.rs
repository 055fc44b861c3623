//! A hot journal that is part of a commit over several databases: what it waits for lies where the container sees it.

use std::fs::File;
use std::path::Path;

use crate::capture::pin::sidecar;

/// Makes the copy of a journal that names a super-journal mean here what the original means to its application: the
/// name is a path as the container sees it, and where that does not exist SQLite takes the commit for done.
///
/// # Errors
/// Returns why it cannot be told what the original means.
pub(super) fn settle(
    path: &Path,
    name: &str,
    begins_at: u64,
    mount: Option<(&Path, &Path)>,
) -> Result<(), String> {
    let told = |why: &str| {
        format!("an interrupted commit over several databases waits (`{name}`), and {why}")
    };
    let mapped = mount
        .and_then(|(mount, data)| Some(data.join(Path::new(name).strip_prefix(mount).ok()?)))
        .ok_or_else(|| told("where its super-journal lies on the host is not known"))?;
    match std::fs::symlink_metadata(&mapped) {
        // It is not committed yet: without the name, SQLite rolls the copy back as the application would.
        Ok(_) => {
            let journal = File::options().write(true).open(sidecar(path, "-journal"));
            journal
                .and_then(|j| j.set_len(begins_at))
                .map_err(|e| told(&format!("the copy cannot be settled: {e}")))
        }
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                && mapped.parent().is_some_and(Path::is_dir) =>
        {
            Ok(())
        }
        Err(e) => Err(told(&format!(
            "`{}` cannot be looked at: {e}",
            mapped.display()
        ))),
    }
}
