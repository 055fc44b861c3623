//! Looking without touching: from a guard's folder to observations. Knows no policy.

pub mod fingerprint;
pub mod observation;
pub mod scan;
pub mod sqlite;

pub use observation::{GuardObservation, StoreObservation};
pub use scan::{Depth, Way, Where};
