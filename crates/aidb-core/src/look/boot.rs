//! Which run of the system this is: what was not synced before the last one ended may be lost by itself.

use std::time::Duration;

use jiff::Timestamp;

/// Returns what tells this run from every other one, whatever the clock says.
#[must_use]
pub fn id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Returns when it began, by the clock as it is now.
#[must_use]
pub fn began_at() -> Option<Timestamp> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    let up = Duration::try_from_secs_f64(seconds).ok()?;
    Timestamp::now().checked_sub(up).ok()
}
