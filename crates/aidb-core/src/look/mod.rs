//! Looking without touching: from a guard's folder to observations. Knows no policy.

pub mod application;
pub mod boot;
pub mod chroma;
pub mod container;
pub mod content;
pub mod fingerprint;
pub mod nothing;
pub mod observation;
pub mod ollama;
mod private;
pub mod qdrant;
pub(crate) mod reading;
pub mod scan;
pub mod scratch;
pub mod seen;
pub mod sqlite;
pub mod standing;
mod super_journal;
pub mod tour;
pub mod unit;
pub mod uploads;
mod way;

pub use observation::{GuardObservation, StoreObservation};
pub use scratch::Scratch;
pub use way::{Depth, Way, Where};
