//! One SQLite database as it lies on disk, read without SQLite, and a private copy of it, read with it.

pub mod disk;
pub mod integrity;
