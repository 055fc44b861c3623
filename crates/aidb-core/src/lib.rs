//! The logic of aidb: looking at stores, judging, capturing, proving and restoring them.
//!
//! No flags, no printing, no colour here: those are the tools' business (`aidb-cli`).
//! The flow is one direction: `look` knows no policy, `judge` does no I/O, `capture` does not judge, `vault::prove`
//! works on the copy only. docs/design.md tells why.

pub mod catalog;
pub mod discover;
pub mod error;
pub mod guard;
pub mod judge;
pub mod look;
pub mod settings;

pub use error::{Error, Result};
