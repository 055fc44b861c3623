//! The lock on a guard: shared to read its snapshots, exclusive to take, prove, restore and prune.

use std::time::Duration;

use super::Vault;
use crate::error::Result;
use crate::folder;
use crate::lock::{Lock, Mode};

/// How long a start waits for whoever holds the guard before it heals.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

impl Lock {
    /// Takes a guard's lock, waiting up to `patience`.
    ///
    /// # Errors
    /// [`Error::Busy`] if it was held for all that time.
    pub fn guard(vault: &Vault, guard: &str, mode: Mode, patience: Duration) -> Result<Self> {
        let folder = vault.guard_folder(guard);
        folder::make(&folder)?;
        Self::on(
            &folder.join(".lock"),
            mode,
            patience,
            &format!("guard `{guard}`"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn a_second_taker_is_told_that_it_is_busy_and_comes_in_when_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path());
        let first = Lock::guard(&vault, "webui", Mode::Exclusive, Duration::ZERO).unwrap();
        let second = Lock::guard(&vault, "webui", Mode::Shared, Duration::from_millis(1));
        assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
        drop(first);
        let readers: Vec<_> = (0..2)
            .map(|_| Lock::guard(&vault, "webui", Mode::Shared, Duration::ZERO).unwrap())
            .collect();
        assert_eq!(readers.len(), 2);
    }
}
