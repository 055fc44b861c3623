//! Judging a container from outside: does it run as it should, does it see the guarded folder, what goes with it?

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Finding, FindingId, Severity, Step};
use crate::guard::Guard;
use crate::incarnation::{Ending, Incarnation};
use crate::look::container::{Layer, MountProof};
use crate::look::unit::UnitState;
use crate::words::first_paths;

/// For how long an unexpected recreation is said.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// So many failures within this time are a loop.
const LOOP: (usize, SignedDuration) = (3, SignedDuration::from_hours(1));
/// From which size on what was written to the layer should be looked at, bytes: below, it is what images do as they start.
const MUCH: u64 = 16 << 20;

/// What is known of a guard's container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The state of its unit; `None` if it has none, or that cannot be told.
    pub unit: Option<UnitState>,
    /// Whether it is there, as Podman says.
    pub presence: Presence,
    /// What it sees at the data path, while it runs.
    pub mount: Option<MountProof>,
    /// What it wrote to its own layer, while it runs.
    pub layer: Option<Layer>,
    /// Its runs, oldest first.
    pub runs: Vec<Incarnation>,
}

/// Whether a container is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Presence {
    /// Nobody asked: nothing says that there is one.
    #[default]
    NotAsked,
    /// It could not be found out.
    Unknown(String),
    /// There is none of that name.
    Absent,
    /// It is there and does not run.
    Stopped,
    /// It runs.
    Running,
}

/// Returns what is to be said about a guard's container.
#[must_use]
pub fn judge(guard: &Guard, facts: &Facts, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(presence(guard, facts));
    findings.extend(failed(guard, facts));
    findings.extend(crash_loop(guard, facts, now));
    findings.extend(recreated(guard, facts, now));
    findings.extend(facts.mount.as_ref().and_then(|proof| mount(guard, proof)));
    if let Some(layer) = &facts.layer {
        findings.extend(database_in_layer(guard, layer));
        findings.extend(writes(guard, layer));
    }
    findings
}

fn warn(id: FindingId) -> Finding {
    Finding::of_guard(id, Severity::Warn, id.meaning())
}

fn presence(guard: &Guard, facts: &Facts) -> Option<Finding> {
    match &facts.presence {
        Presence::Unknown(why) => {
            let what = format!("the container cannot be looked at: {why}");
            Some(Finding::of_guard(
                FindingId::CheckCouldNot,
                Severity::Warn,
                &what,
            ))
        }
        Presence::Absent | Presence::Stopped
            if facts.unit.as_ref().is_some_and(UnitState::should_run) =>
        {
            let unit = guard.unit.as_deref().unwrap_or_default();
            let how = if facts.presence == Presence::Absent {
                "does not exist"
            } else {
                "does not run"
            };
            Some(Finding {
                evidence: Some(format!(
                    "`{unit}` is active, and the container `{}` {how}",
                    guard.container
                )),
                ..warn(FindingId::ContainerMissing)
            })
        }
        _ => None,
    }
}

fn failed(guard: &Guard, facts: &Facts) -> Option<Finding> {
    let unit = facts.unit.as_ref().filter(|u| u.has_failed())?;
    Some(unit_failed(guard.unit.as_deref().unwrap_or_default(), unit))
}

/// Returns the finding about a unit that failed.
#[must_use]
pub fn unit_failed(name: &str, unit: &UnitState) -> Finding {
    let status = match unit.exit_status {
        Some(status) if status != 0 => format!(", status {status}"),
        _ => String::new(),
    };
    Finding {
        evidence: Some(format!(
            "result `{}`{status}; `journalctl --user -u {name}` tells more",
            unit.result
        )),
        ..Finding::of_guard(
            FindingId::UnitFailed,
            Severity::Warn,
            &format!("`{name}` failed"),
        )
    }
}

/// A unit with `RestartMode=direct` goes from failure to start without anybody being told of a single one.
fn crash_loop(guard: &Guard, facts: &Facts, now: Timestamp) -> Option<Finding> {
    let (many, time) = LOOP;
    let failures: Vec<&Incarnation> = facts
        .runs
        .iter()
        .rev()
        .take_while(|run| is_recent(run.ended_at.unwrap_or(run.began_at()), now, time))
        .filter(|run| run.ending == Some(Ending::Failed))
        .collect();
    if failures.len() < many {
        return None;
    }
    let statuses: BTreeSet<i32> = failures.iter().filter_map(|run| run.exit_status).collect();
    let statuses: Vec<String> = statuses.iter().map(ToString::to_string).collect();
    let statuses = if statuses.is_empty() {
        String::new()
    } else {
        format!(" (status {})", statuses.join(", "))
    };
    Some(Finding {
        evidence: Some(format!(
            "{} failures within an hour{statuses}",
            failures.len()
        )),
        next: vec![Step::new(
            "see whether its data is fit",
            &["check", &guard.name],
        )],
        ..warn(FindingId::ContainerCrashLoop)
    })
}

