//! Rescue: what a container wrote outside its volumes, kept before the container goes.
//!
//! A container's own layer is removed with it at every stop, switch and reboot. What lies in it and is no noise is
//! copied into the vault, databases first; a database in it is said loudly. It is found by Podman's storage as it lies
//! on disk, so that nothing depends on Podman's answer, and so that what a power cut left is read before Podman's first
//! call of the boot removes it.
//!
//! ```text
//! VAULT/GUARD/rescue/SEQ-TIME-CONTAINER/   data/…  rescue.json
//! ```
//!
//! A rescue is no snapshot: it is never proven, and no rule of snapshots drops it.

mod bring_back;
mod inside;
mod keep;
mod kept;
mod known;
mod layer;
mod say;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub use bring_back::Brought;
pub use inside::child_main;
pub use kept::{Record, Rescue, find, list};
pub(crate) use known::known;
pub use layer::{Database, LeftOut, Look};
pub use say::findings;

use crate::error::Result;
use crate::guard::Guard;
use crate::lock::{Lock, Mode};
use crate::podman::{Podman, Storage, cgroups};
use crate::settings::{Environment, Settings};
use crate::space::space;
use crate::staging::Staging;
use crate::vault::Vault;
use inside::{Answer, Job};

/// How much of a layer is kept at most, unless told otherwise.
pub const LIMIT_BYTES: u64 = 1 << 30;

/// What of a filesystem stays free, whatever a rescue would like to keep: applications run on it.
const FLOOR_BYTES: u64 = 1 << 30;

/// What there was to rescue.
#[derive(Debug)]
pub enum Outcome {
    /// There is no such container.
    NoContainer,
    /// Its layer holds nothing but noise.
    Nothing,
    /// The newest rescue holds the same.
    Same(Rescue),
    /// It was kept.
    Kept(Rescue),
}

/// A container, found without asking it anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub container: String,
    /// Its id.
    pub id: String,
    /// The id of its image.
    pub image_id: Option<String>,
    /// The folder of its layer.
    pub upper: PathBuf,
    /// What it sees of the host, as paths in the container: what lies there in the layer are mount points.
    pub mounts: Vec<PathBuf>,
    /// Its control group while it runs, as far as it is known.
    pub cgroup: Option<PathBuf>,
}

/// How to rescue.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Why, as the hook says it.
    pub reason: &'static str,
    /// For how long. What is not copied by then is left out, and named.
    pub deadline: Duration,
    /// How much to keep, bytes.
    pub limit_bytes: u64,
}

/// Keeps what the guard's container wrote outside its volumes.
///
/// The container may run, and its databases may be written to: one that is never left alone is copied while the container
/// is frozen, some milliseconds; if that cannot be done, it is named unsteady.
///
/// # Errors
/// [`crate::Error::CouldNot`] if the storage cannot be read or the layer cannot be entered; [`crate::Error::Busy`] if
/// another run holds the guard. The vault is as before.
pub fn rescue(
    settings: &Settings,
    environment: &Environment,
    guard: &Guard,
    request: &Request,
) -> Result<Outcome> {
    match locate(settings, environment, &guard.container)? {
        Some(found) => rescue_found(settings, environment, guard, &found, request),
        None => Ok(Outcome::NoContainer),
    }
}

/// Keeps what lies in the layer of a container that was found already.
///
/// # Errors
/// As [`rescue`].
pub fn rescue_found(
    settings: &Settings,
    environment: &Environment,
    guard: &Guard,
    found: &Found,
    request: &Request,
) -> Result<Outcome> {
    let vault = Vault::at(&settings.vault);
    keep_layer(&vault, guard, found, request, |job| {
        job.run(settings, environment)
    })
}

