//! Running a program of the system: with a deadline, its whole process group killed at it, its output bounded.
//!
//! A program that cannot be started, does not end in time or ends otherwise than well is "could not": nothing is ever
//! concluded from its silence.

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, Result};

/// How much a program may answer.
const MOST_ANSWER_BYTES: u64 = 64 << 20;
/// How much of what it complains is kept.
const MOST_STDERR_BYTES: u64 = 16 << 10;
/// How long the end of a pipe is waited for at least, once the program has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A program with its arguments, not yet run.
#[derive(Debug)]
pub struct Program {
    command: Command,
    input: Option<Vec<u8>>,
    deadline: Duration,
    most_answer_bytes: u64,
}

/// Why a program gave no answer; to be read after its name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("cannot be run: {0}")]
    Start(io::Error),
    #[error("cannot be waited for: {0}")]
    Wait(io::Error),
    /// It was stopped, with all that it started in its own process group.
    #[error("did not end within {} ms and was stopped", .0.as_millis())]
    Late(Duration),
    #[error("ended, but something that it started holds its answer open")]
    HeldOpen,
    #[error("answers more than {0} bytes")]
    TooLong(u64),
}

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it answered, whole.
    pub answer: Vec<u8>,
    /// What it complained, its first 16 KiB.
    pub complaint: String,
    /// For how long it ran.
    pub took: Duration,
}

impl Ran {
    /// Returns the first line of what it complained, in which most programs say what went wrong.
    #[must_use]
    pub fn first_complaint(&self) -> &str {
        let mut lines = self.complaint.lines().map(str::trim);
        lines.find(|l| !l.is_empty()).unwrap_or_default()
    }
}

impl Program {
    /// Returns a program that may run for `deadline`.
    #[must_use]
    pub fn new(path: &Path, deadline: Duration) -> Self {
        Self::of(Command::new(path), deadline)
    }

