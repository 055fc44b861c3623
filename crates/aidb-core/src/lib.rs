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

// Rooms, floor by floor: a room knows rooms of the floors above it in this list, and no others (tests/rooms.rs).

// Words, and what the system offers.
pub mod aside_name;
pub mod error;
pub mod filesystem;
pub mod guard;
pub mod hex;
pub mod image;
pub mod incarnation;
mod lines;
pub(crate) mod mounts;
pub mod priority;
pub mod progress;
pub mod runs;
mod step;
mod words;

pub mod catalog;
pub mod finding;
pub mod folder;
pub mod hash;
pub mod lock;
pub mod manifest;
pub mod program;
pub mod space;

// What is to be guarded.
pub mod settings;
pub mod staging;

pub mod discover;
pub mod systemd;
pub mod userns;

// From a data folder to a private copy of it.
pub mod capture;
pub mod generation;

pub mod podman;

// From a data folder to observations, and from these to findings.
pub mod look;

pub mod memory;
pub mod report;

pub mod judge;

// What is kept, and what is remembered.
pub mod vault;

pub mod ledger;
pub mod rescue;

pub mod pairing;
pub mod rename;

pub mod stack;

// What the tools do.
pub mod heal;
pub mod migration;
pub mod older;

pub mod check;

pub mod drill;
pub mod gate;
pub mod migrate;

pub mod monitor;

pub use error::{Error, Result};

/// Does what this process was started for by another of ours, and returns its status; `None` if a person or a hook
/// started it. Every tool's `main` calls it first.
#[must_use]
pub fn child_main() -> Option<std::process::ExitCode> {
    look::sqlite::child_main()
        .or_else(rescue::child_main)
        .or_else(capture::freeze::child_main)
}
