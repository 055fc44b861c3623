//! The names of ours beside and inside a data folder `NAME`, and what each stands for.
//!
//! ```text
//! beside  NAME.aidb-before-TIME            the whole folder as it was
//!         NAME.aidb-before-TIME.part       some of its entries (layout: see `put_aside`)
//!         .NAME.aidb-restore-SEQ-PID       being staged; the next restore clears it
//!         .NAME.aidb-exchange-TIME-INODE   staged whole, changing places with NAME: it is the staged folder if it has
//!                                          that inode, else what was NAME, which only lacks its final name
//!         .NAME.aidb-exchange-TIME-INODE-ID   the same of a subvolume, whose inode tells nothing
//! inside  .aidb-before-TIME                entries, as in `.part`
//!         .aidb-restore-SEQ-PID            being staged
//! ```
//!
//! Only a name of this exact form is ever cleared or taken for ours.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

const BEFORE: &str = ".aidb-before-";
const RESTORE: &str = ".aidb-restore-";
const EXCHANGE: &str = ".aidb-exchange-";
const PART: &str = ".part";
const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// A name of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// What was put aside then.
    Before {
        /// When, to the second.
        at: Timestamp,
        /// Entries, not the folder itself.
        part: bool,
    },
    /// Being staged.
    Staging {
        /// The snapshot's sequence.
        sequence: u64,
        /// Who stages it.
        pid: u32,
    },
    /// Staged, changing places with the data folder.
    Exchange {
        /// The time that the put-aside is to carry.
        at: Timestamp,
        /// The inode of the staged folder.
        inode: u64,
        /// If that is a subvolume, which one.
        subvolume: Option<u64>,
    },
}

impl Name {
    /// Returns the name beside the data folder called `data`.
    pub fn beside(&self, data: &OsStr) -> OsString {
        let dot: &[u8] = match self {
            Self::Before { .. } => b"",
            Self::Staging { .. } | Self::Exchange { .. } => b".",
        };
        let part: &[u8] = match self {
            Self::Before { part: true, .. } => PART.as_bytes(),
            _ => b"",
        };
        let inside = self.inside();
        OsString::from_vec([dot, data.as_bytes(), inside.as_bytes(), part].concat())
    }

    /// Returns the name inside the data folder.
    pub fn inside(&self) -> OsString {
        match self {
            Self::Before { at, .. } => format!("{BEFORE}{}", at.strftime(STAMP)),
            Self::Staging { sequence, pid } => format!("{RESTORE}{sequence}-{pid}"),
            Self::Exchange {
                at,
                inode,
                subvolume,
            } => {
                let id = subvolume.map_or_else(String::new, |id| format!("-{id}"));
                format!("{EXCHANGE}{}-{inode}{id}", at.strftime(STAMP))
            }
        }
        .into()
    }

    /// Reads a name beside the data folder called `data`.
    pub fn parse_beside(name: &OsStr, data: &OsStr) -> Option<Self> {
        let (name, data) = (name.as_bytes(), data.as_bytes());
        if let Some(rest) = name.strip_prefix(data) {
            let text = std::str::from_utf8(rest).ok()?;
            let (text, part) = match text.strip_suffix(PART) {
                Some(text) => (text, true),
                None => (text, false),
            };
            let at = stamp(text.strip_prefix(BEFORE)?)?;
            return Some(Self::Before { at, part });
        }
        let rest = name.strip_prefix(b".")?.strip_prefix(data)?;
        let text = std::str::from_utf8(rest).ok()?;
        if let Some(rest) = text.strip_prefix(EXCHANGE) {
            let (at, folder) = rest.split_once('-')?;
            let (inode, subvolume) = match folder.split_once('-') {
                Some((inode, id)) => (inode, Some(number(id)?)),
                None => (folder, None),
            };
            return Some(Self::Exchange {
                at: stamp(at)?,
                inode: number(inode)?,
                subvolume,
            });
        }
        staging(text)
    }

    /// Reads a name inside the data folder.
    pub fn parse_inside(name: &OsStr) -> Option<Self> {
        let text = name.to_str()?;
        match text.strip_prefix(BEFORE) {
            Some(at) => stamp(at).map(|at| Self::Before { at, part: true }),
            None => staging(text),
        }
    }
}

/// Returns whether a name directly inside a data folder is one that restores make, so that a capture leaves it out.
#[must_use]
pub fn is_ours(name: &OsStr) -> bool {
    Name::parse_inside(name).is_some()
}

/// Returns the time that the next put-aside carries: now, but later than each of `taken`, whatever the clock says.
pub(super) fn next_time(taken: impl Iterator<Item = Timestamp>) -> Timestamp {
    let now = Timestamp::now();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let after = |t: Timestamp| t.checked_add(1.second()).unwrap_or(t);
    taken.max().map_or(now, |newest| now.max(after(newest)))
}

fn staging(text: &str) -> Option<Name> {
    let (sequence, pid) = text.strip_prefix(RESTORE)?.split_once('-')?;
    Some(Name::Staging {
        sequence: number(sequence)?,
        pid: number(pid)?,
    })
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn stamp(text: &str) -> Option<Timestamp> {
    let time = DateTime::strptime(STAMP, text).ok()?;
    let at = TimeZone::UTC.to_timestamp(time).ok()?;
    (at.strftime(STAMP).to_string() == text).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_back_whatever_the_folder_is_called() {
        let at: Timestamp = "2026-11-23T06:03:11Z".parse().unwrap();
        let names = [
            Name::Before { at, part: false },
            Name::Before { at, part: true },
            Name::Staging {
                sequence: 42,
                pid: 7,
            },
            Name::Exchange {
                at,
                inode: 257,
                subvolume: None,
            },
            Name::Exchange {
                at,
                inode: 256,
                subvolume: Some(u64::MAX),
            },
        ];
        for data in [&b"open-webui"[..], b"a.aidb-before-x", b"\xff\xfe", b".x"] {
            let data = OsStr::from_bytes(data);
            for name in &names {
                let text = name.beside(data);
                assert_eq!(Name::parse_beside(&text, data).as_ref(), Some(name));
            }
        }
        assert!(is_ours(&names[1].inside()) && is_ours(&names[2].inside()));
    }

    #[test]
    fn what_only_looks_like_a_name_of_ours_is_not() {
        for name in [
            ".aidb-before-",
            ".aidb-before-2026",
            ".aidb-before-20261123T060311Z-x",
            ".aidb-before-20261323T060311Z",
            ".aidb-restore-1",
            ".aidb-restore-+1-2",
            ".aidb-restore-1-2-3",
            "aidb-restore-1-2",
        ] {
            assert!(!is_ours(OsStr::new(name)), "{name}");
        }
        let other = OsStr::new("other.aidb-before-20261123T060311Z");
        assert_eq!(Name::parse_beside(other, OsStr::new("data")), None);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_make_the_newest_the_oldest() {
        let ahead: Timestamp = "2099-01-01T00:00:00Z".parse().unwrap();
        assert!(next_time([ahead].into_iter()) > ahead);
        assert_eq!(next_time(std::iter::empty()).subsec_nanosecond(), 0);
    }
}
