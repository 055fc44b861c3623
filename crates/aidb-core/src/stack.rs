//! A person's stack, opened: settings, vault, ledger, and who examines copies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::error::{Error, IoContext, Result, told};
use crate::guard::Guard;
use crate::ledger::{Ledger, newest_good};
use crate::look::seen::Seen;
use crate::look::sqlite::{Examiner, disk};
use crate::look::standing::Standing;
use crate::look::{Scratch, boot, scan};
use crate::manifest::Pairing;
use crate::memory::{Former, Memory};
use crate::settings::{Environment, Program, Settings};
use crate::systemd::UserManager;
use crate::vault::meant::meant;
use crate::vault::retention::SeenAgain;
use crate::vault::take::{self, nearest_existing};
use crate::vault::{Archive, Snapshot, SnapshotName, Vault, archive};
use crate::{pairing, rename, rescue};

/// How many snapshots that nobody has proven are looked at for data.
const MOST_UNPROVEN: usize = 8;

/// How much memory the process that examines a copy may map, bytes.
const EXAMINER_MEMORY_BYTES: u64 = 512 << 20;

/// What a name on the command line means.
#[derive(Debug)]
pub enum Kept {
    /// A folder of plain files.
    Snapshot(Box<Snapshot>),
    /// An archive.
    Archive(Archive),
}

impl Kept {
    /// Returns the id that users and programs know.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Snapshot(snapshot) => snapshot.id(),
            Self::Archive(archive) => archive.id(),
        }
    }
}

/// Everything that the tools work on.
#[derive(Debug)]
pub struct Stack {
    /// What is guarded, and where snapshots are kept.
    pub settings: Settings,
    /// Where the surroundings are.
    pub environment: Environment,
    /// The folder of snapshots.
    pub vault: Vault,
    /// Who opens private copies.
    pub examiner: Examiner,
    ledger: Result<Ledger, String>,
    /// Where everything is written in place of the vault and the state folder, if nothing may change.
    _aside: Option<TempDir>,
    /// Which guards have another name now.
    renamed: Vec<String>,
}

impl Stack {
    /// Opens the stack that `config`, or the usual place, describes. A ledger that cannot be used does not keep it
    /// from being opened: the vault still knows.
    ///
    /// # Errors
    /// [`Error::Settings`] if there are no usable settings.
    pub fn open(config: Option<&Path>) -> Result<Self> {
        let environment = Environment::from_process()?;
        let settings = Settings::load(config, &environment)?;
        Self::of(settings, environment, None)
    }

    /// Opens the stack so that nothing of it changes: what would be remembered is written to a copy of the ledger, and
    /// removed with it.
    ///
    /// # Errors
    /// [`Error::Settings`] if there are no usable settings, [`Error::Io`] if no copy can be made.
    pub fn open_aside(config: Option<&Path>) -> Result<Self> {
        let environment = Environment::from_process()?;
        let mut settings = Settings::load(config, &environment)?;
        // Beside the vault, so that private copies share their blocks with the data.
        let place = nearest_existing(&settings.vault);
        let aside = tempfile::Builder::new()
            .prefix(".aidb-look-")
            .tempdir_in(&place)
            .doing("make a folder in", &place)?;
        let ledger = settings.state.join("ledger.db");
        settings.state = aside.path().join("state");
        crate::folder::make(&settings.state)?;
        if ledger.exists() {
            Ledger::copy(&ledger, &settings.state.join("ledger.db"))?;
        }
        if !settings.vault.exists() {
            settings.vault = aside.path().join("vault");
        }
        Self::of(settings, environment, Some(aside))
    }

    fn of(settings: Settings, environment: Environment, aside: Option<TempDir>) -> Result<Self> {
        let vault = Vault::at(&settings.vault);
        let mut ledger = Ledger::open(&settings.state, &vault).map_err(|e| told(&e));
        let renamed = match &aside {
            None => rename::adopt(&vault, ledger.as_mut().ok(), &settings.guards),
            Some(_) => Vec::new(),
        };
        let examiner = child_of_this_program().doing("find", Path::new("/proc/self/exe"))?;
        Ok(Self {
            settings,
            environment,
            vault,
            examiner,
            ledger,
            _aside: aside,
            renamed,
        })
    }

    /// Returns the guards that are named, or all.
    ///
    /// # Errors
    /// [`Error::Usage`] if a name fits no guard, or several.
    pub fn guards(&self, names: &[String]) -> Result<Vec<Guard>> {
        Ok(self.settings.select(names)?.into_iter().cloned().collect())
    }

