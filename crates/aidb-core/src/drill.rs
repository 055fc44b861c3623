//! Drill: a copy that nobody tried is a hope. A proven snapshot is restored into a throwaway folder, and the application
//! itself, from the very image that the snapshot belongs to and without a network, is started on it.
//!
//! The container has a name and a label of its own and none of the unit's, so that neither a unit nor Home Manager takes it
//! for theirs. What a killed drill left is removed by the next one. The real data and the real container are not touched.

mod access;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::check::{How, look};
use crate::error::{Error, IoContext, Result, told};
use crate::guard::Guard;
use crate::judge::{self, Finding, FindingId, Occasion, Severity, Step, Verdict};
use crate::lock::{Lock, Mode};
use crate::look::Depth;
use crate::look::container::has_open_below;
use crate::manifest::Entry;
use crate::memory::{Baseline, Memory};
use crate::podman::{Podman, Storage};
use crate::program::Program;
use crate::stack::Stack;
use crate::staging::Staging;
use crate::userns::{IdMap, UserNamespace};
use crate::vault::restore::{Options, restore};
use crate::vault::{Snapshot, Vault};
use access::Marks;

/// The label of our containers.
const LABEL: &str = "aidb.drill";

/// How long to wait between two questions whether it is still up.
const PAUSE: Duration = Duration::from_secs(1);

/// How long one call of Podman may take: to change the owner of a large folder takes time.
const CALL: Duration = Duration::from_secs(300);

/// How many lines of what the application said last are told.
const LAST_LINES: &str = "3";

/// What a drill showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drilled {
    /// The image that was started.
    pub image: String,
    /// Why the application could not live on the data; `None` if all was well.
    pub failure: Option<String>,
    /// What stands against the data after the application ran on it.
    pub findings: Vec<Finding>,
    /// The whole drill.
    pub took: Duration,
}

impl Drilled {
    /// Returns pass if the application came up on the data, and left it as it should be; unknown if the drill does not tell.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let worst = Verdict::over(self.findings.iter().map(Finding::verdict));
        match worst {
            _ if self.failure.is_some() => Verdict::Hold,
            Verdict::Warn => Verdict::Pass,
            worst => worst,
        }
    }
}

/// A container of ours; dropped, it is removed.
struct Running<'p> {
    podman: &'p Podman,
    name: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = remove(self.podman, &self.name);
    }
}

/// Drills one snapshot of a guard: the application has to stay up on it for `stays_up`. One that cannot use the data ends
/// within seconds.
///
/// # Errors
/// [`Error::CouldNot`] if there is no Podman, the snapshot's image is not known or not here, or the container cannot be
/// made: all of this says nothing about the snapshot.
pub fn drill(
    stack: &mut Stack,
    guard: &Guard,
    snapshot: &Snapshot,
    stays_up: Duration,
    deadline: Duration,
) -> Result<Drilled> {
    let began = Instant::now();
    let mount = mount_of(guard)?;
    let patience = deadline.min(CALL);
    let podman = Podman::find(&stack.settings.programs, &stack.environment, patience)?;
    clear_left(&podman)?;
    let image = image(stack, &podman, guard, snapshot)?;
    // Beside the ledger, since Podman must be able to mount it, and a restore writes to no folder of the vault.
    let staging = Staging::new(
        &Vault::at(&stack.settings.state.join("drill")).staging_folder(),
        "drill",
    )?;
    let data = staging.path().join("data");
    {
        let _lock = Lock::snapshot(&snapshot.path, Mode::Shared)?;
        let options = Options {
            to: Some(data.clone()),
            ..Options::default()
        };
        restore(&stack.vault, guard, snapshot, &options)?;
    }
    let entries = snapshot.manifest()?.entries;
    let marks = Marks::set(&data)?;
    let is_others = entries.iter().any(|e| (e.uid, e.gid) != (0, 0));
    if is_others {
        hand_over(stack, guard, &entries, &data)?;
    }
    let name = format!("aidb-drill-{}-{}", guard.name, std::process::id());
    let volume = format!("{}:{}", data.display(), mount.display());
    let container = Running {
        podman: &podman,
        name,
    };
    let is_as_real = start(stack, &container, guard, &volume, &image)?;
    let Stay { failure, opened } = stays(&container, mount, began, stays_up, deadline)?;
    if let Some(why) = failure.as_ref().filter(|_| !is_as_real) {
        // By the image's own command it may be another program altogether: that says nothing about the data.
        return Err(Error::CouldNot {
            what: format!(
                "`{}` does not run now, and by the image's own command {why}",
                guard.container
            ),
            hint: Some("drill while the container runs: then its command is known".into()),
        });
    }
    if failure.is_none() {
        // In order, as a unit stops it: the application may finish what it writes.
        let _ = podman
            .program(&["stop", "--time", "10", &container.name])?
            .run()?;
    }
    drop(container);
    if is_others {
        take_back(stack, &data)?;
    }
    let opened = opened || marks.were_touched();
    let mut findings = judged(stack, guard, snapshot, &data, deadline);
    if failure.is_none() && !opened {
        findings.push(never_opened(mount, stays_up));
    }
    Ok(Drilled {
        image,
        failure,
        findings,
        took: began.elapsed(),
    })
}

