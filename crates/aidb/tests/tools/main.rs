//! The tools together, as people and units run them, on files that real applications wrote.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up must fail"
)]

mod alerts;
mod application;
mod archived;
mod bad_folder;
mod bad_settings;
mod beside_writers;
mod discovered;
mod documents;
mod elsewhere;
mod full_disk;
mod gate;
mod generated;
mod held;
mod history;
mod hostile_archive;
mod killed;
mod ledger;
mod lost_log;
mod models;
mod monitor;
mod moved;
mod next_steps;
mod odd_files;
mod originals;
mod presets;
mod remote_vault;
mod renamed;
mod rescued;
mod restored;
mod rotten;
mod round_trip;
mod several;
mod shell;
mod snapshots;
mod stopped;
mod sub_uids;
mod together;
mod two_runs;
mod units;
mod untouched;

use aidb_testkit::Stack;

/// The program that `aidb` names; the other tools lie beside it.
const AIDB: &str = env!("CARGO_BIN_EXE_aidb");

/// A healthy folder whose newest chats are in the write-ahead log.
const LARGE: &str = "openwebui-0.12.4-large";

/// A healthy folder of few bytes, in rollback mode.
const SMALL: &str = "openwebui-0.6.38-small";

/// Lays out a home with a packed fixture as the data folder.
fn with(fixture: &str) -> Stack {
    Stack::with(AIDB, fixture)
}

/// Lays out a home with a small data folder of which a proven snapshot exists.
fn kept() -> Stack {
    let stack = with(SMALL);
    let _ = stack.run("aidb take").with(0);
    stack
}
