//! Judging: from observations and memory to findings and a verdict. Pure; no I/O.

pub mod finding;
pub mod verdict;

pub use finding::{Finding, FindingId, Severity, Step};
pub use verdict::Verdict;
