//! Taking a snapshot: plan, capture into staging, write the manifest, publish. It is unproven until `prove` opened it.
//!
//! Where nothing differs from the newest proven snapshot, there is no new one: that one was seen again.

mod together;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use together::take_together;

use super::layout::{DAMAGED, Snapshot, Vault};
use super::name::SnapshotName;
use super::prune::drop_all;
use super::publish::{Staged, publish, stage};
use super::retention::SeenAgain;
use super::room;
use crate::capture::blobs::{Blob, Blobs};
use crate::capture::freeze::{self, Cgroups, Freezer};
use crate::capture::plan::{Base, Plan};
use crate::capture::walk::{Exclude, Found, Walk};
use crate::capture::{Captured, Limits, Manner, Root, plan, tree};
use crate::error::{Error, IoContext, Result};
use crate::guard::Guard;
use crate::lock::{Lock, Mode};
use crate::manifest::{FORMAT, Gap, Kind, Manifest, Numbering, Pairing, RootFolder, Summary};
use crate::progress::{Progress, Work};
use crate::settings::Keep;
use crate::space::{found_free, is_full};
use crate::staging::Staging;
use crate::userns::IdMap;

/// What is to be taken.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Of which guard.
    pub guard: &'a Guard,
    /// Why, as the user or the hook says it.
    pub reason: &'a str,
    /// How long to wait for locks: the guard's, and an application's.
    pub patience: Duration,
    /// When to give up copying; none waits for it to end.
    pub until: Option<Instant>,
    /// What runs on the data, as far as it is known.
    pub pairing: Pairing,
    /// Why the state is suspicious, if the source is held.
    pub suspicious: Option<String>,
    /// The systemd invocation of the unit that is stopping, if one is: it makes one snapshot.
    pub invocation: Option<String>,
    /// What is known from before.
    pub known: Known,
    /// Which cgroups write to the data, for a database that is never unlocked.
    pub cgroups: Option<&'a dyn Cgroups>,
    /// Who is told how far the copying has come.
    pub progress: &'a dyn Progress,
}

/// What a capture may know from before; without it, more is copied.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Blobs whose hash was verified.
    pub verified: HashSet<Blob>,
    /// On which days snapshots were seen again.
    pub seen: SeenAgain,
    /// What to keep, if space runs short.
    pub keep: Keep,
}

/// What taking a snapshot did.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The snapshot that holds the present state.
    pub snapshot: Snapshot,
    /// Whether it was made now; else nothing differed from it.
    pub is_new: bool,
    /// Blobs whose hash was verified.
    pub verified: Vec<Blob>,
    /// Snapshots that went because too little space was free.
    pub dropped: Vec<SnapshotName>,
    /// The snapshot of the same stop that this one replaced.
    pub replaced: Vec<SnapshotName>,
}

/// Takes a snapshot of a guard's data folder.
///
/// # Errors
/// [`Error::Busy`] if another run holds the guard, or an application a database; [`Error::Deadline`] if the time was
/// not enough; [`Error::CouldNot`] if the disk is full, or would be too full; [`Error::Io`] if the data folder cannot be
/// opened. In every case the vault is as before, but for what had to go for lack of space.
pub fn take(vault: &Vault, request: &Request) -> Result<Taken> {
    let mut taking = Taking::begin(vault, request)?;
    let plan = taking.plan();
    if let Some(standing) = taking.standing(&plan) {
        return Ok(standing);
    }
    let room = taking.make_room(&plan)?;
    let went = room.len();
    let staging = Staging::new(
        &vault.staging_folder(),
        &format!("take-{}", request.guard.name),
    )?;
    let staged = staging.path().join("snapshot");
    crate::folder::make(&staged)?;
    let notes = vault.staging_folder();
    let freezer = request.cgroups.map(|cgroups| Freezer {
        cgroups,
        notes: &notes,
    });
    let manner = Manner {
        patience: request.patience,
        limits: taking.limits(&plan),
        ids: &taking.ids,
        blobs: &taking.blobs,
        freezer: freezer.as_ref(),
        is_still: false,
    };
    let copying = Work::begin(request.progress, "copying", plan.changed_bytes);
    let captured = tree(
        &taking.root,
        &taking.walk.found,
        &plan,
        &staged.join("data"),
        &manner,
    )
    .map_err(|e| after_making_room(taking.told(e), went))?;
    drop(copying);
    taking
        .publish(&staged, captured, Duration::ZERO, room)
        .map_err(|e| after_making_room(e, went))
}