fn mount_of(guard: &Guard) -> Result<&Path> {
    guard.mount.as_deref().ok_or_else(|| Error::CouldNot {
        what: format!(
            "it is not known where the container of `{}` has its data",
            guard.name
        ),
        hint: Some(format!(
            "write it into the settings: /guards/{}/mount",
            guard.name
        )),
    })
}

/// An application that stays up beside its data is no proof that it can live on it.
fn never_opened(mount: &Path, stays_up: Duration) -> Finding {
    let what = "the application never opened its data: that it stayed up tells nothing about it";
    Finding {
        evidence: Some(format!(
            "in {} s no file below `{}` was open, read or changed",
            stays_up.as_secs(),
            mount.display()
        )),
        next: vec![Step::by_hand(
            "if it opens its data later, raise `--stay`; if only at a request, the drill cannot try it".into(),
        )],
        ..Finding::of_guard(FindingId::CheckCouldNot, Severity::Warn, what)
    }
}

/// Finds the snapshot's image among those that are here; nothing is pulled.
fn image(stack: &Stack, podman: &Podman, guard: &Guard, snapshot: &Snapshot) -> Result<String> {
    let pairing = &snapshot.summary.pairing;
    let known = stack.pairing(guard);
    let Some(name) = pairing.image.clone().or(known.image) else {
        return Err(Error::CouldNot {
            what: format!("it is not known which image `{}` belongs to", snapshot.id()),
            hint: Some("snapshots that are taken while the container runs know it".into()),
        });
    };
    let Some(digest) = &pairing.image_digest else {
        let here = podman.image(&name)?;
        return here.map(|i| i.id).ok_or_else(|| not_here(&name, None));
    };
    // `NAME:TAG` may be another image by now: the digest tells.
    if let Some(id) = Storage::of(&stack.environment).image_of_digest(digest) {
        return Ok(id);
    }
    let bare = name.rsplit_once('/').map_or_else(
        || name.split(':').next().unwrap_or(&name).to_owned(),
        |(host, last)| format!("{host}/{}", last.split(['@', ':']).next().unwrap_or(last)),
    );
    let found = podman.image(&format!("{bare}@{digest}"))?;
    found
        .map(|i| i.id)
        .ok_or_else(|| not_here(&name, Some(digest)))
}

fn not_here(name: &str, digest: Option<&String>) -> Error {
    let digest = digest.map(|d| format!(" ({d})")).unwrap_or_default();
    Error::CouldNot {
        what: format!("the image `{name}`{digest} of this snapshot is not here"),
        hint: Some(format!(
            "`podman pull` of it by its digest, or a drill of a newer snapshot; `{name}` may be another image by now"
        )),
    }
}