/// A container that took another's place, between two looks, while its hooks (which had announced the one before) said
/// nothing: neither a stop nor a start.
fn recreated(guard: &Guard, facts: &Facts, now: Timestamp) -> Option<Finding> {
    let pairs = facts.runs.iter().zip(facts.runs.iter().skip(1));
    let (before, after) = pairs
        .rev()
        .take_while(|(_, after)| is_recent(after.began_at(), now, REMEMBERED))
        .find(|(before, after)| {
            after.announced_at.is_none()
                && before.announced_at.is_some()
                && before.ending == Some(Ending::Unseen)
        })?;
    let short = |run: &Incarnation| match &run.container_id {
        Some(id) => format!("`{}`", id.chars().take(12).collect::<String>()),
        None => "one that was never seen".to_owned(),
    };
    Some(Finding {
        evidence: Some(format!(
            "{} took the place of {}, and no hook saw a stop or a start; what the former wrote to its own layer is gone",
            short(after),
            short(before)
        )),
        next: vec![Step::new(
            "see whether its data is fit",
            &["check", &guard.name],
        )],
        ..warn(FindingId::ContainerRecreated)
    })
}

/// Returns whether something was within the last stretch of time. What is ahead of now, after the clock was set back, was.
fn is_recent(at: Timestamp, now: Timestamp, time: SignedDuration) -> bool {
    now.duration_since(at) < time
}

fn mount(guard: &Guard, proof: &MountProof) -> Option<Finding> {
    let place = guard.mount.as_deref().unwrap_or(&guard.data).display();
    let other = |found: &str, until: &str| {
        let guarded = guard.data.display();
        let told = format!(
            "`{place}` in the container is {found}, the guarded folder is `{guarded}`; what it writes goes there{until}"
        );
        (FindingId::MountOther, told)
    };
    let (id, evidence) = match proof {
        MountProof::Same => return None,
        MountProof::Unknown(why) => {
            let what = format!("what the container sees at `{place}` cannot be found out: {why}");
            return Some(Finding::of_guard(
                FindingId::CheckCouldNot,
                Severity::Warn,
                &what,
            ));
        }
        MountProof::InLayer => (
            FindingId::MountAbsent,
            format!("`{place}` in the container is in its own layer, and goes with it"),
        ),
        MountProof::Exchanged => other(
            "the folder that was there when it started",
            " until it is started anew",
        ),
        MountProof::Other(found) => other(found, ""),
    };
    // What it wrote to its layer can be rescued; what lies in another folder stays there.
    let next = match proof {
        MountProof::InLayer => Step::new("keep what it wrote", &["rescue", &guard.name]),
        MountProof::Exchanged => Step::by_hand(format!(
            "have it use the folder that is there now: `{}`",
            restart(guard)
        )),
        _ => Step::by_hand(format!(
            "mount `{}` at `{place}`, or guard the folder that it has",
            guard.data.display()
        )),
    };
    Some(Finding {
        path: Some(guard.data.clone()),
        evidence: Some(evidence),
        next: vec![next],
        ..Finding::of_guard(id, guard.policy.mount.into(), id.meaning())
    })
}

/// Returns the command that starts a guard's container anew, on what its mounts lead to now.
fn restart(guard: &Guard) -> String {
    match &guard.unit {
        Some(unit) => format!("systemctl --user restart {unit}"),
        None => format!("podman restart {}", guard.container),
    }
}

fn database_in_layer(guard: &Guard, layer: &Layer) -> Option<Finding> {
    let first = layer.databases.first()?;
    let is_open = layer.open.contains(first);
    Some(Finding {
        evidence: Some(format!(
            "{}{}",
            first_paths(&layer.databases),
            if is_open { ", open for writing" } else { "" }
        )),
        next: vec![Step::new("keep it", &["rescue", &guard.name])],
        ..warn(FindingId::LayerDatabase)
    })
}

fn writes(guard: &Guard, layer: &Layer) -> Option<Finding> {
    if layer.files == 0 && layer.open.is_empty() {
        return None;
    }
    let is_much = layer.size_bytes >= MUCH;
    let severity = if is_much {
        Severity::Warn
    } else {
        Severity::Info
    };
    let files = if layer.files == 1 { "file" } else { "files" };
    let mib = layer.size_bytes.div_ceil(1 << 20);
    let mut told = vec![format!("{} {files}, {mib} MiB", layer.files)];
    if !layer.open.is_empty() {
        told.push(format!("open for writing: {}", first_paths(&layer.open)));
    }
    let next = if is_much {
        vec![Step::new("keep it", &["rescue", &guard.name])]
    } else {
        Vec::new()
    };
    Some(Finding {
        evidence: Some(told.join("; ")),
        next,
        ..Finding::of_guard(
            FindingId::LayerWrites,
            severity,
            FindingId::LayerWrites.meaning(),
        )
    })
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