/// A guard that is being captured: its lock is held.
struct Taking<'a> {
    vault: &'a Vault,
    request: &'a Request<'a>,
    began: Instant,
    taken_at: Timestamp,
    /// What the snapshot will be called, unless its time moves on until the containers stand still.
    name: SnapshotName,
    root: Root,
    walk: Walk,
    exclude: Exclude,
    ids: IdMap,
    blobs: Blobs,
    /// The newest proven snapshot.
    newest_proven: Option<(Snapshot, Base)>,
    /// The newest snapshot, if it is not proven (yet).
    newest_unproven: Option<Snapshot>,
    /// The unproven snapshots that the same stop made.
    same_stop: Vec<Snapshot>,
    _lock: Lock,
}

/// What the vault holds of the guard already.
#[derive(Default)]
struct Earlier {
    /// The newest proven snapshot.
    newest_proven: Option<(Snapshot, Base)>,
    /// The newest snapshot, if it is not proven (yet).
    newest_unproven: Option<Snapshot>,
    /// The unproven snapshots that the same stop made, since the newest proven one.
    same_stop: Vec<Snapshot>,
}

impl Earlier {
    fn of(vault: &Vault, request: &Request) -> Result<Self> {
        let mut earlier = Self::default();
        let invocation = &request.invocation;
        for snapshot in vault.each_snapshot(&request.guard.name)?.rev() {
            let snapshot = snapshot?;
            if snapshot.is_proven() {
                // What came from another machine says nothing about files of this one.
                let base = if snapshot.summary.imported {
                    None
                } else {
                    Base::new(&snapshot.data(), snapshot.manifest()?)
                };
                earlier.newest_proven = base.map(|base| (snapshot, base));
                break;
            }
            if earlier.newest_unproven.is_none() {
                earlier.newest_unproven = Some(snapshot.clone());
            }
            if invocation.is_some() && snapshot.summary.invocation == *invocation {
                earlier.same_stop.push(snapshot);
            }
        }
        Ok(earlier)
    }
}

impl<'a> Taking<'a> {
    fn begin(vault: &'a Vault, request: &'a Request<'a>) -> Result<Self> {
        let guard = request.guard;
        let began = Instant::now();
        let taken_at = Timestamp::now();
        refuse_vault_inside(vault, &Root::open(&guard.data)?)?;
        let lock = Lock::guard(vault, &guard.name, Mode::Exclusive, request.patience)?;
        // Not before the lock: a restore that we waited for has put the folder of before aside.
        let root = Root::open(&guard.data)?;
        freeze::thaw_forgotten(&vault.staging_folder());
        let exclude = Exclude::new(&guard.exclude)?;
        let sequence = vault.highest_sequence(&guard.name)? + 1;
        let name = SnapshotName::new(sequence, taken_at, request.reason);
        let longest = vault.longest_path_bytes(&name, &guard.name);
        // Of 100,000 files, listing them and reading what is known of them last as long as each other.
        let (walk, earlier) = std::thread::scope(|scope| {
            let walking = scope.spawn(|| walk(&root, &exclude, longest));
            let earlier = Earlier::of(vault, request);
            (walking.join(), earlier)
        });
        let walk = walk.map_err(|_| Error::CouldNot {
            what: format!("`{}` could not be listed to its end", root.path().display()),
            hint: None,
        })?;
        let Earlier {
            newest_proven,
            newest_unproven,
            same_stop,
        } = earlier?;
        Ok(Self {
            ids: IdMap::of_this_process(),
            blobs: Blobs::of(&root, guard, request.known.verified.clone()),
            vault,
            request,
            began,
            taken_at,
            name,
            root,
            walk,
            exclude,
            newest_proven,
            newest_unproven,
            same_stop,
            _lock: lock,
        })
    }

