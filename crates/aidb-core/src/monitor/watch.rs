//! One look at a guard and everything around it: data, snapshots, container; noted in the ledger and judged.
//!
//! Gentle: one question to systemd for all units, one to Podman for each container, each with a deadline. What cannot be asked is said, and nothing is concluded from it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::alert::Topic;
use crate::check::{How, check};
use crate::error::{IoContext as _, Result, told};
use crate::guard::Guard;
use crate::incarnation::Incarnation;
use crate::judge::container::{Facts, Presence};
use crate::judge::growth::Size;
use crate::judge::snapshots::{Damaged, Kept};
use crate::judge::{self, Finding, FindingId, Occasion, Severity, Verdict};
use crate::ledger::{Ledger, Measurement, Running, Sighting};
use crate::look::container::{
    Layer, is_named_like_a_database, mount_proof, open_in_layer, without_companions,
};
use crate::look::unit::{self, UnitState};
use crate::look::{Depth, nothing};
use crate::podman::{Container, Podman};
use crate::program::Program;
use crate::report::GuardReport;
use crate::settings::Source;
use crate::stack::Stack;
use crate::userns::{self, UserNamespace};
use crate::vault::verify;
use crate::{rescue, space};

/// How long each program may take.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// After so many failures Podman is not asked again: each may take all of its time, and there may be a hundred guards.
const MOST_FAILURES: u32 = 2;
/// How long the data of one guard may be looked at, unless somebody says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(600);

/// A look at everything, begun.
#[derive(Debug)]
pub struct Watch {
    now: Timestamp,
    /// How long the data of one guard may be looked at.
    deadline: Duration,
    boot: String,
    podman: Result<Podman, String>,
    podman_failures: u32,
    units: Result<BTreeMap<String, UnitState>, String>,
    /// By the container's name: several guards may have one.
    containers: BTreeMap<String, Result<Option<Container>, String>>,
}

/// What one look at a guard showed.
#[derive(Debug, Clone)]
pub struct Watched {
    /// The guard.
    pub guard: Guard,
    /// Data, snapshots and container, judged.
    pub report: GuardReport,
    /// What could not be looked at: of that nothing has gone.
    pub not_looked_at: Vec<Topic>,
    /// The container's runs, oldest first.
    pub runs: Vec<Incarnation>,
    /// Measurements, oldest first, this one included.
    pub measurements: Vec<Measurement>,
    /// Good snapshots, oldest first, as far as they were asked for.
    pub kept: Kept,
    /// The states of the container and of its unit.
    pub facts: Facts,
}

impl Watch {
    /// Begins a look: asks systemd about the units of all guards.
    #[must_use]
    pub fn begin(stack: &Stack, guards: &[Guard]) -> Self {
        let mut units: Vec<String> = guards.iter().filter_map(|g| g.unit.clone()).collect();
        units.sort();
        units.dedup();
        let (programs, environment) = (&stack.settings.programs, &stack.environment);
        Self {
            now: Timestamp::now(),
            deadline: DEADLINE,
            boot: boot(),
            podman: Podman::find(programs, environment, PATIENCE).map_err(|e| told(&e)),
            podman_failures: 0,
            units: unit::states(&units, programs, environment, PATIENCE).map_err(|e| told(&e)),
            containers: BTreeMap::new(),
        }
    }

