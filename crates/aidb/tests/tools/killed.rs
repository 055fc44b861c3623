//! Runs that end in the middle, by Ctrl-C or by `kill -9`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use aidb_testkit::{Stack, tree_state};
use rustix::process::{Pid, Signal, kill_process};

use crate::{LARGE, with};

/// Starts a run, and ends it as soon as `is_time` says so of the time that it has run.
pub fn interrupted(stack: &Stack, line: &str, signal: Signal, is_time: impl Fn(Duration) -> bool) {
    let mut words = line.split(' ');
    let mut command = stack.command(words.next().unwrap());
    let mut child = command
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    while child.try_wait().unwrap().is_none() {
        if is_time(began.elapsed()) {
            let _ = kill_process(pid, signal);
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    child.wait().unwrap();
}

/// The moment is left to chance on purpose: every one must do.
pub fn after(moment: Duration) -> impl Fn(Duration) -> bool {
    move |has_run| has_run >= moment
}

fn staged(stack: &Stack) -> Vec<String> {
    let staging = std::fs::read_dir(stack.vault().join(".staging"));
    let names = staging
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".lock").collect()
}

#[test]
fn a_take_that_is_killed_leaves_only_whole_snapshots_and_the_next_one_clears_up() {
    let stack = with(LARGE);
    let _ = stack.run("aidb take --reason first").with(0);
    let mut left_behind = 0;
    for round in 0.. {
        // The first rounds end at a moment of chance; the others, of which one will do, when there is something half done.
        if round >= 10 && left_behind > 0 {
            break;
        }
        assert!(round < 100, "no run was killed in the middle");
        // What has not changed is kept already, and there would be no middle to be killed in.
        let database = std::fs::File::open(stack.data().join("webui.db")).unwrap();
        database.set_modified(std::time::SystemTime::now()).unwrap();
        let before = tree_state(&stack.data());
        let signal = if round % 2 == 0 {
            Signal::KILL
        } else {
            Signal::INT
        };
        let by_chance = after(Duration::from_millis(5 + round * 17));
        interrupted(
            &stack,
            "aidb-snapshot take --reason killed",
            signal,
            |has_run| {
                if round < 10 {
                    by_chance(has_run)
                } else {
                    !staged(&stack).is_empty()
                }
            },
        );
        left_behind += staged(&stack).len();
        assert_eq!(tree_state(&stack.data()), before);
        let listed = stack.run("aidb list --json").with(0).json();
        for snapshot in listed["snapshots"].as_array().unwrap() {
            let id = snapshot["id"].as_str().unwrap();
            let _ = stack.run(&format!("aidb verify {id}")).with(0);
        }
    }
    let _ = stack.run("aidb take --reason last").with(0);
    assert_eq!(staged(&stack), [""; 0]);
    let _ = stack.run("aidb prove").with(0);
    let _ = stack.run("aidb verify").with(0);
    let folders = std::fs::read_dir(stack.vault().join("open-webui"))
        .unwrap()
        .count();
    let listed = stack.run("aidb list --json").json()["snapshots"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(
        folders,
        listed + 1,
        "beside the lock every folder is a snapshot"
    );
}

#[test]
fn a_check_that_is_killed_leaves_no_copy_behind_for_long() {
    let stack = with(LARGE);
    let _ = stack.run("aidb check").with(0);
    let before = tree_state(&stack.data());
    for round in 0..5_u64 {
        interrupted(
            &stack,
            "aidb-precheck check",
            Signal::KILL,
            after(Duration::from_millis(10 + round * 20)),
        );
        assert_eq!(tree_state(&stack.data()), before);
    }
    let _ = stack.run("aidb check").with(0);
    assert_eq!(staged(&stack), [""; 0]);
}

/// Killed at any moment, the data folder is the old one or the new one, or the next start completes it.
#[test]
fn a_restore_that_is_killed_leaves_the_old_state_or_the_new_one() {
    let stack = with(LARGE);
    let database = stack.data().join("webui.db");
    let truth = aidb_testkit::content(&database);
    let _ = stack.run("aidb take").with(0);
    for round in 0..6_u64 {
        aidb_testkit::damage::empty_database(&database);
        interrupted(
            &stack,
            "aidb-snapshot restore open-webui",
            Signal::KILL,
            after(Duration::from_millis(10 + round * 20)),
        );
        let start = stack.run("aidb-precheck check --at start open-webui");
        match start.status {
            0 => assert!(aidb_testkit::content(&database) == truth, "{start}"),
            1 => assert_eq!(std::fs::metadata(&database).unwrap().len(), 0, "{start}"),
            _ => panic!("{start}"),
        }
    }
    let _ = stack.run("aidb verify").with(0);
    let _ = stack.run("aidb restore open-webui").with(0);
    assert!(aidb_testkit::content(&database) == truth);
}
