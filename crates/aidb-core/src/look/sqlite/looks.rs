//! What a file looks like that is not an SQLite database.

use std::io;

use serde::Serialize;

use super::header::MAGIC;
use super::source::ReadAt;

/// What a file that SQLite refuses looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Looks {
    /// Begins as a database, but its header is cut or impossible.
    BadHeader {
        /// What was expected and what was found.
        why: String,
    },
    /// Fewer bytes than a header, and not text.
    TooShort,
    /// Nothing but zero bytes at its beginning and end.
    Zeros,
    /// Zero bytes at its beginning, something else later.
    ZerosFirst,
    /// The small text file that git-lfs leaves instead of the content.
    GitLfsPointer,
    /// A gzip file.
    Gzip,
    /// A zip archive.
    Zip,
    /// Another known kind of compressed file.
    Compressed,
    /// An SQL dump.
    SqlDump,
    /// Text.
    Text,
    /// Random bytes: possibly encrypted by `SQLCipher`.
    Random,
    /// Something else.
    Unknown,
}

impl Looks {
    /// Returns it in words that complete "it looks like …".
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::BadHeader { .. } => "a database with a damaged header",
            Self::TooShort => "the first bytes of something",
            Self::Zeros => "zeros",
            Self::ZerosFirst => "a file whose beginning was lost to zeros",
            Self::GitLfsPointer => "a git-lfs pointer",
            Self::Gzip => "a gzip file",
            Self::Zip => "a zip archive",
            Self::Compressed => "a compressed file",
            Self::SqlDump => "an SQL dump",
            Self::Text => "text",
            Self::Random => "random bytes (possibly encrypted by SQLCipher)",
            Self::Unknown => "something else",
        }
    }
}

/// How much of either end is looked at.
const SAMPLE_BYTES: usize = 64 * 1024;

/// Returns what a file without a usable header looks like; `why` is the header's fault.
pub(super) fn look(file: &dyn ReadAt, why: String) -> io::Result<Looks> {
    let mut head = vec![0; SAMPLE_BYTES];
    let count = file.read_full_at(0, &mut head)?;
    head.truncate(count);
    let looks = from_head(&head, why);
    if looks != Looks::Zeros {
        return Ok(looks);
    }
    let mut tail = vec![0; SAMPLE_BYTES];
    let from = file.len().saturating_sub(SAMPLE_BYTES as u64);
    let count = file.read_full_at(from, &mut tail)?;
    Ok(if tail[..count].iter().all(|byte| *byte == 0) {
        Looks::Zeros
    } else {
        Looks::ZerosFirst
    })
}

fn from_head(head: &[u8], why: String) -> Looks {
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(MAGIC) || (!head.is_empty() && MAGIC.starts_with(head)) {
        Looks::BadHeader { why }
    } else if head.iter().all(|byte| *byte == 0) {
        Looks::Zeros
    } else if starts(b"version https://git-lfs.github.com/") {
        Looks::GitLfsPointer
    } else if starts(&[0x1f, 0x8b]) {
        Looks::Gzip
    } else if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
        Looks::Zip
    } else if [
        &b"\xfd7zXZ\0"[..],
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"7z\xbc\xaf\x27\x1c",
        b"\x04\x22\x4d\x18",
    ]
    .iter()
    .any(|magic| starts(magic))
    {
        Looks::Compressed
    } else if starts(b"PRAGMA foreign_keys") || starts(b"BEGIN TRANSACTION") {
        Looks::SqlDump
    } else if is_text(head) {
        Looks::Text
    } else if head.len() < super::header::LENGTH {
        Looks::TooShort
    } else if is_random(head) {
        Looks::Random
    } else {
        Looks::Unknown
    }
}

/// UTF-8 without control characters other than white space; a cut last character is forgiven.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.is_empty()
        && valid
            .chars()
            .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b'))
}

/// Every byte value about equally often. The expected squared deviation of random bytes is 255 with a standard
/// deviation of 23; files with any structure are in the thousands.
fn is_random(head: &[u8]) -> bool {
    if head.len() < 1024 {
        return false;
    }
    let mut counts = [0_u32; 256];
    for byte in head {
        counts[usize::from(*byte)] += 1;
    }
    let expected = f64::from(u32::try_from(head.len()).unwrap_or(u32::MAX)) / 256.0;
    let deviation: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum();
    deviation < 255.0 + 6.0 * 23.0
}
