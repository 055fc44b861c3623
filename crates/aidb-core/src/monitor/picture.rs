//! The whole picture: what every guard shows now, and what is remembered of it. What `status`, the metrics and the page
//! are made of.

use jiff::Timestamp;

use super::watch::{Watch, Watched};
use crate::error::{Result, told};
use crate::judge::Verdict;
use crate::judge::snapshots::Kept;
use crate::ledger::{Alert, Event, Ledger};
use crate::settings::NotGuarded;
use crate::space::{Space, space};
use crate::stack::Stack;
use crate::vault::Snapshot;

/// How many of a guard's newest snapshots are in the picture.
const MOST_SNAPSHOTS: usize = 400;

/// What there is to show.
#[derive(Debug, Clone)]
pub struct Picture {
    /// When it was made.
    pub now: Timestamp,
    /// The guards of the settings, in their order.
    pub guards: Vec<GuardPicture>,
    /// Containers with data that nobody guards.
    pub not_guarded: Vec<NotGuarded>,
    /// Guards that left the settings, and how many snapshots of them are kept; or why that cannot be found out.
    pub no_longer_guarded: Result<Vec<(String, u64)>, String>,
    /// The room in the vault.
    pub space: Option<Space>,
    /// What had to be done to open the ledger, or why it cannot be used.
    pub notice: Option<String>,
}

/// One guard in the picture.
#[derive(Debug, Clone)]
pub struct GuardPicture {
    /// What the look showed.
    pub watched: Watched,
    /// Its newest snapshots, oldest first.
    pub snapshots: Vec<Mark>,
    /// What was done to it, oldest first.
    pub events: Vec<Event>,
    /// What was found over time, oldest first.
    pub alerts: Vec<Alert>,
}

/// A snapshot as a mark on a line of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// `GUARD/NAME`.
    pub id: String,
    /// When it was taken.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// What it is worth.
    pub worth: Worth,
    /// Sizes of its files added up.
    pub size_bytes: u64,
}

/// What a snapshot is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Worth {
    /// Opened, checked, and as it should be.
    Proven,
    /// Whole, but of a state that had lost something.
    Suspicious,
    /// It did not meet its contract, or has rotted since.
    Refused,
    /// Nobody has opened it yet.
    Unproven,
}

impl Worth {
    /// Every worth, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::Proven,
        Self::Suspicious,
        Self::Refused,
        Self::Unproven,
    ];

    /// Returns the worth in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Suspicious => "suspicious",
            Self::Refused => "refused",
            Self::Unproven => "unproven",
        }
    }
}

impl From<&Snapshot> for Mark {
    fn from(snapshot: &Snapshot) -> Self {
        let suspicious = snapshot.suspicious().is_some();
        Self {
            id: snapshot.id(),
            at: snapshot.summary.taken_at,
            reason: snapshot.summary.reason.clone(),
            worth: match (&snapshot.proof, &snapshot.refused) {
                (Some(_), _) if suspicious => Worth::Suspicious,
                (Some(_), _) => Worth::Proven,
                (None, Some(_)) => Worth::Refused,
                (None, None) => Worth::Unproven,
            },
            size_bytes: snapshot.summary.size_bytes,
        }
    }
}

impl Picture {
    /// Looks at everything and gathers what is remembered.
    ///
    /// # Errors
    /// If the settings cannot be used.
    pub fn of(stack: &mut Stack) -> Result<Self> {
        let guards = stack.guards(&[])?;
        let mut watch = Watch::begin(stack, &guards);
        let guards = guards
            .iter()
            .map(|guard| {
                let watched = watch.look(stack, guard);
                GuardPicture::new(stack, watched)
            })
            .collect();
        Ok(Self {
            now: watch.now(),
            guards,
            not_guarded: stack.settings.not_guarded.clone(),
            no_longer_guarded: no_longer_guarded(stack).map_err(|e| told(&e)),
            space: space(stack.vault.root()),
            notice: stack.ledger_notice(),
        })
    }

    /// Returns the worst verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        Verdict::over(self.guards.iter().map(|g| g.watched.report.verdict))
    }
}

impl GuardPicture {
    /// Adds what is remembered to what the look showed.
    pub fn new(stack: &mut Stack, watched: Watched) -> Self {
        let name = watched.guard.name.clone();
        // What cannot be read here was said by the look.
        let snapshots = stack.vault.each_snapshot(&name).map(|each| {
            let newest = each.rev().flatten().take(MOST_SNAPSHOTS);
            let mut marks: Vec<Mark> = newest.map(|s| Mark::from(&s)).collect();
            marks.reverse();
            marks
        });
        let remembered = |read: fn(&Ledger, &str) -> Result<Vec<Event>>, stack: &mut Stack| {
            stack
                .ledger()
                .and_then(|l| read(l, &name))
                .unwrap_or_default()
        };
        let events = remembered(Ledger::events, stack);
        let alerts = stack
            .ledger()
            .and_then(|l| l.alerts(&name))
            .unwrap_or_default();
        Self {
            watched,
            snapshots: snapshots.unwrap_or_default(),
            events,
            alerts,
        }
    }

    /// Returns what was last done to it of this kind.
    #[must_use]
    pub fn last_event(&self, kind: &str) -> Option<&Event> {
        self.events.iter().rev().find(|e| e.kind == kind)
    }

    /// Returns what is kept of it.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.watched.kept
    }
}

/// Returns the guards that left the settings and of which snapshots are kept.
fn no_longer_guarded(stack: &Stack) -> Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for name in stack.vault.guards()? {
        if stack.settings.guards.iter().any(|g| g.name == name) {
            continue;
        }
        let kept = stack.vault.names(&name)?.len() as u64;
        if kept > 0 {
            found.push((name, kept));
        }
    }
    Ok(found)
}
