//! `--stop`: what runs on the data is stopped first and started again, however the restore ends. A small program answers
//! as `systemctl --user` would.

use std::os::unix::fs::PermissionsExt as _;

use aidb_testkit::{Stack, damage, tree_state};

use crate::kept;

/// What the user manager knows of the unit.
#[derive(Clone, Copy)]
enum Unit {
    Runs,
    IsStopped,
    CannotBeStopped,
}

/// Gives the guard a unit, and writes down what is asked for about it.
fn manage(stack: &Stack, unit: Unit) {
    let home = stack.home().display();
    let (is_active, stop) = match unit {
        Unit::Runs => (0, 0),
        Unit::IsStopped => (3, 0),
        Unit::CannotBeStopped => (0, 1),
    };
    let script = format!(
        "#!/bin/sh\ncase \"$2\" in is-active) exit {is_active};; is-failed) exit 1;; esac\n\
         case \"$2\" in start|stop) shift; echo \"$@\" >> {home}/jobs;; esac\n\
         [ \"$1\" = stop ] && exit {stop}; exit 0\n"
    );
    let systemctl = stack.home().join("systemctl");
    std::fs::write(&systemctl, script).unwrap();
    std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    let text = std::fs::read_to_string(stack.settings()).unwrap();
    let mut settings: serde_json::Value = serde_json::from_str(&text).unwrap();
    settings["programs"]["systemctl"] = systemctl.display().to_string().into();
    settings["guards"]["open-webui"]["unit"] = "podman-open-webui.service".into();
    std::fs::write(stack.settings(), settings.to_string()).unwrap();
}

fn jobs(stack: &Stack) -> String {
    std::fs::read_to_string(stack.home().join("jobs")).unwrap_or_default()
}

const STOPPED_AND_STARTED: &str =
    "stop podman-open-webui.service\nstart --no-block podman-open-webui.service\n";

#[test]
fn a_unit_that_runs_is_stopped_and_started_around_the_restore_and_its_undoing() {
    for line in [
        "aidb restore open-webui --stop",
        "aidb restore --all --stop --before 2999-01-01",
        "aidb undo open-webui --stop",
    ] {
        let stack = kept();
        if line.contains("undo") {
            let _ = stack.run("aidb restore open-webui").with(0);
        }
        manage(&stack, Unit::Runs);
        let done = stack.run(line).with(0);
        assert_eq!(jobs(&stack), STOPPED_AND_STARTED, "{done}");
    }
}

#[test]
fn one_that_does_not_run_is_left_as_it_is() {
    let stack = kept();
    manage(&stack, Unit::IsStopped);
    let _ = stack.run("aidb restore open-webui --stop").with(0);
    assert_eq!(jobs(&stack), "");
    // Nor is anything stopped for files that go elsewhere, or for a plan.
    manage(&stack, Unit::Runs);
    let _ = stack.run("aidb restore open-webui --stop --to new").with(0);
    let _ = stack
        .run("aidb restore open-webui --stop --dry-run")
        .with(0);
    assert_eq!(jobs(&stack), "");
}

#[test]
fn it_is_started_again_when_the_restore_fails_and_nothing_is_restored_when_it_cannot_be_stopped() {
    let stack = kept();
    manage(&stack, Unit::CannotBeStopped);
    let before = tree_state(&stack.data());
    let told = stack.run("aidb restore open-webui --stop").with(3);
    assert!(told.stderr.contains("could not be stopped"), "{told}");
    assert_eq!(jobs(&stack), "stop podman-open-webui.service\n");
    std::fs::remove_file(stack.home().join("jobs")).unwrap();

    manage(&stack, Unit::Runs);
    let snapshots = std::fs::read_dir(stack.vault().join("open-webui")).unwrap();
    let mut folders = snapshots.map(|e| e.unwrap().path()).filter(|p| p.is_dir());
    damage::flip_bit(&folders.next().unwrap().join("data/webui.db"));
    let told = stack.run("aidb restore open-webui --stop").with(3);
    assert!(told.stderr.contains("differ from the manifest"), "{told}");
    assert_eq!(jobs(&stack), STOPPED_AND_STARTED);
    assert_eq!(tree_state(&stack.data()), before);
}
