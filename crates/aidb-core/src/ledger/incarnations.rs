//! Incarnations: each run of a container, from what the hooks announced and what Podman showed.
//!
//! A row's number is its place in the order of things; times are for people, and may go backwards with the clock.

use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::Ledger;
use super::endings::Left;
use crate::error::Result;
use crate::incarnation::{Ending, Incarnation};

pub(super) const TABLE: &str = "
    create table if not exists incarnation (
        id integer primary key, container text not null, invocation text, boot text not null, announced_at text,
        container_id text, image text, image_digest text, layer text, started_at text, seen_at text not null,
        ended_at text, ending text, exit_status integer
    ) strict;
    create index if not exists incarnation_by_container on incarnation (container, id);
";

/// How many runs of one container are kept.
const KEPT: i64 = 1000;

/// The run of systemd's unit in which a hook was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// `INVOCATION_ID`: the same for all hooks of one run of a unit.
    pub invocation: Option<String>,
    /// The system's boot.
    pub boot: String,
}

/// A container as Podman shows it while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Podman's id.
    pub id: String,
    /// The image as the container names it.
    pub image: Option<String>,
    /// The image's digest.
    pub image_digest: Option<String>,
    /// The folder of its own layer on the host.
    pub layer: Option<PathBuf>,
    /// When it started.
    pub started_at: Option<Timestamp>,
}

/// What it means that a container was seen running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// The first run that is known of it at all.
    First,
    /// The same run as before.
    Same,
    /// A new run, which a hook announced.
    Announced,
    /// A new run that no hook announced, in place of this one.
    Unannounced(Box<Incarnation>),
}

impl Ledger {
    /// Notes that a container is about to start: its hook runs. Several guards of one container are one start.
    pub fn announce_start(&mut self, container: &str, run: &Run, at: Timestamp) -> Result<()> {
        let last = self.latest_incarnation(container)?;
        if let Some(last) = &last {
            let same_run = run.invocation.is_some() && last.invocation == run.invocation;
            if same_run && last.ending.is_none() {
                return Ok(());
            }
            if last.ending.is_none() {
                let ending = if last.boot == run.boot {
                    Ending::Unseen
                } else {
                    Ending::PowerCut
                };
                self.close(last.id, ending, None, last.seen_at)?;
            }
        }
        self.write(
            "insert into incarnation (container, invocation, boot, announced_at, seen_at) values (?1, ?2, ?3, ?4, ?4)",
            params![container, run.invocation, run.boot, at.to_string()],
        )?;
        self.forget_oldest(container)
    }

    /// Notes that a container runs, as Podman shows it.
    pub fn note_running(
        &mut self,
        container: &str,
        running: &Running,
        boot: &str,
        at: Timestamp,
    ) -> Result<Sighting> {
        let last = self.latest_incarnation(container)?;
        let (id, sighting) = match last {
            None => (None, Sighting::First),
            Some(last) if last.container_id.as_deref() == Some(&running.id) => {
                (Some(last.id), Sighting::Same)
            }
            Some(last) if last.container_id.is_none() && last.ending.is_none() => {
                (Some(last.id), Sighting::Announced)
            }
            Some(last) => {
                if last.ending.is_none() {
                    let ending = if last.boot == boot {
                        Ending::Unseen
                    } else {
                        Ending::PowerCut
                    };
                    self.close(last.id, ending, None, last.seen_at)?;
                }
                (None, Sighting::Unannounced(Box::new(last)))
            }
        };
        let layer = running.layer.as_ref().and_then(|l| l.to_str());
        let started = running.started_at.map(|s| s.to_string());
        let id = if let Some(id) = id {
            id
        } else {
            self.write(
                "insert into incarnation (container, boot, seen_at) values (?, ?, ?)",
                params![container, boot, at.to_string()],
            )?;
            self.db.last_insert_rowid()
        };
        // A run that goes on after its end was noted (a stop that was taken back) is open again.
        self.write(
            "update incarnation set container_id = ?2, image = ?3, image_digest = ?4, layer = ?5, started_at = ?6,
             seen_at = ?7, ended_at = null, ending = null, exit_status = null where id = ?1",
            params![
                id,
                running.id,
                running.image,
                running.image_digest,
                layer,
                started,
                at.to_string()
            ],
        )?;
        self.forget_oldest(container)?;
        Ok(sighting)
    }

    /// Notes which container the announced run is of, where nobody has seen it run yet: one that is stopped soon after its
    /// start is gone when the state at rest is kept, and what it was would not be known any more.
    pub fn note_container(&mut self, container: &str, running: &Running) -> Result<()> {
        let layer = running.layer.as_ref().and_then(|l| l.to_str());
        self.write(
            "update incarnation set container_id = ?2, image = ?3, image_digest = ?4, layer = ?5
             where id = (select max(id) from incarnation where container = ?1) and container_id is null and ending is null",
            params![container, running.id, running.image, running.image_digest, layer],
        )?;
        Ok(())
    }