    /// Returns it with another time for the data of one guard.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Returns when it began.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Looks at one guard, and notes what is worth remembering.
    pub fn look(&mut self, stack: &mut Stack, guard: &Guard) -> Watched {
        let mut report = look_at_data(stack, guard, self.deadline);
        if userns::could_help() && report.findings.iter().any(Finding::is_denied) {
            // What may not be read even there stays as it was found here.
            report = look_inside(stack, guard, self.deadline).unwrap_or(report);
        }
        let mut not_looked_at = Vec::new();
        let is_unsure = |f: &Finding| f.verdict() == Verdict::Unknown;
        if report.findings.iter().any(is_unsure) {
            not_looked_at.push(Topic::Data);
        }
        let facts = self.facts(stack, guard);
        let in_container = judge::container::judge(guard, &facts, self.now);
        let no_units = guard.unit.is_some() && self.units.is_err();
        let no_layer = facts.layer.as_ref().is_some_and(|l| l.unknown.is_some());
        if no_units || no_layer || in_container.iter().any(is_unsure) {
            not_looked_at.push(Topic::Container);
        }
        let kept = kept(stack, guard, self.now);
        let of_snapshots = judge::snapshots::judge(&guard.name, &kept, self.now);
        if kept.unknown.is_some() {
            not_looked_at.push(Topic::Snapshots);
        }
        let growth = self.growth(stack, guard, &report);
        let findings = report
            .findings
            .into_iter()
            .chain(in_container)
            .chain(of_snapshots)
            .chain(growth)
            .collect();
        let report = GuardReport::new(&guard.name, as_one_news(findings), report.stores);
        Watched {
            measurements: self.measure(stack, &report),
            runs: facts.runs.clone(),
            guard: guard.clone(),
            report,
            not_looked_at,
            kept,
            facts,
        }
    }

    /// Judges how the data has grown up to now.
    fn growth(&self, stack: &mut Stack, guard: &Guard, report: &GuardReport) -> Option<Finding> {
        let now = Size {
            at: self.now,
            bytes: size_bytes(report)?,
        };
        let known = stack.ledger().and_then(|l| l.measurements(&guard.name));
        let measured = |m: &Measurement| {
            let bytes = m.size_bytes?;
            Some(Size { at: m.at, bytes })
        };
        let before = known.iter().flatten().filter_map(measured);
        let sizes: Vec<Size> = before.chain([now]).collect();
        judge::growth::judge(&guard.name, &sizes, space::space(&guard.data)?)
    }

    fn measure(&self, stack: &mut Stack, report: &GuardReport) -> Vec<Measurement> {
        let size = size_bytes(report);
        let rows: BTreeMap<String, u64> = report
            .stores
            .iter()
            .flat_map(|s| {
                s.rows
                    .iter()
                    .map(|(table, rows)| (format!("{}/{table}", s.name), *rows))
            })
            .collect();
        let Ok(ledger) = stack.ledger() else {
            return Vec::new();
        };
        // That it cannot be noted is said by the ledger's own notice; the look goes on.
        let _ = ledger.note_measurement(&report.name, self.now, report.verdict, size, &rows);
        ledger.measurements(&report.name).unwrap_or_default()
    }

    /// Asks about the container, if anything says that there is one.
    fn facts(&mut self, stack: &mut Stack, guard: &Guard) -> Facts {
        let known_runs = stack
            .ledger()
            .and_then(|l| l.incarnations(&guard.container))
            .unwrap_or_default();
        let unit = self
            .units
            .as_ref()
            .ok()
            .zip(guard.unit.as_ref())
            .and_then(|(units, name)| units.get(name))
            .filter(|state| state.is_loaded)
            .cloned();
        let is_expected = unit.is_some() || known_runs.iter().any(Incarnation::is_attested);
        let mut facts = Facts {
            unit,
            runs: known_runs,
            ..Facts::default()
        };
        let container = match self.container(&guard.container) {
            // A folder without a container needs no Podman.
            Err(_) if !is_expected => return facts,
            Err(why) => {
                facts.presence = Presence::Unknown(why);
                return facts;
            }
            Ok(None) => {
                facts.presence = Presence::Absent;
                return self.again_if_missing(stack, guard, facts);
            }
            Ok(Some(container)) => container,
        };
        if !container.running {
            facts.presence = Presence::Stopped;
            return self.again_if_missing(stack, guard, facts);
        }
        facts.presence = Presence::Running;
        facts.mount = guard.mount.as_ref().map(|_| mount_proof(&container, guard));
        facts.layer = Some(layer(stack, guard, &container));
        if let Ok(ledger) = stack.ledger() {
            let _ = note_running(ledger, &container, &self.boot, self.now);
            facts.runs = ledger.incarnations(&guard.container).unwrap_or_default();
        }
        facts
    }

