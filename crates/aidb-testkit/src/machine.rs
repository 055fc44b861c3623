//! What this machine lets a test do.

use std::io::Write as _;

/// Returns whether this process may do everything.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that something was not tested here, and why. It goes past the capture of the test runner: what was left out
/// is to be seen also when all tests pass.
pub fn left_out(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {what}: {why}");
}
