//! An examination in a child process: a hostile file may cost its life, its memory and its time, not ours.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::examination::{Examination, Request};
use super::integrity;

/// The argument that makes a tool an examiner.
pub const ARGUMENT: &str = "__examine";

/// How long after the deadline the child may still end by itself.
const GRACE: Duration = Duration::from_millis(1500);
const MOST_ANSWER_BYTES: u64 = 256 * 1024 * 1024;
const MOST_STDERR_BYTES: u64 = 16 * 1024;

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
                ask(program, &job, deadline).map_err(|error| match error {
                    Asked::Io(source) => ExamineError::Start {
                        program: program.clone(),
                        source,
                    },
                    Asked::Known(error) => error,
                })
            }
        }
    }
}

enum Asked {
    Io(io::Error),
    Known(ExamineError),
}

impl From<io::Error> for Asked {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn ask(program: &Path, job: &Job, deadline: Duration) -> Result<Examination, Asked> {
    let begun = Instant::now();
    let mut command = Command::new(program);
    command.arg(ARGUMENT).env_clear();
    if let Some(folder) = std::env::var_os("TMPDIR") {
        command.env("TMPDIR", folder);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let question = serde_json::to_vec(job).map_err(io::Error::from)?;
    // Each pipe has its own thread, so that none can fill up while we wait for another.
    if let Some(mut stdin) = child.stdin.take() {
        thread::spawn(move || stdin.write_all(&question));
    }
    let stdout = listen(child.stdout.take(), MOST_ANSWER_BYTES);
    let stderr = listen(child.stderr.take(), MOST_STDERR_BYTES);
    let left = || (deadline + GRACE).saturating_sub(begun.elapsed());
    let answer = stdout.recv_timeout(left());
    let status = match answer {
        Ok(_) => wait(&mut child, left())?,
        Err(_) => None,
    };
    let (Ok(answer), Some(status)) = (answer, status) else {
        child.kill()?;
        child.wait()?;
        return Err(Asked::Known(ExamineError::Deadline {
            waited: begun.elapsed(),
        }));
    };
    if status.success()
        && let Ok(found) = serde_json::from_slice(&answer)
    {
        return Ok(found);
    }
    // The pipe ends with the child, so this does not wait for long.
    let stderr = stderr
        .recv_timeout(Duration::from_millis(200))
        .unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    Err(Asked::Known(died(status, stderr, job, begun.elapsed())))
}

fn died(status: ExitStatus, stderr: String, job: &Job, waited: Duration) -> ExamineError {
    // Rust aborts when there is no memory, and says so; the loader fails before `main`.
    if stderr.contains("memory allocation of") || stderr.contains("Cannot allocate memory") {
        return ExamineError::Memory {
            limit_bytes: job.memory_limit_bytes,
        };
    }
    let cpu = [rustix::process::Signal::XCPU, rustix::process::Signal::KILL];
    if status
        .signal()
        .is_some_and(|signal| cpu.iter().any(|known| known.as_raw() == signal))
        && u128::from(job.deadline_ms) <= waited.as_millis()
    {
        return ExamineError::Deadline { waited };
    }
    ExamineError::Died {
        status: status.to_string(),
        stderr,
    }
}

/// Reads a pipe to its end, keeps at most `most` bytes, and sends them when the pipe is closed.
fn listen(pipe: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let read = pipe.by_ref().take(most).read_to_end(&mut kept);
            if read.is_ok() {
                // The rest is drained, so that the child can end.
                let _ = io::copy(&mut pipe, &mut io::sink());
            }
            let _ = sender.send(kept);
        });
    }
    receiver
}

/// Waits for the child to end; it has closed its answer, so that it does so at once or never.
fn wait(child: &mut std::process::Child, most: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= most {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(1));
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
