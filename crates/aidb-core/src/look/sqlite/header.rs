//! The 100-byte header of a database ("SQLite file format", 1.3).

use serde::Serialize;

use super::source::{be16, be32};

/// The first 16 bytes of every SQLite 3 database ("SQLite file format", 1.3.1).
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The header's length in bytes.
pub const LENGTH: usize = 100;

/// What the header says, as it stands on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Bytes a page, 512 to 65536 (1.3.2).
    pub page_size: u32,
    /// Who may write: 1 rollback journal, 2 write-ahead log, more is a newer format (1.3.3).
    pub write_version: u8,
    /// How it is read: 1 rollback journal, 2 write-ahead log, more is a newer format (1.3.3).
    pub read_version: u8,
    /// Bytes at each page's end that belong to an extension such as a checksum (1.3.4).
    pub reserved_bytes: u8,
    /// Counts the transactions in rollback mode (1.3.6).
    pub change_counter: u32,
    /// Size of the database in pages, meaningful if [`Header::page_count_is_valid`] (1.3.7).
    pub page_count: u32,
    /// First page of the list of free pages (1.3.8).
    pub freelist_trunk: u32,
    /// How many pages are free (1.3.8).
    pub freelist_pages: u32,
    /// Changes with each change of the schema (1.3.9).
    pub schema_cookie: u32,
    /// 1 to 4; 0 until the first table is made (1.3.10).
    pub schema_format: u32,
    /// 1 UTF-8, 2 UTF-16le, 3 UTF-16be; 0 until the first table is made (1.3.13).
    pub text_encoding: u32,
    /// The application's own number (1.3.14).
    pub user_version: u32,
    /// The application's own mark (1.3.15).
    pub application_id: u32,
    /// The change counter when `page_count` was written (1.3.16).
    pub version_valid_for: u32,
    /// The `SQLITE_VERSION_NUMBER` that wrote last (1.3.16).
    pub sqlite_version: u32,
    /// Whether pointer maps are kept: the root of the largest tree is not 0 (1.3.12).
    pub auto_vacuum: bool,
}

/// How the text of the database is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, least significant byte first.
    Utf16Le,
    /// UTF-16, most significant byte first.
    Utf16Be,
}

impl Header {
    /// Reads the header.
    ///
    /// # Errors
    /// Returns why SQLite would say "file is not a database" although the magic is there, or why no header can be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(MAGIC) {
            return Err("the first 16 bytes are not SQLite's".to_owned());
        }
        if bytes.len() < LENGTH {
            return Err(format!(
                "the header is cut: expected {LENGTH} bytes, found {}",
                bytes.len()
            ));
        }
        let page_size = match be16(bytes, 16) {
            1 => 65_536,
            size => u32::from(size),
        };
        if !(512..=65_536).contains(&page_size) || !page_size.is_power_of_two() {
            return Err(format!(
                "page size: expected a power of two from 512 to 65536, found {page_size}"
            ));
        }
        // The smallest usable size is 480 bytes (1.3.4).
        let reserved_bytes = bytes[20];
        if page_size - u32::from(reserved_bytes) < 480 {
            return Err(format!(
                "reserved bytes: {reserved_bytes} of a page of {page_size} leave less than 480"
            ));
        }
        // The payload fractions are fixed (1.3.5), and SQLite refuses others.
        if bytes[21..24] != [64, 32, 32] {
            return Err(format!(
                "payload fractions: expected 64, 32, 32, found {}, {}, {}",
                bytes[21], bytes[22], bytes[23]
            ));
        }
        Ok(Self {
            page_size,
            write_version: bytes[18],
            read_version: bytes[19],
            reserved_bytes,
            change_counter: be32(bytes, 24),
            page_count: be32(bytes, 28),
            freelist_trunk: be32(bytes, 32),
            freelist_pages: be32(bytes, 36),
            schema_cookie: be32(bytes, 40),
            schema_format: be32(bytes, 44),
            text_encoding: be32(bytes, 56),
            user_version: be32(bytes, 60),
            application_id: be32(bytes, 68),
            version_valid_for: be32(bytes, 92),
            sqlite_version: be32(bytes, 96),
            auto_vacuum: be32(bytes, 52) != 0,
        })
    }

    /// Returns whether the database is in write-ahead-log mode, as SQLite decides it: by the read version.
    #[must_use]
    pub fn is_wal(&self) -> bool {
        self.read_version == 2
    }

    /// Returns whether `page_count` counts ("SQLite file format", 1.3.7).
    #[must_use]
    pub fn page_count_is_valid(&self) -> bool {
        self.page_count > 0 && self.change_counter == self.version_valid_for
    }

    /// Returns why this SQLite cannot read it although it is not damaged: a format of the future.
    #[must_use]
    pub fn unsupported(&self) -> Option<String> {
        if self.read_version > 2 {
            return Some(format!(
                "read version: expected 1 or 2, found {}",
                self.read_version
            ));
        }
        (self.schema_format > 4).then(|| {
            format!(
                "schema format: expected 1 to 4, found {}",
                self.schema_format
            )
        })
    }

    /// Returns what in the header cannot be.
    #[must_use]
    pub fn damaged(&self) -> Option<String> {
        if self.read_version == 0 || self.write_version == 0 {
            return Some(format!(
                "file format versions: expected 1 or 2, found {} and {}",
                self.write_version, self.read_version
            ));
        }
        (self.text_encoding > 3).then(|| {
            format!(
                "text encoding: expected 1 to 3, found {}",
                self.text_encoding
            )
        })
    }

    /// Returns how text is stored; SQLite takes 0 for UTF-8.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self.text_encoding {
            2 => Encoding::Utf16Le,
            3 => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        }
    }
}