    fn plan(&self) -> Plan<'_> {
        let base = self.newest_proven.as_ref().map(|(_, base)| base);
        self.plan_by(&self.walk.found, base)
    }

    fn plan_by<'b>(&'b self, found: &[Found], base: Option<&'b Base>) -> Plan<'b> {
        plan::plan(
            &self.root,
            self.request.guard,
            found,
            base,
            &self.blobs,
            &self.ids,
        )
    }

    /// Returns the snapshot that holds the present state already, if one does.
    fn standing(&self, plan: &Plan) -> Option<Taken> {
        let walk = &self.walk;
        let is_whole = walk.unreadable.is_empty() && walk.too_long.is_empty();
        if self.request.suspicious.is_some() || !is_whole {
            return None;
        }
        let found = |snapshot: &Snapshot| Taken {
            snapshot: snapshot.clone(),
            is_new: false,
            verified: Vec::new(),
            dropped: Vec::new(),
            replaced: Vec::new(),
        };
        if let Some((snapshot, base)) = &self.newest_proven
            && plan.unchanged
            && base.is_whole()
        {
            return Some(found(snapshot));
        }
        // What was captured while the application still ran is as good as what lies at rest, if nothing moved since; and an
        // application that fails at each start leaves the same each time.
        let newest = self.newest_unproven.as_ref()?;
        let summary = &newest.summary;
        let is_complete = summary.gaps.is_empty() && summary.unsteady.is_empty();
        if !is_complete || summary.imported || newest.path.join(DAMAGED).exists() {
            return None;
        }
        if plan::written_since(&self.walk.found, summary.taken_at) {
            return None;
        }
        let base = Base::unproven(&newest.data(), newest.manifest().ok()?)?;
        let unchanged = self.plan_by(&self.walk.found, Some(&base)).unchanged;
        (unchanged && base.is_whole()).then(|| found(newest))
    }

    fn floor(&self, plan: &Plan) -> u64 {
        room::floor_at(self.vault.root(), plan.in_place_bytes)
    }

    fn make_room(&self, plan: &Plan) -> Result<Vec<SnapshotName>> {
        let known = &self.request.known;
        let guard = &self.request.guard.name;
        room::make_room(
            self.vault,
            guard,
            &known.keep,
            &known.seen,
            self.floor(plan),
        )
    }

    fn limits(&self, plan: &Plan) -> Limits<'a> {
        Limits {
            until: self.request.until,
            keep_free_bytes: self.floor(plan),
            progress: Some(self.request.progress),
        }
    }

    /// Says what a limit that was reached means.
    fn told(&self, error: Error) -> Error {
        match &error {
            Error::Io { source, path, .. } if source.kind() == std::io::ErrorKind::TimedOut => {
                Error::Deadline {
                    what: format!("copying `{}`", path.display()),
                    after: self.began.elapsed(),
                }
            }
            _ => tell_full_disk(error, self.vault),
        }
    }

    /// Gives what was captured its name, and lets what it replaces go.
    fn publish(
        &mut self,
        staged: &Path,
        mut captured: Captured,
        frozen: Duration,
        dropped: Vec<SnapshotName>,
    ) -> Result<Taken> {
        for (path, e) in std::mem::take(&mut self.walk.unreadable) {
            captured.gaps.push((path, format!("cannot be listed: {e}")));
        }
        for path in std::mem::take(&mut self.walk.too_long) {
            let length = path.as_os_str().len();
            let why = format!("its path is too long for a place in the vault ({length} bytes)");
            captured.gaps.push((path, why));
        }
        captured.frozen = captured.frozen.max(frozen);
        let verified = std::mem::take(&mut captured.verified);
        let size = Staged {
            new_files: captured.new_files,
            entries: captured.entries.len(),
        };
        let guard = &self.request.guard.name;
        let sequence = self.name.sequence;
        let name = SnapshotName::new(sequence, self.taken_at, self.request.reason);
        let manifest = self.manifest(sequence, captured);
        let told = |e| tell_full_disk(e, self.vault);
        stage(&staged.join("manifest.json"), &manifest.text()?).map_err(told)?;
        let path = self.vault.guard_folder(guard).join(name.to_string());
        publish(staged, &path, size).map_err(told)?;
        let snapshot = Snapshot::open(name, path.clone())?.ok_or_else(|| Error::CouldNot {
            what: format!("`{}` was published and cannot be read back", path.display()),
            hint: None,
        })?;
        // The state at rest is worth more than the one before it; it is there, so that one may go.
        let live = std::mem::take(&mut self.same_stop)
            .into_iter()
            .map(|live| live.name);
        let replaced = drop_all(self.vault, guard, live.collect())?;
        Ok(Taken {
            snapshot,
            is_new: true,
            verified,
            dropped,
            replaced,
        })
    }

    fn manifest(&self, sequence: u64, captured: Captured) -> Manifest {
        let request = self.request;
        let local = self.taken_at.to_zoned_datetime(TimeZone::system());
        let files = captured
            .entries
            .iter()
            .filter(|e| matches!(e.kind, Kind::File { .. }))
            .count() as u64;
        let summary = Summary {
            format: FORMAT,
            sequence,
            guard: request.guard.name.clone(),
            reason: request.reason.to_owned(),
            taken_at: self.taken_at,
            local_date: local.date(),
            local_offset: local.strftime("%:z").to_string(),
            invocation: request.invocation.clone(),
            pairing: request.pairing.clone(),
            suspicious: request.suspicious.clone(),
            files,
            size_bytes: captured.size_bytes,
            new_bytes: captured.new_bytes,
            blocked_ms: milliseconds(captured.blocked),
            frozen_ms: milliseconds(captured.frozen),
            numbering: Numbering::Container,
            took_ms: milliseconds(self.began.elapsed()),
            gaps: captured
                .gaps
                .into_iter()
                .map(|(path, why)| Gap {
                    path: path.into(),
                    why,
                })
                .collect(),
            unsteady: captured.unsteady.into_iter().map(Into::into).collect(),
            imported: false,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Manifest {
            summary,
            settings: request.guard.clone(),
            root: self.root_folder(),
            entries: captured.entries,
        }
    }

    fn root_folder(&self) -> Option<RootFolder> {
        plan::root_folder(&self.root, &self.ids)
    }
}