/// Starts the application as the real container has it, else by the image's own command; returns which of the two.
fn start(
    stack: &Stack,
    container: &Running<'_>,
    guard: &Guard,
    volume: &str,
    image: &str,
) -> Result<bool> {
    let storage = Storage::of(&stack.environment);
    let real = storage.container(&guard.container).ok().flatten();
    let id = real.map(|c| c.id);
    let process = id.as_ref().and_then(|id| storage.process(id));
    let read_only = id
        .map(|id| storage.read_only_binds(&id))
        .unwrap_or_default();
    let label = format!("{LABEL}={}", std::process::id());
    let mut arguments: Vec<String> = [
        "run",
        "--detach",
        "--pull",
        "never",
        "--network",
        "none",
        "--log-driver",
        "k8s-file",
        "--name",
        container.name.as_str(),
        "--label",
        label.as_str(),
        "--volume",
        volume,
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(limits());
    // Its settings and certificates; what it could write to elsewhere is not there.
    for (source, destination) in &read_only {
        let bind = format!("{}:{}:ro", source.display(), destination.display());
        arguments.extend(["--volume".to_owned(), bind]);
    }
    let mut variables = Vec::new();
    if let Some(process) = &process {
        for pair in &process.env {
            if let Some((name, value)) = pair.split_once('=') {
                // By name: a secret's value stands on no command line.
                arguments.extend(["--env".to_owned(), name.to_owned()]);
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
        if !process.args.is_empty() {
            let words = serde_json::to_string(&process.args).unwrap_or_default();
            arguments.extend(["--entrypoint".to_owned(), words]);
        }
    }
    arguments.push(image.to_owned());
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut program = container.podman.program(&words)?;
    for (name, value) in &variables {
        // What Podman itself needs to find its way is not the application's to change.
        if !matches!(name.as_str(), "PATH" | "HOME" | "USER") && !name.starts_with("XDG_") {
            program = program.env(name, value);
        }
    }
    program.answer()?;
    Ok(process.is_some())
}

/// Returns the limits that this user may set: a drill must not take the machine from the applications that run.
fn limits() -> Vec<String> {
    let uid = rustix::process::getuid().as_raw();
    let file =
        format!("/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service/cgroup.controllers");
    let controllers = std::fs::read_to_string(file).unwrap_or_default();
    let has = |name: &str| controllers.split_whitespace().any(|c| c == name);
    [
        ("memory", "--memory=4g"),
        ("cpu", "--cpus=1"),
        ("pids", "--pids-limit=1024"),
    ]
    .iter()
    .filter(|(controller, _)| has(controller))
    .map(|(_, flag)| (*flag).to_owned())
    .collect()
}

/// What was seen of the application while it was up.
struct Stay {
    /// Why it was not up for long enough.
    failure: Option<String>,
    /// Whether it had a file of its data open.
    opened: bool,
}

/// Waits until the application was up for long enough.
fn stays(
    container: &Running<'_>,
    mount: &Path,
    began: Instant,
    stays_up: Duration,
    deadline: Duration,
) -> Result<Stay> {
    let up_since = Instant::now();
    let mut opened = false;
    loop {
        let seen = container.podman.container(&container.name)?;
        opened |= seen.as_ref().is_some_and(|c| has_open_below(c, mount));
        if !seen.is_some_and(|c| c.running) {
            let logs = ["logs", "--tail", LAST_LINES, &container.name];
            let said = container.podman.program(&logs)?.run().ok();
            let said = said.map_or_else(String::new, |ran| {
                let all = [ran.answer, ran.complaint.into_bytes()].concat();
                String::from_utf8_lossy(&all).trim().replace('\n', " / ")
            });
            let seconds = up_since.elapsed().as_secs();
            return Ok(Stay {
                failure: Some(format!(
                    "the application ended after {seconds} s; it said last: {said}"
                )),
                opened,
            });
        }
        if up_since.elapsed() >= stays_up {
            return Ok(Stay {
                failure: None,
                opened,
            });
        }
        if began.elapsed() >= deadline {
            return Err(Error::CouldNot {
                what: format!("the drill did not end within {} s", deadline.as_secs()),
                hint: Some("raise `--deadline`".into()),
            });
        }
        std::thread::sleep(PAUSE);
    }
}

/// Gives the files to the users of the container that had them: most by one call, the others by name.
fn hand_over(stack: &Stack, guard: &Guard, entries: &[Entry], data: &Path) -> Result<()> {
    const PATHS_A_CALL: usize = 500;
    let mut owners: BTreeMap<(u32, u32), Vec<PathBuf>> = BTreeMap::new();
    for entry in entries {
        let path = data.join(entry.path.as_path());
        owners.entry((entry.uid, entry.gid)).or_default().push(path);
    }
    let Some(most) = owners
        .iter()
        .max_by_key(|(_, paths)| paths.len())
        .map(|(o, _)| *o)
    else {
        return Ok(());
    };
    change_owner(stack, most, &["-R", "-h"], &[data.to_owned()])?;
    owners.remove(&most);
    if let Ok(present) = std::fs::metadata(&guard.data) {
        let owner = IdMap::of_this_process().to_container(present.uid(), present.gid());
        owners.entry(owner).or_default().push(data.to_owned());
    }
    for (owner, paths) in owners {
        for paths in paths.chunks(PATHS_A_CALL) {
            change_owner(stack, owner, &["-h"], paths)?;
        }
    }
    Ok(())
}

/// Makes the files ours again, which the application had under other users.
fn take_back(stack: &Stack, data: &Path) -> Result<()> {
    change_owner(stack, (0, 0), &["-R", "-h"], &[data.to_owned()])
}

fn change_owner(
    stack: &Stack,
    (uid, gid): (u32, u32),
    flags: &[&str],
    paths: &[PathBuf],
) -> Result<()> {
    let namespace = UserNamespace::find(&stack.settings.programs, &stack.environment)?;
    let mut command = namespace.command(Path::new("chown"));
    command
        .args(flags)
        .arg(format!("{uid}:{gid}"))
        .arg("--")
        .args(paths);
    Program::of(command, CALL).answer().map(drop)
}

/// Judges the data that the application left, against the contract and the rows that the proof counted.
fn judged(
    stack: &Stack,
    guard: &Guard,
    snapshot: &Snapshot,
    data: &Path,
    deadline: Duration,
) -> Vec<Finding> {
    let here = Guard {
        data: data.to_owned(),
        ..guard.clone()
    };
    let mut memory = Memory::default();
    for store in snapshot.proof.iter().flat_map(|p| &p.stores) {
        let baseline = Baseline::from_look(store.seen.clone(), Timestamp::now());
        memory.stores.insert(store.name.clone(), baseline);
    }
    let how = How {
        occasion: Occasion::Proof,
        depth: Depth::Full,
        deadline,
    };
    let seen = look(stack, &here, how, None);
    judge::guard(&here, &seen, &memory, Occasion::Proof)
}

/// Removes what drills left that were killed: no process of theirs lives.
fn clear_left(podman: &Podman) -> Result<()> {
    let format = format!("{{{{.Names}}}} {{{{index .Labels \"{LABEL}\"}}}}");
    let filter = format!("label={LABEL}");
    let answer = podman
        .program(&["ps", "--all", "--filter", &filter, "--format", &format])?
        .answer()?;
    for line in String::from_utf8_lossy(&answer).lines() {
        let Some((name, pid)) = line.split_once(' ') else {
            continue;
        };
        let lives = PathBuf::from("/proc").join(pid.trim()).exists();
        if !lives && name.starts_with("aidb-drill-") {
            remove(podman, name)?;
        }
    }
    Ok(())
}

fn remove(podman: &Podman, name: &str) -> Result<()> {
    podman
        .program(&[
            "rm",
            "--force",
            "--ignore",
            "--volumes",
            "--time",
            "0",
            name,
        ])?
        .answer()
        .map(drop)
}

/// The ledger's event for a drill in which all was well.
pub const GOOD: &str = "drill";

/// The ledger's event for one that failed.
pub const FAILED: &str = "drill-failed";

/// The ledger's event for one that tells nothing about the data.
pub const UNTOLD: &str = "drill-could-not";

/// Notes the outcome of a drill in the ledger: [`GOOD`], [`FAILED`] or [`UNTOLD`].
///
/// # Errors
/// [`Error::Sqlite`] if the ledger cannot be written.
pub fn note(
    stack: &mut Stack,
    guard: &Guard,
    snapshot: &Snapshot,
    drilled: &Drilled,
) -> Result<()> {
    let verdict = drilled.verdict();
    let kind = match verdict {
        Verdict::Pass | Verdict::Warn => GOOD,
        Verdict::Unknown => UNTOLD,
        Verdict::Hold => FAILED,
    };
    let mut detail = format!("{} on {}", snapshot.id(), drilled.image);
    let against = drilled
        .findings
        .iter()
        .filter(|f| f.verdict() > Verdict::Warn);
    for why in drilled.failure.iter().chain(against.map(|f| &f.what)) {
        detail = format!("{detail}; {why}");
    }
    stack.ledger()?.note_event(&guard.name, kind, &detail)
}

/// Clears the throwaway folders that killed drills left, whose files may be of another user.
///
/// # Errors
/// [`Error::Io`] if they cannot be listed.
pub fn clear_folders(stack: &Stack) -> Result<()> {
    let root = stack.settings.state.join("drill/.staging");
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).doing("list", &root),
    };
    for entry in entries.flatten() {
        let lock = entry.path().join(".lock");
        let abandoned =
            lock.is_file() && Lock::on(&lock, Mode::Exclusive, Duration::ZERO, "a drill").is_ok();
        if abandoned && let Err(e) = take_back(stack, &entry.path()) {
            return Err(Error::CouldNot {
                what: format!("what a killed drill left cannot be cleared: {}", told(&e)),
                hint: None,
            });
        }
    }
    Ok(())
}