    /// Notes that a container's run ends, as its stop hook knows. A later word about the same run replaces an earlier one:
    /// the hook runs once while the application still runs, and once at rest.
    pub fn note_end(
        &mut self,
        container: &str,
        run: &Run,
        left: &Left,
        at: Timestamp,
    ) -> Result<()> {
        let Some(last) = self.latest_incarnation(container)? else {
            return Ok(());
        };
        let is_another =
            matches!((&last.invocation, &run.invocation), (Some(a), Some(b)) if a != b);
        // What is closed already, and not by this run's own hook, was another run.
        if is_another && last.ending.is_some() {
            return Ok(());
        }
        self.close(last.id, left.ending(last.ending), left.status(), at)
    }

    fn close(
        &mut self,
        id: i64,
        ending: Ending,
        exit_status: Option<i32>,
        at: Timestamp,
    ) -> Result<()> {
        self.write(
            "update incarnation set ended_at = ?2, ending = ?3, exit_status = ?4 where id = ?1",
            params![id, at.to_string(), ending.as_str(), exit_status],
        )?;
        Ok(())
    }

    /// Returns the runs of a container that are known, oldest first.
    pub fn incarnations(&self, container: &str) -> Result<Vec<Incarnation>> {
        self.rows(
            "select * from incarnation where container = ? order by id",
            [container],
            incarnation,
        )
    }

    /// Returns the newest run of a container that is known.
    pub fn latest_incarnation(&self, container: &str) -> Result<Option<Incarnation>> {
        let latest = self.rows(
            "select * from incarnation where container = ? order by id desc limit 1",
            [container],
            incarnation,
        )?;
        Ok(latest.into_iter().next())
    }

    /// Returns whether a hook ever announced a start of the container: without hooks, silence tells nothing.
    pub fn has_hooks(&self, container: &str) -> Result<bool> {
        let found: Vec<i64> = self.rows(
            "select 1 from incarnation where container = ? and announced_at is not null limit 1",
            [container],
            |r| r.get(0),
        )?;
        Ok(!found.is_empty())
    }

    fn forget_oldest(&mut self, container: &str) -> Result<()> {
        self.write(
            "delete from incarnation where container = ?1 and id <=
             (select id from incarnation where container = ?1 order by id desc limit 1 offset ?2)",
            params![container, KEPT],
        )?;
        Ok(())
    }
}