    /// Returns the guards that are named; one that the settings no longer know as the ledger last knew it, because a
    /// unit outlives the settings that made it.
    ///
    /// # Errors
    /// [`Error::Usage`] if a name fits no guard, past or present.
    pub fn guards_past_or_present(&self, names: &[String]) -> Result<Vec<Guard>> {
        let mut guards = Vec::new();
        for name in names {
            match self.settings.select_one(name) {
                Ok(guard) => guards.push(guard.clone()),
                Err(e) => {
                    let past = self
                        .ledger
                        .as_ref()
                        .ok()
                        .and_then(|l| l.guards().ok())
                        .unwrap_or_default();
                    let past = past.into_iter().find(|g| g.name == *name).ok_or(e)?;
                    // A unit that was made before its guard was renamed still calls it by the former name.
                    let mut present = self.settings.guards.iter();
                    let renamed = present.find(|g| g.data == past.data).cloned();
                    guards.push(renamed.unwrap_or(past));
                }
            }
        }
        if names.is_empty() {
            self.guards(names)
        } else {
            Ok(guards)
        }
    }

    /// Returns the way to ask the user manager; none where there is no `systemctl`.
    #[must_use]
    pub fn user_manager(&self) -> Option<UserManager> {
        UserManager::find(&self.settings.programs, &self.environment)
    }

