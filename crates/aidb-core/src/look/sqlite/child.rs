//! An examination in a child process: a hostile file may cost its life, its memory and its time, not ours.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::examination::{Examination, Request};
use super::integrity;
use crate::program::{NoAnswer, Program, Ran};

/// The argument that makes a tool an examiner.
pub const ARGUMENT: &str = "__examine";

/// How long after the deadline the child may still end by itself.
const GRACE: Duration = Duration::from_millis(1500);
const MOST_ANSWER_BYTES: u64 = 256 * 1024 * 1024;

/// Who examines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Examiner {
    /// A child process.
    Child {
        /// One of our tools, such as the running one.
        program: PathBuf,
        /// What it may map, code and libraries included.
        memory_limit_bytes: u64,
    },
    /// This process: for tests, and for files of our own making.
    Here,
}

/// Why there is no examination. None of these says anything about the database.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The child could not be started or spoken to.
    #[error("run the examiner `{}`", .program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("the examination did not end within {} ms", .waited.as_millis())]
    Deadline {
        /// How long we waited.
        waited: Duration,
    },
    /// It needed more memory than it may have.
    #[error("the examination needs more than {} MiB of memory", .limit_bytes / (1024 * 1024))]
    Memory {
        /// The limit.
        limit_bytes: u64,
    },
    /// It died otherwise, or gave no answer.
    #[error("the examiner ended with {status} and no answer{}", .stderr.lines().next().map(|line| format!(": {line}")).unwrap_or_default())]
    Died {
        /// How it ended.
        status: String,
        /// What it said, at most 16 KiB.
        stderr: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Job {
    /// A path is bytes, not text.
    path: Vec<u8>,
    request: Request,
    deadline_ms: u64,
    memory_limit_bytes: u64,
}

impl Examiner {
    /// Examines the private copy at `path`. The answer has `deadline_hit` where the time was not enough.
    ///
    /// # Errors
    /// Returns why there is no answer at all.
    pub fn examine(
        &self,
        path: &Path,
        request: &Request,
        deadline: Duration,
    ) -> Result<Examination, ExamineError> {
        match self {
            Self::Here => Ok(integrity::examine(path, request, deadline)),
            Self::Child {
                program,
                memory_limit_bytes,
            } => {
                let job = Job {
                    path: path.as_os_str().as_bytes().to_vec(),
                    request: request.clone(),
                    deadline_ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX),
                    memory_limit_bytes: *memory_limit_bytes,
                };
                ask(program, &job, deadline)
            }
        }
    }
}

fn ask(program: &Path, job: &Job, deadline: Duration) -> Result<Examination, ExamineError> {
    let start = |source| ExamineError::Start {
        program: program.to_owned(),
        source,
    };
    let question = serde_json::to_vec(job).map_err(|e| start(e.into()))?;
    let mut command = Command::new(program);
    command.arg(ARGUMENT).env_clear();
    if let Some(folder) = std::env::var_os("TMPDIR") {
        command.env("TMPDIR", folder);
    }
    let ran = Program::of(command, deadline + GRACE)
        .input(question)
        .most_answer_bytes(MOST_ANSWER_BYTES)
        .attempt();
    let ran = match ran {
        Ok(ran) => ran,
        Err(NoAnswer::Start(source) | NoAnswer::Wait(source)) => return Err(start(source)),
        Err(NoAnswer::Late(waited)) => return Err(ExamineError::Deadline { waited }),
        Err(why @ (NoAnswer::HeldOpen | NoAnswer::TooLong(_))) => {
            return Err(ExamineError::Died {
                status: why.to_string(),
                stderr: String::new(),
            });
        }
    };
    if ran.status.success()
        && let Ok(found) = serde_json::from_slice(&ran.answer)
    {
        return Ok(found);
    }
    Err(died(ran, job))
}

fn died(ran: Ran, job: &Job) -> ExamineError {
    // Rust aborts when there is no memory, and says so; the loader fails before `main`.
    if ran.complaint.contains("memory allocation of")
        || ran.complaint.contains("Cannot allocate memory")
    {
        return ExamineError::Memory {
            limit_bytes: job.memory_limit_bytes,
        };
    }
    let cpu = [Signal::XCPU, Signal::KILL];
    if ran
        .status
        .signal()
        .is_some_and(|signal| cpu.iter().any(|known| known.as_raw() == signal))
        && u128::from(job.deadline_ms) <= ran.took.as_millis()
    {
        return ExamineError::Deadline { waited: ran.took };
    }
    ExamineError::Died {
        status: ran.status.to_string(),
        stderr: ran.complaint,
    }
}

/// Examines and ends, if this process was started for that; every tool's `main` calls it first.
#[must_use]
pub fn child_main() -> Option<ExitCode> {
    if std::env::args_os().nth(1).as_deref() != Some(OsStr::new(ARGUMENT)) {
        return None;
    }
    Some(match answer() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(3)
        }
    })
}

fn answer() -> io::Result<()> {
    // In a process group of its own it would outlive whoever asked, if that is killed.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut question = Vec::new();
    io::stdin()
        .lock()
        .take(16 * 1024 * 1024)
        .read_to_end(&mut question)?;
    let job: Job = serde_json::from_slice(&question)?;
    let limit = |resource, most: u64| {
        setrlimit(
            resource,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        )
    };
    limit(Resource::Core, 0)?;
    // The deadline counts real time; a belt for loops that ask no progress handler.
    limit(Resource::Cpu, (job.deadline_ms / 1000).saturating_add(3))?;
    limit(Resource::As, job.memory_limit_bytes)?;
    let path = PathBuf::from(OsStr::from_bytes(&job.path));
    let found = integrity::examine(&path, &job.request, Duration::from_millis(job.deadline_ms));
    let mut stdout = io::stdout().lock();
    stdout.write_all(&serde_json::to_vec(&found)?)?;
    stdout.flush()
}
