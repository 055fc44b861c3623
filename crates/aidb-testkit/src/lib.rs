//! Builds stores, damages them, and runs the tools on them: for tests only.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test that cannot be set up must fail"
)]

pub mod chroma;
pub mod fixture;
pub mod ollama;
pub mod qdrant;
pub mod stack;
pub mod state;
pub mod variant;

pub use fixture::unpack;
pub use stack::{Ran, Stack};
pub use state::tree_state;
pub use variant::Variant;