    /// Returns what a command describes, its streams left aside; it may run for `deadline`.
    #[must_use]
    pub fn of(command: Command, deadline: Duration) -> Self {
        Self {
            command,
            input: None,
            deadline,
            most_answer_bytes: MOST_ANSWER_BYTES,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable of its environment; the rest is ours.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it these bytes to read. Without, it reads nothing.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Lets it answer that much and no more.
    #[must_use]
    pub fn most_answer_bytes(mut self, most: u64) -> Self {
        self.most_answer_bytes = most;
        self
    }

    /// Runs it to its end, however it ends.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if it cannot be started, does not end in time (it is killed with all that it started in
    /// its own process group), or answers more than it may.
    pub fn run(&mut self) -> Result<Ran> {
        self.attempt().map_err(|e| self.could_not(&e.to_string()))
    }

    /// The same, for who tells the reasons apart.
    pub(crate) fn attempt(&mut self) -> Result<Ran, NoAnswer> {
        let stdin = if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let began = Instant::now();
        let child = self
            .command
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut group = Group {
            leader: child.map_err(NoAnswer::Start)?,
            ended: false,
        };
        // Each pipe has its own thread, so that none can fill up while another is waited for.
        if let (Some(mut pipe), Some(input)) = (group.leader.stdin.take(), self.input.clone()) {
            thread::spawn(move || pipe.write_all(&input));
        }
        let answer = listen(group.leader.stdout.take(), self.most_answer_bytes);
        let complaint = listen(group.leader.stderr.take(), MOST_STDERR_BYTES);
        let ended = wait(&mut group.leader, began, self.deadline).map_err(NoAnswer::Wait)?;
        let took = began.elapsed();
        let Some(status) = ended else {
            drop(group);
            return Err(NoAnswer::Late(self.deadline));
        };
        // A program that it left behind may hold the pipe open. That one lives on, unless it keeps us past the deadline.
        let Ok(Heard { bytes, cut }) =
            answer.recv_timeout(LAST_WORDS.max(self.deadline.saturating_sub(took)))
        else {
            drop(group);
            return Err(NoAnswer::HeldOpen);
        };
        group.let_go();
        let complaint = complaint.recv_timeout(LAST_WORDS).unwrap_or_default();
        if cut {
            return Err(NoAnswer::TooLong(self.most_answer_bytes));
        }
        Ok(Ran {
            status,
            answer: bytes,
            complaint: String::from_utf8_lossy(&complaint.bytes).into_owned(),
            took,
        })
    }

    /// Runs it and returns its answer.
    ///
    /// # Errors
    /// As [`Self::run`]; also if it ends with another status than 0.
    pub fn answer(&mut self) -> Result<Vec<u8>> {
        let ran = self.run()?;
        if ran.status.success() {
            Ok(ran.answer)
        } else {
            Err(self.failed(&ran))
        }
    }

    /// Returns the error that says how it ended.
    #[must_use]
    pub fn failed(&self, ran: &Ran) -> Error {
        let said = match ran.first_complaint() {
            "" => String::new(),
            said => format!(": {}", printable(said)),
        };
        let ended = match (ran.status.code(), ran.status.signal()) {
            (Some(code), _) => format!("status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => ran.status.to_string(),
        };
        self.could_not(&format!("ended with {ended}{said}"))
    }

    /// Returns an error about it.
    #[must_use]
    pub fn could_not(&self, what: &str) -> Error {
        Error::CouldNot {
            what: format!("`{}` {what}", self.shown()),
            hint: None,
        }
    }

    /// Returns its name and its first words, which tell what it was asked.
    fn shown(&self) -> String {
        const WORDS: usize = 3;
        let path = Path::new(self.command.get_program());
        let name = path.file_name().unwrap_or(path.as_os_str());
        let mut words = vec![name.to_string_lossy().into_owned()];
        let first = self.command.get_args().take(WORDS);
        words.extend(first.map(|a| printable(&a.to_string_lossy())));
        if self.command.get_args().len() > WORDS {
            words.push("…".to_owned());
        }
        words.join(" ")
    }
}

/// Returns a text in which control characters are written out: what a program says goes to a terminal.
fn printable(text: &str) -> String {
    let escaped = |c: char| -> Box<dyn Iterator<Item = char>> {
        if c.is_control() {
            Box::new(c.escape_default())
        } else {
            Box::new(std::iter::once(c))
        }
    };
    text.chars().flat_map(escaped).collect()
}

/// A child that leads a process group of its own; dropped before it was let go, all of the group is ended.
struct Group {
    leader: Child,
    ended: bool,
}

impl Group {
    /// Leaves what is left of the group alone.
    fn let_go(mut self) {
        self.ended = true;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // The group's number stays taken while any of it lives, and while the leader is not waited for.
        if let Some(group) = Pid::from_raw(self.leader.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.leader.wait();
    }
}

/// What came through a pipe.
#[derive(Debug, Default)]
struct Heard {
    bytes: Vec<u8>,
    /// There was more than may be.
    cut: bool,
}

/// Reads a pipe to its end, keeps at most `most` bytes, and sends them when the pipe is closed.
fn listen(pipe: Option<impl Read + Send + 'static>, most: u64) -> Receiver<Heard> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut pipe) = pipe {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = pipe.by_ref().take(most).read_to_end(&mut bytes);
            // The rest is drained, so that the program can end.
            let rest = read.and_then(|_| io::copy(&mut pipe, &mut io::sink()));
            let cut = rest.map_or(true, |n| n > 0);
            let _ = sender.send(Heard { bytes, cut });
        });
    }
    receiver
}

/// Waits for the program to end; `None` if it does not in time.
fn wait(child: &mut Child, began: Instant, most: Duration) -> io::Result<Option<ExitStatus>> {
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = most.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(pause.min(left));
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(line: &str, deadline: Duration) -> Program {
        Program::new(Path::new("/bin/sh"), deadline).args(["-c", line])
    }

    #[test]
    fn input_answer_complaint_and_status_come_through() {
        let ran = shell("cat; echo no >&2; exit 3", LONG)
            .input("question")
            .run()
            .unwrap();
        assert_eq!(ran.answer, b"question");
        assert_eq!(ran.first_complaint(), "no");
        assert_eq!(ran.status.code(), Some(3));
    }

    #[test]
    fn what_fails_is_told_in_one_line() {
        let error = shell("echo 'cannot: \u{1b}[31m' >&2; exit 125", LONG)
            .answer()
            .unwrap_err();
        insta::assert_snapshot!(error, @r"`sh -c echo 'cannot: \u{1b}[31m' >&2; exit 125` ended with status 125: cannot: \u{1b}[31m");
        let mut absent = Program::new(Path::new("/nowhere/podman"), LONG).args(["ps"]);
        insta::assert_snapshot!(absent.run().unwrap_err(), @"`podman ps` cannot be run: No such file or directory (os error 2)");
        let mut chatty = shell("head -c 100000 /dev/zero", LONG).most_answer_bytes(4096);
        insta::assert_snapshot!(chatty.run().unwrap_err(), @"`sh -c head -c 100000 /dev/zero` answers more than 4096 bytes");
    }

    #[test]
    fn at_the_deadline_it_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let line = format!("sleep 1000 & echo $! > {0}; sleep 1000", pids.display());
        let error = shell(&line, Duration::from_millis(300)).run().unwrap_err();
        assert!(
            error.to_string().contains("did not end within 300 ms"),
            "{error}"
        );
        let child = std::fs::read_to_string(&pids).unwrap();
        assert!(is_gone(child.trim()), "{child}");
    }

    #[test]
    fn a_child_that_keeps_the_pipe_open_does_not_keep_us() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let line = format!("sleep 1000 & echo $! > {}", pids.display());
        let error = shell(&line, Duration::from_millis(500)).run().unwrap_err();
        assert!(
            error.to_string().contains("holds its answer open"),
            "{error}"
        );
        let child = std::fs::read_to_string(&pids).unwrap();
        assert!(is_gone(child.trim()), "{child}");
    }

    #[test]
    fn what_goes_on_in_the_background_is_left_alone() {
        let ran = shell("sleep 1000 >/dev/null 2>&1 & echo $!", LONG)
            .run()
            .unwrap();
        let child: i32 = String::from_utf8(ran.answer)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let child = Pid::from_raw(child).unwrap();
        rustix::process::test_kill_process(child).unwrap();
        rustix::process::kill_process(child, Signal::KILL).unwrap();
    }

    /// A killed orphan may wait for somebody to ask after it.
    fn is_gone(pid: &str) -> bool {
        (0..1000).any(|_| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let gone = stat.is_empty() || stat.contains(") Z ");
            if !gone {
                thread::sleep(Duration::from_millis(5));
            }
            gone
        })
    }
}
