//! Freezing a container's cgroup: the last resort for a database that its application never unlocks, and the way to
//! one instant across several guards.
//!
//! Writing to the container's own `cgroup.freeze` takes 3 ms for both ways (Podman's pause 140). A container that stays
//! frozen is worse than a capture that failed, so it is thawed on every way out: by the end of a scope, also when that
//! is an error or a panic; by a watching process of ours, when this one is killed; by the next capture, when both were.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, IoContext, Result};
use crate::folder;
use crate::lock::{Lock, Mode};

/// The argument that makes a tool the watcher of a freeze.
const ARGUMENT: &str = "--thaw-when-closed";
/// For how long a container is frozen at the very most, whatever happens.
const MOST: Duration = Duration::from_secs(10);
/// For how long the kernel may take to freeze it.
const PATIENCE: Duration = Duration::from_millis(500);
/// Names, in the staging folder, of the notes about what is frozen now.
const NOTE: &str = "frozen-";

/// Finds and freezes the cgroup of a container.
#[derive(Debug, Clone, Copy)]
pub struct Freezer<'a> {
    /// The cgroups' folders below `/sys/fs/cgroup`. Finding them asks Podman, so it is done when they are needed.
    pub cgroups: &'a dyn Cgroups,
    /// The folder, for half-made things, that keeps a note while something is frozen.
    pub notes: &'a Path,
}

/// Knows the cgroups of containers.
pub trait Cgroups: std::fmt::Debug {
    /// Returns their folders.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if there are none.
    fn find(&self) -> Result<Vec<PathBuf>>;
}

impl Cgroups for Vec<PathBuf> {
    /// Returns folders that are known already.
    fn find(&self) -> Result<Vec<PathBuf>> {
        Ok(self.clone())
    }
}

/// Cgroups that stand still until this is dropped.
#[derive(Debug)]
pub struct Frozen {
    cgroups: Vec<PathBuf>,
    since: Instant,
    /// Thaws them when our end of its standard input is closed, be it by our death.
    watcher: Option<Child>,
    note: PathBuf,
    _lock: Lock,
}

impl Freezer<'_> {
    /// Freezes the container.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if there is no cgroup that can be frozen.
    pub fn freeze(&self) -> Result<Frozen> {
        freeze(&self.cgroups.find()?, self.notes)
    }
}

/// Freezes cgroups, all of them or none.
///
/// # Errors
/// [`Error::Io`] or [`Error::CouldNot`] if one cannot be frozen.
pub fn freeze(cgroups: &[PathBuf], notes: &Path) -> Result<Frozen> {
    thaw_forgotten(notes);
    folder::make(notes)?;
    let note = notes.join(format!("{NOTE}{}", std::process::id()));
    let lock = Lock::on(
        &note,
        Mode::Exclusive,
        Duration::ZERO,
        "the note of a freeze",
    )?;
    let text = serde_json::to_vec(cgroups).map_err(io::Error::other);
    text.and_then(|text| {
        use std::io::Write as _;
        File::options().append(true).open(&note)?.write_all(&text)
    })
    .doing("write", &note)?;
    let watcher = watcher(cgroups)?;
    let mut frozen = Frozen {
        cgroups: Vec::new(),
        since: Instant::now(),
        watcher: Some(watcher),
        note,
        _lock: lock,
    };
    for cgroup in cgroups {
        // Before it is tried: what half succeeded is undone.
        frozen.cgroups.push(cgroup.clone());
        set(cgroup, "1").doing("freeze", cgroup)?;
    }
    for cgroup in cgroups {
        frozen.wait_for(cgroup)?;
    }
    Ok(frozen)
}

impl Frozen {
    /// Returns when the first of them was frozen.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Lets them go on, and returns for how long they stood.
    #[must_use]
    pub fn thaw(self) -> Duration {
        let since = self.since;
        drop(self);
        since.elapsed()
    }

    fn wait_for(&self, cgroup: &Path) -> Result<()> {
        let events = cgroup.join("cgroup.events");
        loop {
            let text = std::fs::read_to_string(&events).doing("read", &events)?;
            if text.lines().any(|l| l == "frozen 1") {
                return Ok(());
            }
            if self.since.elapsed() > PATIENCE {
                return Err(Error::CouldNot {
                    what: format!(
                        "`{}` does not freeze (waited {} ms)",
                        cgroup.display(),
                        PATIENCE.as_millis()
                    ),
                    hint: None,
                });
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for cgroup in &self.cgroups {
            // A container that is gone needs no thawing.
            let _ = set(cgroup, "0");
        }
        if let Some(mut watcher) = self.watcher.take() {
            drop(watcher.stdin.take());
            let _ = watcher.wait();
        }
        let _ = std::fs::remove_file(&self.note);
    }
}

/// Thaws what a run froze that was killed together with its watcher.
pub fn thaw_forgotten(notes: &Path) {
    let entries = std::fs::read_dir(notes);
    for entry in entries.into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(NOTE) {
            continue;
        }
        let path = entry.path();
        let Ok(_lock) = Lock::on(&path, Mode::Exclusive, Duration::ZERO, "a note") else {
            continue;
        };
        let cgroups: Vec<PathBuf> = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        for cgroup in cgroups {
            let _ = set(&cgroup, "0");
        }
        let _ = std::fs::remove_file(&path);
    }
}

fn set(cgroup: &Path, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    let file = cgroup.join("cgroup.freeze");
    File::options()
        .write(true)
        .open(file)?
        .write_all(value.as_bytes())
}

fn watcher(cgroups: &[PathBuf]) -> Result<Child> {
    let program = std::env::current_exe().doing("find", Path::new("/proc/self/exe"))?;
    let mut command = Command::new(&program);
    command
        .arg(ARGUMENT)
        .args(cgroups)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().doing("run", &program)?;
    // It says that it watches, before anything is frozen.
    let mut ready = [0];
    let said = child
        .stdout
        .take()
        .is_some_and(|mut out| out.read_exact(&mut ready).is_ok());
    if said {
        return Ok(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(Error::CouldNot {
        what: "nobody watches over the freeze: this program cannot be its own watcher".into(),
        hint: None,
    })
}

/// Watches over a freeze and ends, if this process was started for that; a tool's `main` calls it first.
#[must_use]
pub fn child_main() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let cgroups: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let (closed, is_closed) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        // It ends when the other side is closed; what is read does not matter.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(closed);
    });
    {
        use std::io::Write as _;
        let mut out = io::stdout();
        let _ = out.write_all(b"r").and_then(|()| out.flush());
    }
    let _ = is_closed.recv_timeout(MOST);
    for cgroup in &cgroups {
        let _ = set(cgroup, "0");
    }
    Some(ExitCode::SUCCESS)
}
