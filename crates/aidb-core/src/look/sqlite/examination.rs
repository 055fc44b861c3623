//! What an examination is asked, and what it answers. Both cross a process boundary as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::values::{ByTable, Wanted};
use crate::guard::{Column, Identity};

/// How deep SQLite checks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Not at all: open, recover, count.
    Bytes,
    /// `PRAGMA quick_check`: everything but indexes against their tables.
    #[default]
    Quick,
    /// `PRAGMA integrity_check`.
    Full,
}

/// What is asked of a private copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// How deep SQLite checks.
    pub depth: Depth,
    /// Whether the write-ahead log is folded into the main file and removed. The journal mode stays.
    pub fold: bool,
    /// Whether foreign keys are checked.
    pub foreign_keys: bool,
    /// Whether the rows of every table are counted.
    pub count_rows: bool,
    /// Where the schema's revision is written.
    pub revision: Option<Column>,
    /// The rows that tell this database from another one.
    pub identity: Option<Identity>,
    /// Of which tables which columns are to be told.
    #[serde(default)]
    pub wanted: Vec<Wanted>,
}

/// Whether SQLite could open the copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "opened", rename_all = "kebab-case")]
pub enum Opened {
    /// It could.
    Yes,
    /// SQLite says that it is damaged, or no database.
    Damaged {
        /// In SQLite's words.
        message: String,
    },
    /// It could not find out: no memory, an unsupported format, a file that cannot be read.
    CouldNot {
        /// In SQLite's words, or ours.
        message: String,
    },
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The structure is damaged.
    Damaged,
    /// An index and its table, or a constraint and its rows, disagree: `REINDEX` or a look at the rows helps.
    IndexDisagrees,
    /// It could not be found out: a function, collation or module that only the application has; memory; I/O.
    CouldNot,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about.
    pub class: Class,
    /// In SQLite's words, with what was attempted.
    pub message: String,
}

/// Rows that refer to rows that do not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeys {
    /// How many; absent if it was not asked or not found out.
    pub violations: Option<u64>,
    /// The first few, such as `group_member row 3 -> group`.
    pub first: Vec<String>,
}

/// What SQLite says about a private copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// Whether it could be opened.
    #[serde(flatten)]
    pub opened: Opened,
    /// What the check says; empty is `ok` if `checked` is not `bytes`.
    pub integrity: Vec<Problem>,
    /// What was checked to its end. `Bytes` if the check was not asked, or did not end.
    pub checked: Depth,
    /// Rows of each real table; absent where they could not be counted. Without virtual tables.
    pub tables: BTreeMap<String, Option<u64>>,
    /// Virtual tables, not counted.
    pub virtual_tables: Vec<String>,
    /// Values of the revision column, five at most.
    pub revision: Vec<String>,
    /// BLAKE3 of the identity of each of the eight oldest rows, in hexadecimal.
    pub identity: Vec<String>,
    /// Columns that were asked for and that their tables lack.
    pub missing_columns: Vec<String>,
    /// Foreign keys.
    pub foreign_keys: ForeignKeys,
    /// The application's own number.
    pub user_version: Option<i64>,
    /// The application's own mark.
    pub application_id: Option<i64>,
    /// Bytes a page.
    pub page_size: Option<u64>,
    /// Pages of the database.
    pub page_count: Option<u64>,
    /// Free pages among them.
    pub free_pages: Option<u64>,
    /// As SQLite names it: `wal`, `delete`, …
    pub journal_mode: Option<String>,
    /// Whether the log was folded completely, if that was asked.
    pub folded: Option<bool>,
    /// What the wanted columns hold, where the table has them.
    #[serde(default)]
    pub values: ByTable,
    /// Whether the time was not enough; then something above is missing.
    pub deadline_hit: bool,
    /// What could not be found out, and damage met outside of the check.
    pub errors: Vec<Problem>,
}

impl Examination {
    pub(super) fn new(opened: Opened) -> Self {
        Self {
            opened,
            integrity: Vec::new(),
            checked: Depth::Bytes,
            tables: BTreeMap::new(),
            virtual_tables: Vec::new(),
            revision: Vec::new(),
            identity: Vec::new(),
            missing_columns: Vec::new(),
            foreign_keys: ForeignKeys::default(),
            user_version: None,
            application_id: None,
            page_size: None,
            page_count: None,
            free_pages: None,
            journal_mode: None,
            folded: None,
            values: ByTable::default(),
            deadline_hit: false,
            errors: Vec::new(),
        }
    }

    /// Returns every problem, of the check and outside of it.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.integrity.iter().chain(&self.errors)
    }

    /// Returns whether anything says that the structure is damaged.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.opened, Opened::Damaged { .. })
            || self
                .problems()
                .any(|problem| problem.class == Class::Damaged)
    }
}
