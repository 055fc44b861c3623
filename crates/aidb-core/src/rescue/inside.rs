//! The part of a rescue that runs inside the user namespace: there the files of every user of the container can be read.
//!
//! This program is run again with one argument, a job on its standard input, and an answer on its standard output. It
//! writes into a staging folder of the vault only; what it makes belongs to the person, seen from outside.

use std::ffi::OsStr;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::keep::{Kept, Limits, keep};
use super::layer::{Look, sort};
use crate::capture::freeze::Freezer;
use crate::capture::walk::Root;
use crate::error::{Error, IoContext, Result, told};
use crate::manifest::RelPath;
use crate::program::Program;
use crate::settings::{Environment, Settings};
use crate::userns::{self, UserNamespace};
use crate::vault::Vault;

/// The argument that makes a tool do this.
const ARGUMENT: &str = "__rescue";

/// How long after the deadline it may still end by itself: it stops copying at the deadline, and has to write down what
/// it has.
const GRACE: Duration = Duration::from_secs(2);

const MOST_JOB_BYTES: u64 = 1 << 20;

/// What is to be done with a layer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// The layer's folder.
    pub upper: RelPath,
    /// The new folder that receives the copy; without one it is only looked at.
    pub target: Option<RelPath>,
    /// Patterns of what does not count.
    pub noise: Vec<String>,
    /// Mount points, as the container sees them.
    pub mounts: Vec<RelPath>,
    /// How much to copy.
    pub limit_bytes: u64,
    /// For how long.
    pub deadline_ms: u64,
    /// The container's control group, to freeze it with; none if it does not run.
    pub cgroup: Option<RelPath>,
    /// The vault, which keeps a note of what is frozen.
    pub vault: RelPath,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    /// What lies in the layer.
    pub look: Look,
    /// What was copied.
    pub kept: Kept,
    /// Why the user namespace was not entered, if it was not: files of other users are gaps then.
    pub outside: Option<String>,
}

impl Job {
    /// Does it in the user namespace; without one, as far as this user may read.
    pub fn run(&self, settings: &Settings, environment: &Environment) -> Result<Answer> {
        if !userns::could_help() {
            return self.here();
        }
        match UserNamespace::find(&settings.programs, environment) {
            Ok(namespace) => self.ask(namespace.command(&this_program()?)),
            Err(e) => {
                let answer = self.here()?;
                Ok(Answer {
                    outside: Some(told(&e)),
                    ..answer
                })
            }
        }
    }

    /// Does it in this process.
    pub(super) fn here(&self) -> Result<Answer> {
        let until = Instant::now() + Duration::from_millis(self.deadline_ms);
        let root = Root::open(self.upper.as_path())?;
        let mounts: Vec<PathBuf> = self.mounts.iter().map(|m| m.as_path().into()).collect();
        let sorted = sort(&root, &self.noise, &mounts)?;
        let kept = match &self.target {
            Some(target) if !sorted.look.is_nothing() => {
                let cgroups: Vec<PathBuf> =
                    self.cgroup.iter().map(|c| c.as_path().into()).collect();
                let notes = Vault::at(self.vault.as_path()).staging_folder();
                let freezer = Freezer {
                    cgroups: &cgroups,
                    notes: &notes,
                };
                let limits = Limits {
                    bytes: self.limit_bytes,
                    until,
                    freezer: (!cgroups.is_empty()).then_some(&freezer),
                };
                keep(&root, &sorted, target.as_path(), &limits)?
            }
            _ => Kept::default(),
        };
        Ok(Answer {
            look: sorted.look,
            kept,
            outside: None,
        })
    }

    fn ask(&self, mut command: Command) -> Result<Answer> {
        command.arg(ARGUMENT);
        let job = serde_json::to_vec(self)
            .map_err(io::Error::other)
            .doing("describe the rescue of", self.upper.as_path())?;
        let deadline = Duration::from_millis(self.deadline_ms) + GRACE;
        let mut program = Program::of(command, deadline).input(job);
        let ran = program.run()?;
        if !ran.status.success() {
            return Err(program.failed(&ran));
        }
        serde_json::from_slice(&ran.answer).map_err(|e| {
            program.could_not(&format!("gives an answer that cannot be understood: {e}"))
        })
    }
}

fn this_program() -> Result<PathBuf> {
    std::env::current_exe().doing("find", Path::new("/proc/self/exe"))
}

/// Does the part inside and ends, if this process was started for that; every tool that may rescue calls it first.
#[must_use]
pub fn child_main() -> Option<ExitCode> {
    if std::env::args_os().nth(1).as_deref() != Some(OsStr::new(ARGUMENT)) {
        return None;
    }
    userns::end_with_parent();
    Some(match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let _ = writeln!(io::stderr(), "{}", told(&e));
            ExitCode::from(3)
        }
    })
}

fn answer() -> Result<()> {
    let here = Path::new("/dev/stdin");
    let mut text = Vec::new();
    io::stdin()
        .lock()
        .take(MOST_JOB_BYTES)
        .read_to_end(&mut text)
        .doing("read", here)?;
    let job: Job = serde_json::from_slice(&text).map_err(|e| Error::CouldNot {
        what: format!("the job cannot be understood: {e}"),
        hint: None,
    })?;
    let answer = job.here()?;
    let text = serde_json::to_vec(&answer)
        .map_err(io::Error::other)
        .doing("write", here)?;
    io::stdout().lock().write_all(&text).doing("write", here)
}