/// Lists the data, and sets apart what has a longer path than a snapshot can hold.
fn walk(root: &Root, exclude: &Exclude, longest_bytes: usize) -> Walk {
    let mut walk = root.walk_data(exclude);
    walk.set_apart_longer_than(longest_bytes);
    walk
}

/// Returns a file of a guard's data that this process may not read, though it could inside the container's user
/// namespace; `None` if there is none.
///
/// # Errors
/// [`Error::Io`] if the data folder cannot be opened.
pub fn out_of_reach(guard: &Guard) -> Result<Option<PathBuf>> {
    let root = Root::open(&guard.data)?;
    let walk = root.walk_data(&Exclude::new(&guard.exclude)?);
    Ok(plan::out_of_reach(&root, &walk.found, &walk.unreadable))
}

/// A vault inside the data folder would capture itself.
fn refuse_vault_inside(vault: &Vault, root: &Root) -> Result<()> {
    let data = std::fs::canonicalize(root.path()).doing("look at", root.path())?;
    let place = nearest_existing(vault.root());
    let place = std::fs::canonicalize(&place).doing("look at", &place)?;
    if !place.starts_with(&data) {
        return Ok(());
    }
    Err(Error::Settings {
        file: None,
        what: format!(
            "/vault: expected a folder outside of the data, found `{}` inside of `{}`",
            vault.root().display(),
            root.path().display()
        ),
        hint: Some("choose another `vault`, on the same filesystem if it can be".into()),
    })
}

/// Returns the path, or the closest folder above it that exists.
pub(crate) fn nearest_existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("/"))
        .to_owned()
}

/// Says how much is free where a write failed for lack of space.
fn tell_full_disk(error: Error, vault: &Vault) -> Error {
    if !is_full(&error) {
        return error;
    }
    Error::CouldNot {
        what: format!(
            "the disk of the vault `{}` is full{}; nothing was kept, and the data is as it was",
            vault.root().display(),
            found_free(vault.root())
        ),
        hint: Some("free some space, lower `keep`, or move `vault`".into()),
    }
}

/// Says of a failed snapshot that older ones had gone for it.
fn after_making_room(error: Error, dropped: usize) -> Error {
    match error {
        Error::CouldNot { what, hint } if dropped > 0 => Error::CouldNot {
            what: format!(
                "{what}; to make room {dropped} of the oldest snapshots went before, and the newest proven one stays"
            ),
            hint,
        },
        other => other,
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
