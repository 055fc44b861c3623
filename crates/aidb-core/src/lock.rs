//! Locks: `flock` on a file of ours, never a pid file. The kernel lets go when the process ends, however it ends.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, IoContext as _, Result};

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// For whom else there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Others may read too.
    Shared,
    /// Nobody else.
    Exclusive,
}

impl Lock {
    /// Takes the lock on one snapshot: shared by whoever reads it for longer than a guard may be held, exclusive to
    /// remove it. It does not wait.
    ///
    /// # Errors
    /// [`Error::Busy`] if it is held; [`Error::Io`] if the snapshot is gone.
    pub fn snapshot(path: &Path, mode: Mode) -> Result<Self> {
        let folder = File::open(path).doing("open", path)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        match flock(&folder, operation) {
            Ok(()) => Ok(Self { _file: folder }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Busy {
                what: format!("`{}`", path.display()),
                waited: Duration::ZERO,
            }),
            Err(e) => Err(e).doing("lock", path),
        }
    }

    /// Takes the lock on a file, made if it is absent. On a read-only mount one that is there can be held as well.
    pub(crate) fn on(path: &Path, mode: Mode, patience: Duration, what: &str) -> Result<Self> {
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .or_else(|e| match e.kind() {
                ErrorKind::ReadOnlyFilesystem => File::open(path).map_err(|_| e),
                _ => Err(e),
            })
            .doing("open the lock", path)?;
        let operation = match mode {
            Mode::Shared => FlockOperation::NonBlockingLockShared,
            Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let began = Instant::now();
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e).doing("lock", path),
            }
            let waited = began.elapsed();
            if waited >= patience {
                return Err(Error::Busy {
                    what: what.to_owned(),
                    waited,
                });
            }
            std::thread::sleep(Duration::from_millis(20).min(patience.saturating_sub(waited)));
        }
    }
}
