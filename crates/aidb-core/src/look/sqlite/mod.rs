//! One SQLite database as it lies on disk, read without SQLite, and a private copy of it, read with it.
//!
//! [`read`] promises to change nothing, to end, and never to panic, whatever the bytes. It gives facts, no judgement.

pub mod child;
pub mod disk;
pub mod examination;
pub(crate) mod free;
pub mod header;
pub mod integrity;
pub mod journal;
pub mod looks;
mod pages;
pub mod problem;
pub mod schema;
pub mod source;
pub(crate) mod sqltext;
pub mod values;
mod view;
pub mod wal;

#[cfg(test)]
mod tests;

use std::io;

use serde::Serialize;

pub use child::{ExamineError, Examiner, child_main};
pub use examination::{Class, Depth, Examination, ForeignKeys, Opened, Request};
pub use header::{Encoding, Header};
pub use journal::{JournalFacts, JournalState, SuperJournal};
pub use looks::Looks;
pub use problem::Problem;
pub use schema::{BadRoot, Schema, SchemaEntry};
pub use source::ReadAt;
pub use sqltext::Kind;
pub use wal::{Fits, WalFacts, WalState};

use pages::Layer;
use view::View;

/// The files of one database. A file that does not exist is `None`; that it cannot be opened is for the caller to say.
#[derive(Clone, Copy, Default)]
pub struct Files<'a> {
    /// The main file.
    pub main: Option<&'a dyn ReadAt>,
    /// `-wal` beside it.
    pub wal: Option<&'a dyn ReadAt>,
    /// `-journal` beside it.
    pub journal: Option<&'a dyn ReadAt>,
}

/// What the main file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "main", rename_all = "kebab-case")]
pub enum MainFile {
    /// There is none.
    Absent,
    /// It has 0 bytes: to SQLite a valid, empty database. A log or journal beside it is thrown away at the next open.
    Empty,
    /// SQLite would say "file is not a database".
    NotSqlite(NotSqlite),
    /// It has a header that SQLite accepts.
    Sqlite(Box<Header>),
    /// It could not be read.
    Unreadable {
        /// Why not.
        why: String,
    },
}

/// What a main file looks like that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotSqlite {
    /// What it looks like.
    pub looks: Looks,
}

/// What the bytes of one database say.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// What the main file is, and its header as it stands on disk.
    #[serde(flatten)]
    pub main: MainFile,
    /// The header as of the last commit: with the log laid over it, or a hot journal rolled back.
    pub current: Option<Header>,
    /// Size of the main file.
    pub size_bytes: u64,
    /// Pages of the database as of the last commit.
    pub expected_pages: u64,
    /// Whole pages in the main file.
    pub actual_pages: u64,
    /// Pages that should be there and are in neither the main file nor in what is laid over it.
    pub missing_pages: u64,
    /// Whether pages are missing.
    pub truncated: bool,
    /// Bytes of the main file behind the database's end, or of a broken last page. SQLite ignores them.
    pub trailing_bytes: u64,
    /// What the write-ahead log says.
    pub wal: WalFacts,
    /// What the rollback journal says.
    pub journal: JournalFacts,
    /// The schema as of the last commit. A log or journal that does not fit is left out, so that this is what the
    /// main file holds without it.
    pub schema: Result<Schema, Problem>,
}

impl Facts {
    /// Returns the names of the real tables, virtual ones included, without SQLite's own (`sqlite_…`).
    #[must_use]
    pub fn tables(&self) -> Vec<&str> {
        self.relations().map(|entry| entry.name.as_str()).collect()
    }

    /// Returns the schema entries of the real tables, virtual ones included, without SQLite's own.
    pub fn relations(&self) -> impl Iterator<Item = &SchemaEntry> {
        self.schema
            .iter()
            .flat_map(|schema| &schema.entries)
            .filter(|entry| {
                matches!(entry.kind, Kind::Table | Kind::Virtual)
                    && !entry
                        .name
                        .get(..7)
                        .is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"))
            })
    }