    fn container(&mut self, name: &str) -> Result<Option<Container>, String> {
        if let Some(known) = self.containers.get(name) {
            return known.clone();
        }
        let found = match &self.podman {
            Ok(podman) => podman.container(name).map_err(|e| told(&e)),
            Err(why) => Err(why.clone()),
        };
        if found.is_err() {
            self.podman_failures += 1;
        }
        if let (Err(why), true) = (&found, self.podman_failures >= MOST_FAILURES) {
            self.podman = Err(why.clone());
        }
        self.containers.insert(name.to_owned(), found.clone());
        found
    }

    /// A container that is being started anew is missing for a moment: both systemd and Podman are asked once more.
    fn again_if_missing(&mut self, stack: &Stack, guard: &Guard, facts: Facts) -> Facts {
        let (Some(name), true) = (
            &guard.unit,
            facts.unit.as_ref().is_some_and(UnitState::should_run),
        ) else {
            return facts;
        };
        std::thread::sleep(Duration::from_secs(1));
        self.containers.remove(&guard.container);
        let presence = match self.container(&guard.container) {
            Err(why) => Presence::Unknown(why),
            Ok(None) => Presence::Absent,
            Ok(Some(container)) if !container.running => Presence::Stopped,
            Ok(Some(_)) => Presence::Running,
        };
        let (programs, environment) = (&stack.settings.programs, &stack.environment);
        let units = unit::states(std::slice::from_ref(name), programs, environment, PATIENCE);
        Facts {
            presence,
            unit: units.ok().and_then(|mut u| u.remove(name)),
            ..facts
        }
    }
}

/// Returns the sizes of a guard's stores added up; none if nothing is known of any.
fn size_bytes(report: &GuardReport) -> Option<u64> {
    let known: Vec<u64> = report.stores.iter().filter_map(|s| s.size_bytes).collect();
    (!known.is_empty()).then(|| known.iter().sum())
}

/// Looks at a guard's data alone.
#[must_use]
pub fn look_at_data(stack: &mut Stack, guard: &Guard, deadline: Duration) -> GuardReport {
    let how = How {
        occasion: Occasion::Report,
        depth: Depth::Full,
        deadline,
    };
    check(stack, guard, how)
}

/// Has this very tool look at a guard's data inside the containers' user namespace, where files of sub-uids can be read: its
/// verb `look` answers with a report. The rest of a look stays outside: systemd and Podman do not know the root in there.
fn look_inside(stack: &Stack, guard: &Guard, deadline: Duration) -> Result<GuardReport> {
    let program = std::env::current_exe().doing("find", Path::new("/proc/self/exe"))?;
    let namespace = UserNamespace::find(&stack.settings.programs, &stack.environment)?;
    let mut command = namespace.command(&program);
    command.args(["look", &guard.name]);
    if let Source::File(file) = &stack.settings.source {
        command.arg("--config").arg(file);
    }
    let mut program = Program::of(command, deadline);
    // Its status says that it ran inside; whether it answered, its answer says.
    let answer = program.run()?.answer;
    serde_json::from_slice(&answer)
        .map_err(|e| program.could_not(&format!("gives an answer that cannot be understood: {e}")))
}

/// Looks at what the guard's container wrote to its own layer, in the folder where it lies.
fn layer(stack: &Stack, guard: &Guard, container: &Container) -> Layer {
    let look = rescue::look(&stack.settings, &stack.environment, guard, PATIENCE);
    let mut layer = match look {
        Ok(look) => {
            let look = look.unwrap_or_default();
            let inside = |d: &rescue::Database| Path::new("/").join(d.path.as_path());
            Layer {
                files: look.files,
                size_bytes: look.size_bytes,
                databases: look.databases.iter().map(inside).collect(),
                ..Layer::default()
            }
        }
        Err(e) => Layer {
            unknown: Some(told(&e)),
            ..Layer::default()
        },
    };
    layer.open = without_companions(&open_in_layer(container));
    let open = layer.open.iter().filter(|f| is_named_like_a_database(f));
    layer.databases.extend(open.cloned());
    layer.databases.sort();
    layer.databases.dedup();
    layer
}

