//! Names of snapshots: `000042-20261123T060311Z-stop`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The name of a snapshot within its guard: sequence, time of capture (UTC), reason.
///
/// The sequence decides what is newest; a clock that was set back or ahead does not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotName {
    /// Counts up per guard, from 1.
    pub sequence: u64,
    /// When it was captured, to the second.
    taken_at: String,
    /// Why it was taken, as a slug.
    reason: String,
}

impl SnapshotName {
    /// Returns a name for a capture at `taken_at`; of `reason` only `[a-z0-9-]` is kept, 32 characters at most.
    #[must_use]
    pub fn new(sequence: u64, taken_at: Timestamp, reason: &str) -> Self {
        let mut slug = String::new();
        for c in reason.chars().flat_map(char::to_lowercase) {
            match c {
                'a'..='z' | '0'..='9' => slug.push(c),
                _ if slug.ends_with('-') || slug.is_empty() => {}
                _ => slug.push('-'),
            }
            if slug.len() == 32 {
                break;
            }
        }
        let slug = slug.trim_end_matches('-');
        let reason = if slug.is_empty() { "manual" } else { slug }.to_owned();
        Self {
            sequence,
            taken_at: taken_at.strftime("%Y%m%dT%H%M%SZ").to_string(),
            reason,
        }
    }

    /// Returns the name if `text` is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let (sequence, taken_at, reason) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let stamp = taken_at.strip_suffix('Z').and_then(|t| t.split_once('T'));
        let is_stamp =
            stamp.is_some_and(|(d, t)| d.len() == 8 && t.len() == 6 && digits(d) && digits(t));
        let is_slug = !reason.is_empty()
            && reason
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        (digits(sequence) && is_stamp && is_slug).then_some(())?;
        Some(Self {
            sequence: sequence.parse().ok()?,
            taken_at: taken_at.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// Returns the reason's slug.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl std::fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:06}-{}-{}", self.sequence, self.taken_at, self.reason)
    }
}

impl From<SnapshotName> for String {
    fn from(name: SnapshotName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for SnapshotName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no name of a snapshot"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_way_through_text() {
        let at: Timestamp = "2026-11-23T06:03:11.5Z".parse().unwrap();
        for (reason, text) in [
            ("stop", "000042-20261123T060311Z-stop"),
            (
                "before Upgrade to 0.12!",
                "000042-20261123T060311Z-before-upgrade-to-0-12",
            ),
            ("../../etc", "000042-20261123T060311Z-etc"),
            ("", "000042-20261123T060311Z-manual"),
            ("äöü", "000042-20261123T060311Z-manual"),
        ] {
            let name = SnapshotName::new(42, at, reason);
            assert_eq!(name.to_string(), text);
            assert_eq!(SnapshotName::parse(text), Some(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "42",
            "archive",
            ".lock",
            "000042-20261123-stop",
            "x-20261123T060311Z-stop",
            "1-20261123T060311Z-",
            "1-20261123T060311Z-a/b",
            "1-2026112aT060311Z-a",
        ] {
            assert_eq!(SnapshotName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_sequence_decides_the_order_not_the_clock() {
        let late = SnapshotName::parse("000001-20380101T000000Z-stop").unwrap();
        let early = SnapshotName::parse("000002-20200101T000000Z-stop").unwrap();
        assert!(late < early);
    }
}
