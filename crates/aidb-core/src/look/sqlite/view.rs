//! One way to see the database: the main file with some layers over it.

use super::header::Header;
use super::journal::JournalFacts;
use super::pages::{Layer, Pages};
use super::schema;
use super::schema::Schema;
use super::source::ReadAt;
use super::wal::WalFacts;
use crate::look::sqlite::problem::Problem;

/// The database with certain layers over the main file.
pub(super) struct View<'a> {
    pub(super) pages: Pages<'a>,
    pub(super) header: Option<Header>,
    pub(super) schema: Result<Schema, Problem>,
    /// Whole pages in the main file.
    pub(super) whole: u64,
    pub(super) missing: u64,
    pub(super) trailing: u64,
}

/// What is looked at.
pub(super) struct Seen<'a> {
    pub(super) main: Option<&'a dyn ReadAt>,
    pub(super) size_bytes: u64,
    /// As the main file's own header says.
    pub(super) page_size: Option<u32>,
    /// The log, if it has commits.
    pub(super) log: Option<(Layer<'a>, &'a WalFacts)>,
    /// The journal, if it rolls back.
    pub(super) journal: Option<(Layer<'a>, &'a JournalFacts)>,
}

impl<'a> View<'a> {
    /// Looks at the main file through the journal, if there is one, and the log, if there is one.
    pub(super) fn new(seen: &Seen<'a>) -> Self {
        let page_size = match (seen.log, seen.journal) {
            (Some((_, log)), _) => log.page_size,
            (None, Some((_, journal))) => journal.page_size,
            (None, None) => seen.page_size.unwrap_or(0),
        };
        let layers = [
            seen.log.map(|(layer, _)| layer),
            seen.journal.map(|(layer, _)| layer),
        ];
        let mut view = Self {
            pages: Pages {
                main: seen.main,
                layers: layers.into_iter().flatten().collect(),
                page_size,
                usable: page_size,
                count: 0,
            },
            header: None,
            schema: Err(Problem::NoDatabase),
            whole: seen
                .size_bytes
                .checked_div(u64::from(page_size))
                .unwrap_or(0),
            missing: 0,
            trailing: 0,
        };
        let undone = seen.log.is_none()
            && seen
                .journal
                .is_some_and(|(_, journal)| journal.initial_pages == 0);
        if undone {
            // The transaction that is rolled back made the database: nothing is left of it.
            view.schema = Ok(Schema {
                complete: true,
                ..Schema::default()
            });
        } else if page_size > 0 {
            view.fill(seen);
        }
        view
    }

    fn fill(&mut self, seen: &Seen<'a>) {
        self.pages.count = 1;
        let header = self
            .pages
            .read(1)
            .and_then(|page| Header::parse(&page).map_err(|why| Problem::damaged(1, why)));
        let header = match header {
            Ok(header) => header,
            Err(problem) => {
                self.pages.count = 0;
                self.schema = Err(problem);
                return;
            }
        };
        let promised = if header.page_count_is_valid() {
            header.page_count
        } else {
            0
        };
        self.pages.count = match (seen.log, seen.journal) {
            (Some((_, log)), _) => log.pages.max(promised),
            (None, Some((_, journal))) => journal.initial_pages,
            (None, None) if promised > 0 => promised,
            (None, None) => u32::try_from(self.whole).unwrap_or(u32::MAX),
        };
        let size_bytes = seen.size_bytes;
        let size = u64::from(self.pages.page_size);
        self.missing = self.pages.missing(self.whole);
        self.trailing = if self.pages.layers.is_empty() && self.missing == 0 {
            size_bytes.saturating_sub(u64::from(self.pages.count) * size)
        } else {
            size_bytes % size
        };
        if header.page_size == self.pages.page_size {
            self.pages.usable = header.page_size - u32::from(header.reserved_bytes);
            self.schema = schema::read(&self.pages, &header);
        } else {
            self.schema = Err(Problem::damaged(
                1,
                format!(
                    "page size: expected {}, found {}",
                    self.pages.page_size, header.page_size
                ),
            ));
        }
        self.header = Some(header);
    }

    fn is_sound(&self) -> bool {
        self.missing == 0
            && self.schema.as_ref().is_ok_and(|schema| {
                schema.complete && schema.malformed.is_empty() && schema.bad_roots.is_empty()
            })
    }

    /// Returns why this view, with a log whose checksums are right, cannot be, although `alone`, without it, is sound.
    /// A log that belongs here repairs what an unfinished checkpoint left; it does not break what is whole.
    pub(super) fn contradiction(&self, alone: &Self) -> Option<String> {
        if !alone.is_sound() {
            return None;
        }
        let Ok(schema) = &self.schema else {
            return match &self.schema {
                Err(Problem::Damaged { .. }) => Some(format!(
                    "the schema is sound without it and damaged with it: {}",
                    self.schema.as_ref().err()?
                )),
                _ => None,
            };
        };
        if let Some(what) = schema.malformed.first() {
            return Some(format!(
                "the schema is sound without it and malformed with it: {what}"
            ));
        }
        let root = schema
            .bad_roots
            .iter()
            .find(|root| !self.pages.is_layered(root.page))?;
        Some(format!(
            "with it `{}` has its root on page {}, where the database has something else: {}",
            root.name, root.page, root.why
        ))
    }
}
