//! Containers that are frozen for a moment: one instant across guards, and a database that is never unlocked.
//!
//! The container is a control group with one process in it, and Podman a script that tells its path.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aidb_testkit::{Stack, left_out};
use serde_json::json;

use crate::AIDB;

const ROLE: &str = "AIDB_TEST_TOGETHER";

/// A control group of our own with a process of this test program in it.
struct Container {
    group: PathBuf,
    process: Child,
}

impl Container {
    fn start(role: &str, folder: &Path) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let root = mounts
            .lines()
            .map(|l| l.split(' ').collect::<Vec<_>>())
            .find(|w| w[2] == "cgroup2")
            .map(|w| PathBuf::from(w[1]));
        let name = folder.file_name().unwrap();
        let group = root.map(|r| r.join(name));
        let Some(group) = group.filter(|g| std::fs::create_dir(g).is_ok()) else {
            left_out(
                "freezing a container",
                "no control group of version 2 can be made here: it needs root",
            );
            return None;
        };
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "together::role", "--nocapture"])
            .env(ROLE, role)
            .env("AIDB_TEST_FOLDER", folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let container = Self { group, process };
        let pid = container.process.id().to_string();
        std::fs::write(container.group.join("cgroup.procs"), pid).unwrap();
        while !folder.join("ready").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Some(container)
    }

    fn is_frozen(&self) -> bool {
        let events = std::fs::read_to_string(self.group.join("cgroup.events")).unwrap();
        events.contains("frozen 1")
    }

    /// Writes a Podman that knows this container by every name.
    fn podman(&self, stack: &Stack) -> PathBuf {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts
            .lines()
            .map(|l| l.split(' ').collect::<Vec<_>>())
            .find(|w| w[2] == "cgroup2")
            .map(|w| w[1].to_owned())
            .unwrap();
        let below = Path::new("/").join(self.group.strip_prefix(root).unwrap());
        let told = json!([{ "Id": "0".repeat(64), "Name": "NAME", "Image": "1".repeat(64),
            "State": { "Running": true, "CgroupPath": below } }]);
        let script = stack.home().join("podman");
        let text = told.to_string();
        std::fs::write(
            &script,
            format!("#!/bin/sh\nfor name; do :; done\necho '{text}' | sed \"s/NAME/$name/\"\n"),
        )
        .unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        script
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = std::fs::write(self.group.join("cgroup.freeze"), "0");
        let _ = self.process.kill();
        let _ = self.process.wait();
        for _ in 0..100 {
            if std::fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What the process in the container does; as an ordinary test it has nothing to do.
#[test]
fn role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = PathBuf::from(std::env::var_os("AIDB_TEST_FOLDER").unwrap());
    match role.as_str() {
        "counts" => {
            // First the one, then the other: at every instant they are equal, or the first is ahead by one.
            for n in 0_u64.. {
                for side in ["first", "second"] {
                    let path = folder.join(side);
                    std::fs::write(path.join("new"), format!("{n:012}")).unwrap();
                    std::fs::rename(path.join("new"), path.join("count")).unwrap();
                }
                if n == 0 {
                    std::fs::write(folder.join("ready"), "").unwrap();
                }
            }
        }
        "locks" => {
            let db = rusqlite::Connection::open(folder.join("first/app.db")).unwrap();
            db.execute_batch(
                "pragma locking_mode=exclusive; pragma journal_mode=delete; create table t(x); insert into t values (7)",
            )
            .unwrap();
            std::fs::write(folder.join("ready"), "").unwrap();
            std::thread::sleep(Duration::from_secs(600));
        }
        other => panic!("no role {other}"),
    }
}

fn stack(role: &str) -> Option<(Stack, Container)> {
    let stack = Stack::new(AIDB);
    let folder = stack.home().to_owned();
    for side in ["first", "second"] {
        std::fs::create_dir(folder.join(side)).unwrap();
    }
    let container = Container::start(role, &folder)?;
    let podman = container.podman(&stack);
    let settings = json!({ "schema": 1, "vault": stack.vault(), "programs": { "podman": podman }, "guards": {
        "first": { "data": folder.join("first") }, "second": { "data": folder.join("second") } } });
    std::fs::write(stack.settings(), settings.to_string()).unwrap();
    Some((stack, container))
}

fn count(stack: &Stack, snapshot: &serde_json::Value) -> u64 {
    let id = snapshot["id"].as_str().unwrap();
    let kept = stack.vault().join(id).join("data/count");
    std::fs::read_to_string(kept).unwrap().parse().unwrap()
}

#[test]
fn guards_that_are_taken_together_are_of_one_instant() {
    let Some((stack, container)) = stack("counts") else {
        return;
    };
    for _ in 0..5 {
        let taken = stack
            .run("aidb-snapshot take --together --json")
            .with(0)
            .json();
        let snapshots = taken["snapshots"].as_array().unwrap();
        let (first, second) = (count(&stack, &snapshots[0]), count(&stack, &snapshots[1]));
        assert!(
            first == second || first == second + 1,
            "{first} and {second}"
        );
        assert!(snapshots[0]["frozen_ms"].is_u64());
        assert!(!container.is_frozen());
    }
    let _ = stack.run("aidb verify").with(0);
}

#[test]
fn a_database_that_is_never_unlocked_is_had_by_freezing_its_container() {
    let Some((stack, container)) = stack("locks") else {
        return;
    };
    let taken = stack
        .run("aidb-snapshot take first --deadline 50ms --json")
        .with(0)
        .json();
    let id = taken["snapshots"][0]["id"].as_str().unwrap();
    let kept = stack.vault().join(id).join("data/app.db");
    let db =
        rusqlite::Connection::open_with_flags(kept, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap();
    let seven: i64 = db.query_row("select x from t", [], |r| r.get(0)).unwrap();
    assert_eq!(seven, 7);
    assert!(!container.is_frozen());
}

/// The moment is left to chance on purpose: whenever it is killed, the container goes on.
#[test]
fn a_take_that_is_killed_leaves_no_container_frozen() {
    let Some((stack, container)) = stack("counts") else {
        return;
    };
    for round in 0..12_u64 {
        let mut child = stack
            .command("aidb-snapshot")
            .args(["take", "--together", "--unproven"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The first rounds wait for the freeze itself, the others for chance.
        let began = Instant::now();
        while round < 6 && !container.is_frozen() && began.elapsed() < Duration::from_secs(5) {
            std::hint::spin_loop();
        }
        if round >= 6 {
            std::thread::sleep(Duration::from_millis(round * 9));
        }
        let _ = child.kill();
        child.wait().unwrap();
        let began = Instant::now();
        while container.is_frozen() {
            assert!(began.elapsed() < Duration::from_secs(9), "it stays frozen");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let _ = stack.run("aidb-snapshot take --together").with(0);
}