    /// Returns what had to be done to open the ledger, or why it cannot be used, and which guards were renamed.
    #[must_use]
    pub fn ledger_notice(&self) -> Option<String> {
        let notice = match &self.ledger {
            Ok(ledger) => ledger.notice.clone(),
            Err(why) => Some(format!("the ledger cannot be used: {why}")),
        };
        let told: Vec<String> = notice.into_iter().chain(self.renamed.clone()).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Returns the ledger.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if it cannot be used.
    pub fn ledger(&mut self) -> Result<&mut Ledger> {
        self.ledger.as_mut().map_err(|why| Error::CouldNot {
            what: why.clone(),
            hint: None,
        })
    }

    /// Returns what runs, or last ran, on a guard's data.
    #[must_use]
    pub fn pairing(&self, guard: &Guard) -> Pairing {
        pairing::of(guard, &self.environment, self.ledger.as_ref().ok())
    }

    /// Returns the `btrfs` program, if there is one.
    #[must_use]
    pub fn btrfs(&self) -> Option<PathBuf> {
        self.settings
            .programs
            .locate(Program::Btrfs, &self.environment)
    }

    /// Returns everything that judging may remember about a guard.
    #[must_use]
    pub fn memory(&self, guard: &Guard) -> Memory {
        let from_ledger = match &self.ledger {
            Ok(ledger) => ledger.memory(guard, &self.vault).map_err(|e| told(&e)),
            Err(why) => Err(why.clone()),
        };
        let mut memory = from_ledger.unwrap_or_else(|why| Memory {
            proven: newest_good(&self.vault, &guard.name).ok().flatten(),
            unknown: Some(why),
            ..Memory::default()
        });
        memory.booted_at = boot::began_at();
        memory.boot = boot::id();
        memory.former = self.former(guard);
        if memory.proven.is_none() {
            memory.kept_unproven = self.kept_unproven(guard);
        }
        // An older one than the newest proven snapshot tells nothing that this does not.
        let since = memory.proven.as_ref().map(|s| s.taken_at);
        memory.rescued = rescue::known(&self.vault, guard, since);
        memory
    }

    fn former(&self, guard: &Guard) -> Option<Former> {
        let data = self.ledger.as_ref().ok()?.former_data(guard).ok()??;
        // The same folder by another name is no other one.
        let (former, now) = (data.canonicalize().ok(), guard.data.canonicalize().ok());
        (former.is_none() || former != now).then_some(Former {
            is_there: former.is_some(),
            data,
        })
    }

    /// Notes that a guard's data was found where the guard says that it is.
    pub fn note_found(&mut self, guard: &Guard) {
        let Ok(ledger) = &mut self.ledger else { return };
        let _ = ledger.forget_former(&guard.name);
    }

    /// Returns the stores of which a snapshot that nobody has proven holds tables, by our own reader.
    fn kept_unproven(&self, guard: &Guard) -> BTreeSet<String> {
        let folder = self.vault.guard_folder(&guard.name);
        let names = self.vault.names(&guard.name).unwrap_or_default();
        let holds_tables = |file: &Path| {
            let path = |name: &SnapshotName| folder.join(name.to_string()).join("data").join(file);
            let read = names.iter().rev().filter_map(|n| disk::read(&path(n)).ok());
            read.take(MOST_UNPROVEN)
                .any(|d| d.tables.is_some_and(|t| !t.is_empty()))
        };
        let databases = guard
            .stores
            .iter()
            .filter_map(|s| Some((s, scan::database_file(s)?)));
        databases
            .filter(|(_, file)| holds_tables(file))
            .map(|(s, _)| s.name.clone())
            .collect()
    }

    /// Adds healthy looks to what is known. That nothing can be remembered is no reason to fail.
    pub fn remember(&mut self, guard: &Guard, seen: impl IntoIterator<Item = (String, Seen)>) {
        let Ok(ledger) = &mut self.ledger else { return };
        let _ = ledger.note_guard(guard);
        for (store, seen) in seen {
            let _ = ledger.remember(&guard.name, &store, seen, Timestamp::now());
        }
    }

    /// Adds what a capture showed that was proven later.
    pub fn remember_capture(
        &mut self,
        guard: &Guard,
        taken_at: Timestamp,
        seen: impl IntoIterator<Item = (String, Seen)>,
    ) {
        let Ok(ledger) = &mut self.ledger else { return };
        let _ = ledger.note_guard(guard);
        for (store, seen) in seen {
            let _ = ledger.remember_capture(&guard.name, &store, seen, taken_at);
        }
    }

    /// Returns what a capture may know from before. Without a ledger it knows less, and copies more.
    pub fn known_to_captures(&self, guard: &Guard) -> take::Known {
        let verified = self.ledger.as_ref().ok().map(|l| l.verified(&guard.name));
        take::Known {
            verified: verified.and_then(Result::ok).unwrap_or_default(),
            seen: self.seen_again(guard),
            keep: self.settings.keep,
        }
    }

    /// Returns on which days a guard's snapshots were seen again.
    #[must_use]
    pub fn seen_again(&self, guard: &Guard) -> SeenAgain {
        let seen = self.ledger.as_ref().ok().map(|l| l.seen_again(&guard.name));
        seen.and_then(Result::ok).unwrap_or_default()
    }

    /// Forgets what was noted about snapshots that are gone.
    pub fn forget_snapshots(&mut self, guard: &Guard, gone: &[SnapshotName]) {
        let Ok(ledger) = &mut self.ledger else { return };
        let _ = ledger.forget_snapshots(&guard.name, gone);
    }

    /// Returns when the data was last found as a snapshot holds it, and which; none that is known of, else.
    #[must_use]
    pub fn last_seen(&self, guard: &Guard) -> Option<(SnapshotName, Timestamp)> {
        let ledger = self.ledger.as_ref().ok()?;
        ledger.last_seen(&guard.name).ok().flatten()
    }

    /// Notes what taking a snapshot found out. That nothing can be remembered is no reason to fail.
    pub fn note_taken(&mut self, guard: &Guard, taken: &take::Taken) {
        let Ok(ledger) = &mut self.ledger else { return };
        if taken.is_new {
            let _ = ledger.note_guard(guard);
        } else {
            let now = Timestamp::now();
            let _ = ledger.note_seen_again(&guard.name, &taken.snapshot.name, now);
        }
        let _ = ledger.note_verified(&guard.name, &taken.verified);
        let gone = [taken.dropped.clone(), taken.replaced.clone()].concat();
        let _ = ledger.forget_snapshots(&guard.name, &gone);
    }

    /// Keeps full looks against which nothing stood, so that they need not be repeated.
    pub fn let_stand(
        &mut self,
        guard: &Guard,
        looks: impl IntoIterator<Item = (String, Standing)>,
    ) {
        let Ok(ledger) = &mut self.ledger else { return };
        for (store, standing) in looks {
            let _ = ledger.note_standing(&guard.name, &store, &standing);
        }
    }

    /// Returns where private copies lie: in the vault, which should lie beside the data, else in the state folder.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        let state = Vault::at(&self.settings.state.join("scratch"));
        Scratch::new([self.vault.staging_folder(), state.staging_folder()])
    }

    /// Returns where what lies in one file is laid out: in the vault; where that is read-only, in the state folder.
    #[must_use]
    pub fn place_to_unpack(&self) -> Vault {
        use rustix::fs::{Access, access};
        if access(self.vault.root(), Access::WRITE_OK) == Err(rustix::io::Errno::ROFS) {
            return Vault::at(&self.settings.state.join("scratch"));
        }
        self.vault.clone()
    }

