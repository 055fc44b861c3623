//! `verify`: does what was kept still equal what its manifest says?

use std::time::Duration;

use aidb_cli::text::{count, plain};
use aidb_cli::{Common, Ui, common::duration, snapshots};
use aidb_core::judge::Verdict;
use aidb_core::lock::{Lock, Mode};
use aidb_core::manifest::RelPath;
use aidb_core::progress::Progress;
use aidb_core::stack::{Kept, Stack};
use aidb_core::vault::verify::{self, Reading, Verified};
use aidb_core::vault::{Archive, Snapshot};
use aidb_core::{Error, priority};
use serde_json::{Value, json};

/// How long to wait for whoever holds the guard.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Snapshot to verify: GUARD/ID, a prefix of it, or GUARD for its newest proven one (without one, all proven ones)
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,

    /// Read every byte from the disk, not from the cache, and the archives too; at idle priority
    #[arg(long)]
    read_all: bool,

    /// Start the application of the same image, without a network, on a throwaway copy (without a snapshot: the newest
    /// proven one of each guard)
    #[arg(long, conflicts_with = "read_all")]
    drill: bool,

    /// With `--drill`: how long the application has to stay up
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration, requires = "drill")]
    stay: Duration,

    /// With `--drill`: how long it may take
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = duration, requires = "drill")]
    deadline: Duration,
}

/// One run, with what it has found.
struct Run<'r> {
    stack: &'r Stack,
    reading: Reading,
    progress: Box<dyn Progress>,
    ui: &'r Ui,
    documents: Vec<Value>,
    verdicts: Vec<Verdict>,
}

pub fn verify(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    if args.drill {
        return crate::drill::drill(common, &args.snapshots, args.stay, args.deadline, ui);
    }
    let stack = Stack::open(common.config.as_deref())?;
    if args.read_all {
        priority::idle();
    }
    let mut run = Run {
        stack: &stack,
        reading: Reading::new(args.read_all),
        progress: ui.progress(),
        ui,
        documents: Vec::new(),
        verdicts: Vec::new(),
    };
    if args.snapshots.is_empty() {
        run.everything(args.read_all)?;
    }
    for name in &args.snapshots {
        match stack.kept(name)? {
            Kept::Snapshot(snapshot) => run.snapshot(&snapshot)?,
            Kept::Archive(archive) => run.archive(&archive)?,
        }
    }
    let Run {
        documents,
        verdicts,
        ..
    } = run;
    let nothing = documents.is_empty();
    let verdict = Verdict::over(verdicts);
    if ui.is_json() {
        ui.document(&json!({ "schema": 1, "tool": "aidb-snapshot", "verdict": verdict, "snapshots": documents }));
    } else if nothing {
        ui.line("there is no proven snapshot to verify");
    }
    Ok(verdict)
}

