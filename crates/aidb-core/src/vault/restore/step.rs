//! The changes to a filesystem that a restore makes, one function each, so that tests can let any one of them fail.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, RenameFlags, mkdirat, renameat_with, statat};
use rustix::io::Errno;

use crate::error::{IoContext, Result};
use crate::vault::{lock, publish};

/// Is passed before each change; only tests make it fail.
#[cfg_attr(
    not(test),
    expect(clippy::unnecessary_wraps, reason = "tests let it fail")
)]
pub(super) fn step(what: &'static str) -> Result<(), Errno> {
    #[cfg(test)]
    faults::hit(what)?;
    let _ = what;
    Ok(())
}

/// Makes a folder for us alone.
pub(super) fn make_folder(parent: impl AsFd, name: impl rustix::path::Arg) -> Result<(), Errno> {
    step("make folder")?;
    mkdirat(parent, name, Mode::RWXU)
}

/// Renames to a name that must be free.
pub(super) fn rename(
    from: (BorrowedFd<'_>, &OsStr),
    to: (BorrowedFd<'_>, &OsStr),
) -> std::result::Result<(), Errno> {
    step("rename")?;
    let (from_folder, to_folder) = (from.0, to.0);
    match renameat_with(from_folder, from.1, to_folder, to.1, RenameFlags::NOREPLACE) {
        // A filesystem without that flag: the guard's lock keeps our own kind away, and nobody else uses the folder.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match statat(to_folder, to.1, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => rustix::fs::renameat(from_folder, from.1, to_folder, to.1),
                Ok(_) => Err(Errno::EXIST),
                Err(e) => Err(e),
            }
        }
        other => other,
    }
}

/// Renames by path to a name that must be free.
pub(super) fn rename_path(from: &Path, to: &Path) -> Result<(), Errno> {
    rename((CWD, from.as_os_str()), (CWD, to.as_os_str()))
}

/// Lets two names change places, at one instant.
pub(super) fn exchange(a: &Path, b: &Path) -> Result<(), Errno> {
    step("exchange")?;
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)
}

/// Writes a small JSON file durably.
pub(super) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    step("write").doing("write", path)?;
    publish::write_json(path, value)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    step("sync folder").doing("sync the folder", folder)?;
    publish::sync_folder(folder)
}

/// Makes all that was written to a folder's filesystem durable.
pub(super) fn sync_filesystem(folder: &Path) -> Result<()> {
    step("sync filesystem").doing("sync the filesystem of", folder)?;
    std::fs::File::open(folder)
        .and_then(|f| Ok(rustix::fs::syncfs(f)?))
        .doing("sync the filesystem of", folder)
}

/// Removes one file of ours.
pub(super) fn remove_file(path: &Path) -> Result<(), Errno> {
    step("remove file")?;
    rustix::fs::unlink(path)
}

/// Removes an empty folder.
pub(super) fn remove_folder(path: &Path) -> Result<(), Errno> {
    step("remove folder")?;
    rustix::fs::rmdir(path)
}

/// Removes a half-made tree of ours.
pub(super) fn remove_staging(path: &Path) -> Result<()> {
    step("remove staging").doing("clear", path)?;
    match lock::remove_tree(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.doing("clear", path),
    }
}

/// Which step fails in the running test. Each test has its own thread, and with it its own plan.
#[cfg(test)]
pub(super) mod faults {
    use std::cell::RefCell;

    use rustix::io::Errno;

    /// What is to fail.
    #[derive(Debug, Clone, Default)]
    pub struct Plan {
        /// The step with this number, counted from 0.
        pub at: Option<u64>,
        /// Every later step too, clearing up included: what a kill looks like on disk.
        pub killed: bool,
        /// Every step of this name, with this error.
        pub refuse: Option<(&'static str, Errno)>,
    }

    thread_local!(static STATE: RefCell<(Plan, u64)> = RefCell::default());

    /// Starts counting anew.
    pub fn plan(plan: Plan) {
        STATE.with_borrow_mut(|state| *state = (plan, 0));
    }

    /// Returns how many steps there were since the plan was set, and lets all succeed from now on.
    pub fn clear() -> u64 {
        STATE.with_borrow_mut(|state| std::mem::take(state).1)
    }

    pub fn hit(what: &'static str) -> Result<(), Errno> {
        STATE.with_borrow_mut(|(plan, count)| {
            let number = *count;
            *count += 1;
            if let Some((name, error)) = plan.refuse
                && name == what
            {
                return Err(error);
            }
            let fails = plan
                .at
                .is_some_and(|at| number == at || plan.killed && number > at);
            if fails { Err(Errno::IO) } else { Ok(()) }
        })
    }
}