fn incarnation(row: &Row) -> rusqlite::Result<Incarnation> {
    let time = |column: &str| {
        let text: Option<String> = row.get(column)?;
        Ok::<_, rusqlite::Error>(text.and_then(|t| t.parse::<Timestamp>().ok()))
    };
    let ending: Option<String> = row.get("ending")?;
    let layer: Option<String> = row.get("layer")?;
    Ok(Incarnation {
        id: row.get("id")?,
        container: row.get("container")?,
        invocation: row.get("invocation")?,
        boot: row.get("boot")?,
        announced_at: time("announced_at")?,
        container_id: row.get("container_id")?,
        image: row.get("image")?,
        image_digest: row.get("image_digest")?,
        layer: layer.map(PathBuf::from),
        started_at: time("started_at")?,
        seen_at: time("seen_at")?.unwrap_or(Timestamp::UNIX_EPOCH),
        ended_at: time("ended_at")?,
        // A word that a newer program wrote still says that it ended.
        ending: ending.map(|word| Ending::parse(&word).unwrap_or(Ending::Unseen)),
        exit_status: row.get("exit_status")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::endings::tests::left;
    use super::*;
    use crate::vault::Vault;

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(&folder.path().join("vault"));
        let ledger = Ledger::open(folder.path(), &vault).unwrap();
        (folder, ledger)
    }

    fn run(invocation: &str, boot: &str) -> Run {
        Run {
            invocation: Some(invocation.into()),
            boot: boot.into(),
        }
    }

    fn running(id: &str) -> Running {
        Running {
            id: id.into(),
            image: Some("localhost/web:1".into()),
            image_digest: None,
            layer: Some("/layer".into()),
            started_at: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_orderly_restart_is_two_runs_and_the_second_was_announced() {
        let (_folder, mut ledger) = ledger();
        ledger.announce_start("web", &run("1", "b"), at(1)).unwrap();
        ledger.announce_start("web", &run("1", "b"), at(1)).unwrap();
        let seen = ledger.note_running("web", &running("aa"), "b", at(2));
        assert_eq!(seen.unwrap(), Sighting::Announced);
        // While the application still runs, then at rest.
        for left in [left("success", None), left("success", Some("143"))] {
            ledger
                .note_end("web", &run("1", "b"), &left, at(3))
                .unwrap();
        }
        ledger.announce_start("web", &run("2", "b"), at(4)).unwrap();
        let seen = ledger.note_running("web", &running("bb"), "b", at(5));
        assert_eq!(seen.unwrap(), Sighting::Announced);
        let seen = ledger.note_running("web", &running("bb"), "b", at(9));
        assert_eq!(seen.unwrap(), Sighting::Same);
        let runs = ledger.incarnations("web").unwrap();
        assert_eq!(runs.len(), 2);
        assert_eq!(
            (runs[0].ending, runs[0].exit_status, runs[0].ended_at),
            (Some(Ending::Stopped), Some(143), Some(at(3)))
        );
        assert_eq!((runs[1].ending, runs[1].seen_at), (None, at(9)));
        assert!(ledger.has_hooks("web").unwrap());
    }

    #[test]
    fn a_run_that_ends_before_it_was_seen_is_known_by_its_container() {
        let (_folder, mut ledger) = ledger();
        ledger.announce_start("web", &run("1", "b"), at(1)).unwrap();
        ledger.note_container("web", &running("aa")).unwrap();
        ledger.note_container("web", &running("bb")).unwrap();
        ledger
            .note_end("web", &run("1", "b"), &Left::default(), at(2))
            .unwrap();
        // It has ended: whatever has its name now is another one.
        ledger.note_container("web", &running("cc")).unwrap();
        let last = ledger.latest_incarnation("web").unwrap().unwrap();
        assert_eq!(last.container_id.as_deref(), Some("aa"));
        assert_eq!(last.image_digest, running("aa").image_digest);
        assert_eq!(last.ending, Some(Ending::Stopped));
    }

    #[test]
    fn a_container_that_was_made_anew_by_hand_was_not_announced() {
        let (_folder, mut ledger) = ledger();
        let seen = ledger.note_running("web", &running("aa"), "b", at(2));
        assert_eq!(seen.unwrap(), Sighting::First);
        let seen = ledger.note_running("web", &running("bb"), "b", at(5));
        let Sighting::Unannounced(before) = seen.unwrap() else {
            panic!("not told")
        };
        assert_eq!(before.container_id.as_deref(), Some("aa"));
        let runs = ledger.incarnations("web").unwrap();
        assert_eq!(runs[0].ending, Some(Ending::Unseen));
        assert!(!ledger.has_hooks("web").unwrap());
    }

    #[test]
    fn a_run_that_no_hook_ended_before_another_boot_ended_with_the_power() {
        let (_folder, mut ledger) = ledger();
        ledger.announce_start("web", &run("1", "b"), at(1)).unwrap();
        ledger
            .note_running("web", &running("aa"), "b", at(7))
            .unwrap();
        ledger.announce_start("web", &run("2", "c"), at(3)).unwrap();
        let runs = ledger.incarnations("web").unwrap();
        assert_eq!(
            (runs[0].ending, runs[0].ended_at),
            (Some(Ending::PowerCut), Some(at(7)))
        );
        assert_eq!(runs[0].layer.as_deref(), Some("/layer".as_ref()));
    }

    #[test]
    fn a_late_word_about_an_older_run_changes_nothing_of_the_newer_one() {
        let (_folder, mut ledger) = ledger();
        ledger.announce_start("web", &run("1", "b"), at(1)).unwrap();
        ledger
            .note_end("web", &run("1", "b"), &left("success", Some("0")), at(2))
            .unwrap();
        ledger
            .note_end("web", &run("0", "b"), &left("exit-code", Some("1")), at(3))
            .unwrap();
        let runs = ledger.incarnations("web").unwrap();
        assert_eq!(runs[0].ending, Some(Ending::Stopped));
    }

    #[test]
    fn only_so_many_runs_are_kept() {
        let (_folder, mut ledger) = ledger();
        let insert = "insert into incarnation (container, boot, seen_at) values ('web', 'b', ?)";
        let fill = |t: &rusqlite::Transaction| {
            for n in 0..KEPT {
                t.execute(insert, [at(n).to_string()])?;
            }
            Ok(())
        };
        ledger.transaction(fill).unwrap();
        ledger.announce_start("web", &run("1", "b"), at(1)).unwrap();
        let runs = ledger.incarnations("web").unwrap();
        assert_eq!(i64::try_from(runs.len()).unwrap(), KEPT);
        assert_eq!(runs[0].seen_at, at(1));
    }
}