    /// Returns whether this database never held a table, and nothing beside it ever did: 0 bytes or no tables, no commit in
    /// the log, nothing to roll back. False when that cannot be said.
    #[must_use]
    pub fn never_initialised(&self) -> bool {
        let nothing = match (&self.main, &self.schema) {
            (MainFile::Empty, Err(Problem::NoDatabase)) => true,
            (MainFile::Empty | MainFile::Sqlite(_), Ok(schema)) => {
                schema.entries.is_empty() && schema.malformed.is_empty() && schema.complete
            }
            _ => false,
        };
        let log_is_clear = match self.wal.state {
            WalState::Absent | WalState::Empty => true,
            // A log that does not fit, or that lost commits, held somebody's tables.
            WalState::Ok => !matches!(self.wal.fits, Fits::No { .. }) && !self.wal.is_torn(),
            WalState::BadHeader { .. }
            | WalState::Unsupported { .. }
            | WalState::Unreadable { .. } => false,
        };
        let journal_is_clear = match self.journal.state {
            JournalState::Absent | JournalState::Empty | JournalState::Finished => true,
            JournalState::Ok => {
                !matches!(self.journal.fits, Fits::No { .. })
                    && (self.journal.hot || self.journal.initial_pages == 0)
            }
            JournalState::BadHeader { .. } | JournalState::Unreadable { .. } => false,
        };
        nothing && !self.truncated && log_is_clear && journal_is_clear
    }

    /// Returns whether the database had tables once and all of them were dropped: none now, but free pages.
    #[must_use]
    pub fn was_emptied(&self) -> bool {
        self.schema
            .as_ref()
            .is_ok_and(|schema| schema.complete && schema.entries.is_empty())
            && self
                .current
                .as_ref()
                .is_some_and(|header| header.schema_cookie > 0)
    }
}

/// Reads the files of one database. While anything may be writing to them, give it a clone.
#[must_use]
pub fn read(files: &Files<'_>) -> Facts {
    let size_bytes = files.main.map_or(0, ReadAt::len);
    let main = main_file(files.main).unwrap_or_else(|error| MainFile::Unreadable {
        why: error.to_string(),
    });
    let header = match &main {
        MainFile::Sqlite(header) => Some(header.as_ref()),
        _ => None,
    };
    let (mut wal, wal_index) = wal::read(files.wal);
    let (journal, journal_index) = journal::read(files.journal, size_bytes, header);
    let mut fits = header.map_or(Fits::CannotTell, |header| wal::fits(header, &wal));
    let rolls_back = journal.rolls_back() && !matches!(journal.fits, Fits::No { .. });
    let journal_layer = files.journal.filter(|_| rolls_back).map(|file| Layer {
        file,
        index: &journal_index,
    });
    let seen = view::Seen {
        main: files.main,
        size_bytes,
        page_size: header.map(|header| header.page_size),
        log: None,
        journal: journal_layer.map(|layer| (layer, &journal)),
    };
    let mut look = View::new(&seen);
    if let Some(file) = files.wal.filter(|_| wal.has_commits()) {
        let index = &wal_index;
        wal.waits = wal::waits(files.main, file, &wal, index);
        let with_log = View::new(&view::Seen {
            log: Some((Layer { file, index }, &wal)),
            ..seen
        });
        if header.is_some()
            && !matches!(fits, Fits::No { .. })
            && let Some(why) = with_log.contradiction(&look)
        {
            fits = Fits::No { why };
        }
        if !matches!(fits, Fits::No { .. }) {
            look = with_log;
        }
    }
    let View {
        header: current,
        schema,
        pages,
        whole: actual_pages,
        missing: missing_pages,
        trailing: trailing_bytes,
    } = look;
    let expected_pages = u64::from(pages.count);
    wal.fits = fits;
    Facts {
        main,
        current,
        size_bytes,
        expected_pages,
        actual_pages,
        missing_pages,
        truncated: missing_pages > 0,
        trailing_bytes,
        wal,
        journal,
        schema,
    }
}

fn main_file(file: Option<&dyn ReadAt>) -> io::Result<MainFile> {
    let Some(file) = file else {
        return Ok(MainFile::Absent);
    };
    if file.is_empty() {
        return Ok(MainFile::Empty);
    }
    let mut bytes = [0; header::LENGTH];
    let count = file.read_full_at(0, &mut bytes)?;
    Ok(match Header::parse(&bytes[..count]) {
        Ok(header) => MainFile::Sqlite(Box::new(header)),
        Err(why) => MainFile::NotSqlite(NotSqlite {
            looks: looks::look(file, why)?,
        }),
    })
}
