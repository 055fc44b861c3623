//! Lines for the unit's journal, with the priority by which people filter it (sd-daemon(3)).

use std::fmt::Display;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;

/// How much a line of the journal matters (syslog's levels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Something is wrong.
    Error,
    /// Something should be looked at.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Priority {
    fn level(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
        }
    }
}

/// Returns text as the journal takes it: each line with its priority.
#[must_use]
pub fn prefixed(priority: Priority, text: &str) -> String {
    let lines = text.lines().map(|l| format!("<{}>{l}", priority.level()));
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes to standard error: with priorities if it is the journal, else as it is.
pub fn write(priority: Priority, text: impl Display) {
    let text = text.to_string();
    let text = if is_journal() {
        prefixed(priority, &text)
    } else {
        text
    };
    // Where nobody listens, nothing is lost: what was found is in the ledger.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Returns whether standard error is connected to the journal: `JOURNAL_STREAM` names its device and inode
/// (systemd.exec(5)); a child whose output goes elsewhere inherits the variable all the same.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let own = std::fs::metadata("/proc/self/fd/2");
    own.is_ok_and(|m| named == format!("{}:{}", m.dev(), m.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_priority() {
        assert_eq!(prefixed(Priority::Error, "a\nb"), "<3>a\n<3>b");
        assert_eq!(prefixed(Priority::Notice, ""), "");
    }
}
