//! Looking without touching: from a guard's folder to observations. Knows no policy.

pub mod sqlite;
