//! `aidb-snapshot` keeps a guard's data, proves what it kept, and brings it back.

mod archive;
mod choose;
mod diff;
mod drill;
mod entries;
mod lacking;
mod lines;
mod list;
mod port;
mod prove;
mod prune;
mod rescue;
mod rescues;
mod restore;
mod take;
mod told;
mod undo;
mod verify;

use std::process::ExitCode;

use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use clap::{Parser, Subcommand};

/// Keep data, prove what was kept, bring it back
///
/// A snapshot counts only after it was opened and checked. Statuses: 0 done, 1 the answer is no, 2 usage or settings,
/// 3 could not, 4 busy.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take a snapshot, and prove it
    Take(take::Args),
    /// Open and check snapshots that nobody has proven yet
    Prove(prove::Args),
    /// List snapshots
    List(list::ListArgs),
    /// Show one snapshot
    Show(list::ShowArgs),
    /// Tell what changed between two snapshots, or since one
    ///
    /// Files with their sizes, and the rows of each table. The present data is looked at without touching it.
    Diff(diff::Args),
    /// Compare snapshots with their manifests
    Verify(verify::Args),
    /// Bring a snapshot back; what is there now is kept aside
    Restore(restore::Args),
    /// Swap back what the last restore put aside
    Undo(undo::Args),
    /// Remove the snapshots that no rule keeps
    Prune(prune::Args),
    /// Write the newest proven snapshot as one independent file, and read it back
    ///
    /// A `.tar.xz` of real bytes in the vault's `archive/` folder, which may be another disk. It works at idle priority, and
    /// keeps the newest ones (`keep.archives`).
    Archive(archive::Args),
    /// Write a snapshot to a file, for another machine
    Export(port::ExportArgs),
    /// Bring in a file that `export` or `archive` wrote, and prove it anew
    Import(port::ImportArgs),
    /// Keep what containers wrote outside their volumes, before they go
    Rescue(rescue::Args),
}

fn main() -> ExitCode {
    aidb_cli::tool(|args: &Args| &args.common, run)
}

fn run(args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let common = &args.common;
    match &args.verb {
        Verb::Take(args) => take::take(common, args, ui),
        Verb::Prove(args) => prove::prove(common, args, ui),
        Verb::List(args) => list::list(common, args, ui),
        Verb::Show(args) => list::show(common, args, ui),
        Verb::Diff(args) => diff::diff(common, args, ui),
        Verb::Verify(args) => verify::verify(common, args, ui),
        Verb::Restore(args) => restore::restore(common, args, ui),
        Verb::Undo(args) => undo::undo(common, args, ui),
        Verb::Prune(args) => prune::prune(common, args, ui),
        Verb::Archive(args) => archive::archive(common, args, ui),
        Verb::Export(args) => port::export(common, args, ui),
        Verb::Import(args) => port::import(common, args, ui),
        Verb::Rescue(args) => rescue::rescue(common, args, ui),
    }
}
