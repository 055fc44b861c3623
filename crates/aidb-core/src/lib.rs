//! The logic of aidb: looking at stores, judging, capturing, proving and restoring them.
//!
//! No flags, no printing, no colour here: those are the tools' business (`aidb-cli`).
//! The flow is one direction: `look` knows no policy, `judge` does no I/O, `capture` does not judge, `vault::prove`
//! works on the copy only. docs/design.md tells why.

#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "tests lay out files that need not survive a power cut"
    )
)]

pub mod aside_name;
pub mod capture;
pub mod catalog;
pub mod check;
pub mod discover;
pub mod drill;
pub mod error;
pub mod filesystem;
pub mod finding;
pub mod folder;
pub mod gate;
pub mod guard;
pub mod hash;
pub mod heal;
pub mod hex;
pub mod incarnation;
pub mod judge;
pub mod ledger;
mod lines;
pub mod lock;
pub mod look;
pub mod manifest;
pub mod memory;
pub mod migrate;
pub mod monitor;
pub(crate) mod mounts;
pub mod pairing;
pub mod podman;
pub mod priority;
pub mod program;
pub mod progress;
pub mod rename;
pub mod report;
pub mod rescue;
pub mod runs;
pub mod settings;
pub mod space;
pub mod stack;
pub mod staging;
mod step;
pub mod systemd;
pub mod userns;
pub mod vault;
mod words;

pub use error::{Error, Result};

/// Does what this process was started for by another of ours, and returns its status; `None` if a person or a hook
/// started it. Every tool's `main` calls it first.
#[must_use]
pub fn child_main() -> Option<std::process::ExitCode> {
    look::sqlite::child_main()
        .or_else(rescue::child_main)
        .or_else(capture::freeze::child_main)
}
