//! Capturing: from a live data folder to a private copy of it. Judges nothing, changes nothing of the source.
//!
//! Databases are copied under a pin (`pin`), everything else by reflink or sparse copy (`copy`). No SQLite ever opens
//! an original.

pub mod copy;
pub mod database;
pub mod pin;
pub mod tree;
pub mod walk;

pub use tree::{Captured, tree};
pub use walk::Root;
