//! Builds stores, damages them, and runs the tools on them: for tests only.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test that cannot be set up must fail"
)]

pub mod application;
pub mod chroma;
pub mod content;
pub mod corpus;
pub mod damage;
pub mod disk;
pub mod each;
pub mod fixture;
pub mod machine;
pub mod ollama;
pub mod own_cases;
pub mod qdrant;
pub mod ran;
pub mod stack;
pub mod state;
pub mod variant;
pub mod watch;

pub use application::Application;
pub use content::content;
pub use each::on_every_core;
pub use fixture::unpack;
pub use machine::{is_root, left_out};
pub use ran::Ran;
pub use stack::Stack;
pub use state::tree_state;
pub use variant::Variant;
pub use watch::Watch;