impl Run<'_> {
    fn everything(&mut self, archives: bool) -> anyhow::Result<()> {
        for guard in self.stack.vault.guards()? {
            for name in self.stack.vault.names(&guard)? {
                // It may have been pruned since it was listed.
                let snapshot = self.stack.vault.open(&guard, &name)?;
                if let Some(snapshot) = snapshot.filter(Snapshot::is_proven) {
                    self.snapshot(&snapshot)?;
                }
            }
            if archives {
                for archive in self.stack.vault.archives(&guard)? {
                    self.archive(&archive)?;
                }
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> anyhow::Result<()> {
        let vault = &self.stack.vault;
        let guard = &snapshot.summary.guard;
        // Of what is proven nothing changes any more: whoever reads it keeps it from being pruned, and delays no stop.
        let lock = if snapshot.is_proven() {
            Lock::snapshot(&snapshot.path, Mode::Shared)
        } else {
            Lock::guard(vault, guard, Mode::Shared, PATIENCE)
        };
        let lock = match lock {
            // It is being pruned.
            Err(Error::Busy { .. }) if snapshot.is_proven() => return Ok(()),
            other => other?,
        };
        let verified = verify::verify(snapshot, &self.reading, &*self.progress)?;
        drop(lock);
        let bad = verified.bad();
        self.remember(snapshot, &bad)?;
        let Verified {
            differing,
            blobs,
            unnamed,
        } = verified;
        let mut document = snapshots::document(snapshot);
        document["differs"] = json!(bad);
        document["unnamed"] = json!(unnamed);
        self.documents.push(document);
        if !unnamed.is_empty() {
            self.verdicts.push(Verdict::Warn);
            self.ui.line(plain(&format!(
                "warn  {}  its manifest does not name {}: put there since, never proven, and never restored",
                snapshot.id(),
                listed(&unnamed).join(", ")
            )));
        }
        if bad.is_empty() {
            self.verdicts.push(Verdict::Pass);
            if unnamed.is_empty() {
                self.ui.line(format!("ok    {}", snapshot.id()));
            }
            return Ok(());
        }
        self.verdicts.push(Verdict::Hold);
        let of = snapshot.summary.files;
        self.tell(
            snapshot,
            &format!("{} of {of} files differ from the manifest", differing.len()),
            &differing,
            "snapshot.hash",
        );
        self.tell(
            snapshot,
            &format!(
                "the content of {} does not match its name",
                count(blobs.len() as u64, "blob")
            ),
            &blobs,
            "ollama.blob-hash",
        );
        Ok(())
    }

    fn tell(&self, snapshot: &Snapshot, what: &str, paths: &[RelPath], id: &str) {
        if paths.is_empty() {
            return;
        }
        self.ui.line(plain(&format!(
            "hold  {}  {what}: {}  [{id}]",
            snapshot.id(),
            listed(paths).join(", ")
        )));
    }

    /// Remembers what was found, also of the snapshots that share a damaged file.
    fn remember(&self, snapshot: &Snapshot, differing: &[RelPath]) -> anyhow::Result<()> {
        let vault = &self.stack.vault;
        let guard = &snapshot.summary.guard;
        let was_damaged = verify::is_damaged(snapshot);
        if differing.is_empty() && !was_damaged || !differing.is_empty() && !snapshot.is_proven() {
            return Ok(());
        }
        let _lock = Lock::guard(vault, guard, Mode::Exclusive, PATIENCE)?;
        if differing.is_empty() {
            verify::clear(snapshot)?;
            self.ui.note(plain(&format!(
                "note  {} was found damaged before, and is whole again",
                snapshot.id()
            )));
            return Ok(());
        }
        verify::disprove(snapshot, differing)?;
        for (other, shared) in verify::sharing(vault, snapshot, differing)? {
            verify::disprove(&other, &shared)?;
            self.ui.note(plain(&format!(
                "warn  {} shares {} of them, and is proven no longer",
                other.id(),
                count(shared.len() as u64, "file")
            )));
        }
        Ok(())
    }

    fn archive(&mut self, archive: &Archive) -> anyhow::Result<()> {
        let wrong = match archive.verify(&*self.progress) {
            Ok(contents) if contents.differing.is_empty() => None,
            Ok(contents) => Some(format!(
                "{} of {} files differ from the manifest",
                contents.differing.len(),
                contents.manifest.summary.files
            )),
            Err(Error::CouldNot { what, .. }) => Some(what),
            // That it could not be read now does not say what it holds.
            Err(e) => return Err(e.into()),
        };
        let mut document = snapshots::archived(archive);
        document["differs"] = json!(wrong.iter().collect::<Vec<_>>());
        self.documents.push(document);
        match wrong {
            None => {
                if archive.damaged {
                    archive.clear()?;
                }
                self.verdicts.push(Verdict::Pass);
                self.ui.line(plain(&format!("ok    {}", archive.id())));
            }
            Some(what) => {
                archive.disprove(&what)?;
                self.verdicts.push(Verdict::Hold);
                self.ui.line(plain(&format!(
                    "hold  {}  {what}  [snapshot.hash]",
                    archive.id()
                )));
            }
        }
        Ok(())
    }
}

fn listed(paths: &[RelPath]) -> Vec<String> {
    let shown = |p: &RelPath| format!("`{}`", p.as_path().display());
    paths.iter().map(shown).collect()
}