/// Keeps a layer by an answer that somebody gives.
fn keep_layer(
    vault: &Vault,
    guard: &Guard,
    found: &Found,
    request: &Request,
    run: impl Fn(&Job) -> Result<Answer>,
) -> Result<Outcome> {
    let began = Instant::now();
    let taken_at = Timestamp::now();
    let _lock = Lock::guard(vault, &guard.name, Mode::Exclusive, request.deadline)?;
    let staging = Staging::new(&vault.staging_folder(), &format!("rescue-{}", guard.name))?;
    let staged = staging.path().join("rescue");
    crate::folder::make(&staged)?;
    let free = space(vault.root()).map_or(u64::MAX, |space| space.free_bytes);
    let job = Job {
        upper: found.upper.clone().into(),
        target: Some(staged.join("data").into()),
        noise: layer::noise(guard),
        mounts: found.mounts.iter().cloned().map(Into::into).collect(),
        limit_bytes: request.limit_bytes.min(free.saturating_sub(FLOOR_BYTES)),
        deadline_ms: request
            .deadline
            .saturating_sub(began.elapsed())
            .as_millis()
            .try_into()
            .unwrap_or(u64::MAX),
        cgroup: found.cgroup.clone().map(Into::into),
        vault: vault.root().into(),
    };
    let answer = run(&job)?;
    if answer.look.is_nothing() {
        return Ok(Outcome::Nothing);
    }
    let staged = kept::Staged {
        guard,
        found,
        request,
        path: staged,
        taken_at,
        began,
    };
    kept::publish(vault, &staged, answer)
}

/// Returns what lies in the layer of the guard's container, copying nothing; `None` if there is no container.
///
/// # Errors
/// [`crate::Error::CouldNot`] if it could not be found out.
pub fn look(
    settings: &Settings,
    environment: &Environment,
    guard: &Guard,
    deadline: Duration,
) -> Result<Option<Look>> {
    let Some(found) = locate(settings, environment, &guard.container)? else {
        return Ok(None);
    };
    let job = Job {
        upper: found.upper.into(),
        target: None,
        noise: layer::noise(guard),
        mounts: found.mounts.into_iter().map(Into::into).collect(),
        limit_bytes: 0,
        deadline_ms: deadline.as_millis().try_into().unwrap_or(u64::MAX),
        // Nothing is copied, so nothing has to stand still.
        cgroup: None,
        vault: settings.vault.as_path().into(),
    };
    let Answer { look, .. } = job.run(settings, environment)?;
    Ok(Some(look))
}

/// Returns the guards whose containers an earlier boot left, which Podman's next call would remove.
///
/// # Errors
/// [`crate::Error::CouldNot`] if the storage cannot be read.
pub fn left_by_earlier_boot<'g>(
    settings: &'g Settings,
    environment: &Environment,
) -> Result<Vec<(&'g Guard, Found)>> {
    let storage = Storage::of(environment);
    let left = storage.left_by_earlier_boot()?;
    let of_guard = |container: &str| {
        // A second folder of the same container is another guard; the layer is one.
        let mut all = settings.guards.iter().filter(|g| g.container == container);
        let first = all.next()?;
        Some(all.find(|g| g.name == container).unwrap_or(first))
    };
    Ok(left
        .into_iter()
        .filter_map(|stored| Some((of_guard(&stored.name)?, Found::stored(&storage, stored))))
        .collect())
}

/// Returns whether there may be containers at all: Podman is installed, or its storage is there.
#[must_use]
pub fn could_be(settings: &Settings, environment: &Environment) -> bool {
    Storage::of(environment).is_readable()
        || settings
            .programs
            .locate(crate::settings::Program::Podman, environment)
            .is_some()
}

/// Finds a container by Podman's storage; where that is not what is expected, by asking Podman.
fn locate(settings: &Settings, environment: &Environment, name: &str) -> Result<Option<Found>> {
    let storage = Storage::of(environment);
    if storage.is_readable() {
        let stored = storage.container(name)?;
        return Ok(stored.map(|s| Found::stored(&storage, s)));
    }
    let podman = Podman::find(&settings.programs, environment, crate::podman::PATIENCE)?;
    let Some(container) = podman.container(name)? else {
        return Ok(None);
    };
    let cgroup = cgroups::of_running(&storage, &container.id);
    let upper = container.upper.ok_or_else(|| crate::Error::CouldNot {
        what: format!(
            "Podman's storage driver is `{}`; what containers write is found with `overlay` only",
            container.driver
        ),
        hint: Some("make sure that each container's data path is on a volume".into()),
    })?;
    Ok(Some(Found {
        container: container.name,
        id: container.id,
        image_id: Some(container.image_id),
        upper,
        mounts: container
            .mounts
            .into_iter()
            .map(|m| m.destination)
            .collect(),
        cgroup,
    }))
}

impl Found {
    fn stored(storage: &Storage, stored: crate::podman::storage::Stored) -> Self {
        Self {
            mounts: storage.mount_points(&stored.id),
            cgroup: cgroups::of_running(storage, &stored.id),
            container: stored.name,
            id: stored.id,
            image_id: Some(stored.image_id).filter(|id| !id.is_empty()),
            upper: stored.upper,
        }
    }
}