/// Notes in the ledger that a container runs.
///
/// # Errors
/// If the ledger cannot be written.
pub fn note_running(
    ledger: &mut Ledger,
    container: &Container,
    boot: &str,
    at: Timestamp,
) -> Result<Option<Sighting>> {
    if !container.running {
        return Ok(None);
    }
    let running = Running {
        id: container.id.clone(),
        image: container.image_name.clone(),
        image_digest: container.image_digest.clone(),
        layer: container.upper.clone(),
        started_at: container.started_at,
    };
    ledger
        .note_running(&container.name, &running, boot, at)
        .map(Some)
}

/// Returns the system's boot, as every part of aidb names it.
#[must_use]
pub fn boot() -> String {
    crate::look::boot::id().unwrap_or_default()
}

/// Returns whether the vault, or an archive, which another disk may be mounted for, lies elsewhere than the data; `None` if
/// it cannot be told.
fn lies_elsewhere(stack: &Stack, guard: &Guard) -> Option<bool> {
    let archives = stack.vault.archives(&guard.name).unwrap_or_default();
    let sound = archives.into_iter().filter(|a| !a.damaged).map(|a| a.path);
    let mut copies = sound.chain([stack.vault.root().to_owned()]);
    let same = |path: &Path| space::is_same_filesystem(&guard.data, path);
    // One that is elsewhere is enough; for the rest the vault's word counts.
    let mut told = None;
    copies.any(|path| {
        told = same(&path).map(|same| !same);
        told == Some(true)
    });
    told
}

/// Returns what of a guard `verify` found damaged; that the vault cannot be listed is said elsewhere.
fn damaged(stack: &Stack, guard: &Guard) -> Vec<Damaged> {
    let snapshots = verify::found_damaged(&stack.vault, &guard.name).unwrap_or_default();
    let snapshots = snapshots.into_iter().map(|(name, at)| {
        let id = format!("{}/{name}", guard.name);
        (id, at)
    });
    let archives = stack.vault.archives(&guard.name).unwrap_or_default();
    let archives = archives
        .iter()
        .filter_map(|a| Some((a.id(), a.found_damaged_at()?)));
    let dated = |(id, at)| {
        let found_at = Timestamp::try_from(at).ok()?;
        Some(Damaged { id, found_at })
    };
    snapshots.chain(archives).filter_map(dated).collect()
}

/// Looks at what is kept of a guard: no more snapshots are opened than are needed to judge.
fn kept(stack: &Stack, guard: &Guard, now: Timestamp) -> Kept {
    let mut kept = Kept {
        has_second_copy: if stack.settings.offsite {
            Some(true)
        } else {
            lies_elsewhere(stack, guard)
        },
        space: space::space(stack.vault.root()),
        damaged: damaged(stack, guard),
        ..Kept::default()
    };
    let mut read = || -> Result<()> {
        for snapshot in stack.vault.each_snapshot(&guard.name)?.rev() {
            let snapshot = snapshot?;
            if snapshot.is_good() {
                let at = snapshot.summary.taken_at;
                kept.good.insert(0, (snapshot.id(), at));
                if at <= now {
                    break;
                }
            }
        }
        Ok(())
    };
    if let Err(e) = read() {
        kept.unknown = Some(told(&e));
    }
    if kept.good.is_empty() {
        kept.has_data = nothing::is_nothing(guard).map(|is| !is).ok();
    }
    // A capture that found nothing new made no snapshot: the newest one is as good as of then.
    let again = stack.last_seen(guard);
    if let (Some((newest, at)), Some((name, again))) = (kept.good.last_mut(), again)
        && *newest == format!("{}/{name}", guard.name)
        && again <= now
    {
        *at = (*at).max(again);
    }
    kept
}

/// Makes a held start one piece of news: what holds it is said, and that its unit failed is only the way in which it is held.
/// Once the data is fit and the unit is still down, that is news again.
#[must_use]
pub fn as_one_news(mut findings: Vec<Finding>) -> Vec<Finding> {
    if findings.iter().any(|f| f.severity == Severity::Hold) {
        let failures = findings.iter_mut();
        for failure in failures.filter(|f| f.id == FindingId::UnitFailed) {
            failure.severity = Severity::Info;
        }
    }
    findings
}