    /// Returns the snapshot that `GUARD/ID`, an unambiguous prefix of it, or `GUARD` names; for a guard alone its
    /// newest proven one that is not suspicious.
    ///
    /// # Errors
    /// [`Error::Usage`] if the guard or the snapshot does not exist, or several snapshots fit.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let (guard, id) = match name.split_once('/') {
            Some((guard, id)) => (guard, Some(id)),
            None => (name, None),
        };
        let guard = match self.settings.select_one(guard) {
            Ok(guard) => guard.name.clone(),
            Err(_) if self.vault.guards()?.iter().any(|g| g == guard) => guard.to_owned(),
            Err(e) => return Err(e),
        };
        let Some(id) = id else {
            return self.vault.newest_good(&guard)?.ok_or_else(|| Error::Usage {
                what: format!("`{guard}` has no proven snapshot"),
                hint: Some(format!("`aidb list {guard}` shows what there is")),
            });
        };
        // What has no readable manifest is no snapshot.
        let name = meant(self.vault.names(&guard)?, |n| n, id, &guard, "snapshot")?;
        let snapshot = self.vault.open(&guard, &name)?;
        snapshot.ok_or_else(|| Error::Usage {
            what: format!("`{guard}/{name}` has no manifest that can be read"),
            hint: Some(format!("`aidb list {guard}` shows what there is")),
        })
    }

    /// Returns the snapshot or archive that a name means: `GUARD/ID`, an unambiguous prefix of it, or `GUARD`. An id that
    /// ends in `.tar.xz` is an archive's; any other one is, where no snapshot of that name is left.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub fn kept(&self, name: &str) -> Result<Kept> {
        let archive_id = name.strip_suffix(archive::SUFFIX);
        let missing = match (archive_id, self.snapshot(name)) {
            (None, Ok(snapshot)) => return Ok(Kept::Snapshot(Box::new(snapshot))),
            (_, Err(e @ Error::Usage { .. })) => e,
            (_, Err(e)) => return Err(e),
            (Some(id), Ok(_)) => Error::Usage {
                what: format!("there is no archive `{id}{}`", archive::SUFFIX),
                hint: None,
            },
        };
        let Some((guard, id)) = archive_id.unwrap_or(name).split_once('/') else {
            return Err(missing);
        };
        let guard = match self.settings.select_one(guard) {
            Ok(guard) => guard.name.clone(),
            Err(_) => guard.to_owned(),
        };
        let archives = self.vault.archives(&guard)?;
        match meant(archives, |a| &a.name, id, &guard, "archive") {
            Ok(archive) => Ok(Kept::Archive(archive)),
            Err(e) if archive_id.is_some() && self.vault.guards()?.contains(&guard) => Err(e),
            Err(_) => Err(missing),
        }
    }

    /// Returns a guard that only the vault knows, as its newest snapshot or archive tells: to restore elsewhere.
    /// Nothing of what it says about this machine may be believed.
    ///
    /// # Errors
    /// [`Error::Usage`] if the vault does not know it.
    pub fn guard_in_vault(&self, name: &str) -> Result<Guard> {
        let unknown = || Error::Usage {
            what: format!(
                "no guard `{}`, in the settings or in the vault",
                name.escape_debug()
            ),
            hint: None,
        };
        if !self.vault.guards()?.iter().any(|g| g == name) {
            return Err(unknown());
        }
        if let Some(newest) = self.vault.each_snapshot(name)?.next_back() {
            return Ok(newest?.manifest()?.settings);
        }
        let archives = self.vault.archives(name)?;
        let newest = archives.last().ok_or_else(unknown)?;
        Ok(newest.manifest()?.0.settings)
    }

    /// Returns the snapshots that are named; without a name, all in the vault that are wanted.
    ///
    /// # Errors
    /// [`Error::Usage`] if a name fits no snapshot, or several.
    pub fn snapshots(
        &self,
        names: &[String],
        wanted: impl Fn(&Snapshot) -> bool,
    ) -> Result<Vec<Snapshot>> {
        if !names.is_empty() {
            return names.iter().map(|name| self.snapshot(name)).collect();
        }
        let mut found = Vec::new();
        for guard in self.vault.guards()? {
            for snapshot in self.vault.each_snapshot(&guard)? {
                found.extend(Some(snapshot?).filter(&wanted));
            }
        }
        Ok(found)
    }
}

/// Every tool is its own examiner: its `main` calls `child_main` first.
fn child_of_this_program() -> std::io::Result<Examiner> {
    Ok(Examiner::Child {
        program: std::env::current_exe()?,
        memory_limit_bytes: EXAMINER_MEMORY_BYTES,
    })
}
