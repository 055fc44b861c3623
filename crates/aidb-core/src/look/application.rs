//! What was found of a store in its application's own terms.

use super::chroma::{self, Chroma};
use super::ollama::{self, Ollama};
use super::qdrant::{self, Qdrant};
use super::seen::Seen;
use super::sqlite::values::{ByTable, Wanted};
use super::tour::{Ended, Several, Tour};
use super::uploads::{self, Uploads};
use super::way::Way;
use crate::capture::Root;
use crate::guard::{Guard, Store, StoreKind};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// In the application's terms.
    pub terms: Terms,
    /// Names that could not be looked at, with the reason: nothing is concluded from them.
    pub unlooked: Several,
    /// Why not everything was looked at.
    pub ended: Option<Ended>,
}

/// What an application's files say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// Chroma's index folders.
    Chroma(Chroma),
    /// Ollama's manifests and blobs.
    Ollama(Ollama),
    /// Qdrant's collections.
    Qdrant(Qdrant),
    /// The files that a database names.
    Uploads(Uploads),
}

impl Application {
    /// Returns what a look that stands found of the files that a database names.
    #[must_use]
    pub fn of_uploads(uploads: Uploads) -> Self {
        Self {
            terms: Terms::Uploads(uploads),
            unlooked: Several::default(),
            ended: None,
        }
    }

    /// Returns whether something is wrong that a moment of somebody's write could also have shown.
    #[must_use]
    pub fn shows_damage(&self) -> bool {
        let lists: &[&Several] = match &self.terms {
            Terms::Chroma(c) => &[&c.missing, &c.truncated],
            Terms::Ollama(o) => {
                if o.manifests == 0 && o.blobs > 0 {
                    return true;
                }
                &[&o.bad_manifests, &o.missing, &o.wrong_size]
            }
            Terms::Qdrant(q) => &[&q.bad_json, &q.bad_segments, &q.bad_logs, &q.unmarked_logs],
            // A second look at the whole database is not worth a file that goes while we look.
            Terms::Uploads(_) => &[],
        };
        lists.iter().any(|l| !l.is_empty())
    }

    /// Returns what is worth remembering, for the kinds that have no database.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let Terms::Ollama(ollama) = &self.terms else {
            return None;
        };
        let whole = self.ended.is_none() && self.unlooked.is_empty();
        whole.then(|| Seen {
            rows: [
                (MODELS.to_owned(), ollama.models),
                ("blob".to_owned(), ollama.blobs),
            ]
            .into(),
            size_bytes: ollama.named_bytes,
            ..Seen::default()
        })
    }
}

/// Under which name the number of models is remembered.
pub const MODELS: &str = "model";

/// Returns what must be known of a store's database.
pub(super) fn wanted(store: &Store) -> Vec<Wanted> {
    match (store.kind, &store.contract.files) {
        (StoreKind::Chroma, _) => chroma::wanted(),
        (StoreKind::Sqlite, Some(column)) => vec![uploads::wanted(column)],
        _ => Vec::new(),
    }
}

/// Looks at a store; `values` are those of its database, if it has one and it was opened.
pub(super) fn look(
    root: &Root,
    guard: &Guard,
    store: &Store,
    way: &Way,
    values: Option<&ByTable>,
) -> Option<Application> {
    let mut tour = Tour::new(root, way.deadline);
    let terms = match store.kind {
        StoreKind::Chroma => Terms::Chroma(chroma::look(&mut tour, &store.path, values?)?),
        StoreKind::Ollama => Terms::Ollama(ollama::look(&mut tour, &store.path)),
        StoreKind::Qdrant => Terms::Qdrant(qdrant::look(&mut tour, &store.path)),
        StoreKind::Sqlite => {
            let column = store.contract.files.as_ref()?;
            Terms::Uploads(uploads::look(&mut tour, guard, way, column, values?)?)
        }
        StoreKind::Files => return None,
    };
    let values_complete = values.is_none_or(|v| v.values().all(|v| v.complete));
    Some(Application {
        terms,
        unlooked: tour.unlooked,
        ended: tour.ended.or((!values_complete).then_some(Ended::TooMuch)),
    })
}
