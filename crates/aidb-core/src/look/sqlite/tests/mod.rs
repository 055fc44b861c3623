//! Databases that SQLite itself made, and what was done to them.
