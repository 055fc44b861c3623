//! Capturing: from a live data folder to a private copy of it. Judges nothing, changes nothing of the source.
//!
//! What is the same as in the newest proven snapshot is linked (`plan`). Databases are copied under a pin (`pin`),
//! everything else by reflink or sparse copy (`copy`). No SQLite ever opens an original.

pub mod attributes;
pub mod blobs;
pub mod copy;
pub mod database;
pub mod freeze;
pub mod links;
pub mod pin;
pub mod plan;
pub mod tree;
pub mod walk;

pub use copy::Limits;
pub use tree::{Captured, Manner, tree};
pub use walk::Root;
