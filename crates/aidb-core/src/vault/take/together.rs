//! A snapshot of several guards as of one instant: most is captured while the containers still run, and what has moved since
//! while they are frozen.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Request, Taken, Taking, walk};
use crate::capture::blobs::Blob;
use crate::capture::freeze::{self, Cgroups};
use crate::capture::plan::Base;
use crate::capture::{Captured, Limits, Manner, tree};
use crate::error::{Error, Result};
use crate::staging::Staging;
use crate::vault::layout::Vault;
use crate::vault::name::SnapshotName;

/// For how long containers may stand still.
const BUDGET: Duration = Duration::from_secs(2);

/// Takes snapshots of several guards as of one instant: their containers are frozen while what moves is captured.
///
/// # Errors
/// As [`take`](super::take()); [`Error::Busy`] also if what changes is too much for the time that containers may stand still. Then
/// there is no snapshot of any of them.
pub fn take_together(
    vault: &Vault,
    requests: &[Request],
    cgroups: &dyn Cgroups,
) -> Result<Vec<Taken>> {
    // In the order of names: two such runs never wait for each other.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|i| &requests[*i].guard.name);
    let mut takings = Vec::new();
    for i in order {
        takings.push((i, Taking::begin(vault, &requests[i])?));
    }
    let mut early = Vec::new();
    for (_, taking) in &mut takings {
        early.push(taking.early()?);
    }
    let frozen = freeze::freeze(&cgroups.find()?, &vault.staging_folder())?;
    let until = frozen.since() + BUDGET;
    let mut captured = Vec::new();
    let mut failed = None;
    for ((_, taking), early) in takings.iter_mut().zip(&early) {
        match taking.under_freeze(early, until) {
            Ok(c) => captured.push(c),
            Err(e) => {
                failed = Some(e);
                break;
            }
        }
    }
    let stood = frozen.thaw();
    if let Some(e) = failed {
        return Err(match e {
            Error::Deadline { .. } => Error::Busy {
                what: "more changes than can be copied while the containers stand still: the stack"
                    .into(),
                waited: stood,
            },
            e => e,
        });
    }
    let mut taken = Vec::new();
    for (((i, taking), early), captured) in takings.iter_mut().zip(early).zip(captured) {
        let staged = early.staging.path().join("snapshot");
        let mut one = taking.publish(&staged, captured, stood, early.dropped)?;
        one.verified.extend(early.verified);
        taken.push((*i, one));
    }
    taken.sort_by_key(|(i, _)| *i);
    Ok(taken.into_iter().map(|(_, one)| one).collect())
}

/// What was captured before the containers were frozen.
struct Early {
    staging: Staging,
    base: Base,
    dropped: Vec<SnapshotName>,
    verified: Vec<Blob>,
    new_bytes: u64,
}

impl Taking<'_> {
    /// Captures what there is while the containers still run.
    fn early(&mut self) -> Result<Early> {
        let began_ns = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MIN);
        let plan = self.plan();
        let dropped = self.make_room(&plan)?;
        let staging = Staging::new(
            &self.vault.staging_folder(),
            &format!("together-{}", self.request.guard.name),
        )?;
        let data = staging.path().join("early");
        let manner = Manner {
            patience: self.request.patience,
            limits: self.limits(&plan),
            ids: &self.ids,
            blobs: &self.blobs,
            freezer: None,
            is_still: false,
        };
        let captured =
            tree(&self.root, &self.walk.found, &plan, &data, &manner).map_err(|e| self.told(e))?;
        Ok(Early {
            base: Base::of_capture(&data, captured.entries, began_ns),
            staging,
            dropped,
            verified: captured.verified,
            new_bytes: captured.new_bytes,
        })
    }

    /// Captures again, while nothing moves, what has changed since the early capture; the rest is that one's.
    fn under_freeze(&mut self, early: &Early, until: Instant) -> Result<Captured> {
        self.taken_at = Timestamp::now();
        let longest = self
            .vault
            .longest_path_bytes(&self.name, &self.request.guard.name);
        self.walk = walk(&self.root, &self.exclude, longest);
        let staged = early.staging.path().join("snapshot");
        crate::folder::make(&staged)?;
        let plan = self.plan_by(&self.walk.found, Some(&early.base));
        let limits = Limits {
            until: Some(self.request.until.map_or(until, |u| u.min(until))),
            ..self.limits(&plan)
        };
        let manner = Manner {
            patience: Duration::ZERO,
            limits,
            ids: &self.ids,
            blobs: &self.blobs,
            freezer: None,
            is_still: true,
        };
        let data = staged.join("data");
        let mut captured =
            tree(&self.root, &self.walk.found, &plan, &data, &manner).map_err(|e| self.told(e))?;
        if Instant::now() >= until {
            return Err(self.late());
        }
        captured.new_bytes += early.new_bytes;
        Ok(captured)
    }

    fn late(&self) -> Error {
        Error::Deadline {
            what: format!("copying `{}`", self.root.path().display()),
            after: self.began.elapsed(),
        }
    }
}
