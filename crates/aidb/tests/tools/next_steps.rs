//! Every printed next step works as printed, in a shell that knows nothing, from where it was printed.

use std::path::Path;
use std::process::Command;

use aidb_testkit::{Ran, Stack, damage};

use crate::{LARGE, kept, with};

/// Runs a printed command by /bin/sh, with no PATH to speak of, from a folder.
fn typed(stack: &Stack, printed: &str, from: &Path) -> Ran {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", &stack.printed(printed)])
        .env_clear()
        .env("HOME", stack.home())
        .env("PATH", "/nonexistent")
        .current_dir(from);
    stack.ran(&mut shell)
}

fn only(commands: &[String]) -> &str {
    assert_eq!(commands.len(), 1, "{commands:?}");
    &commands[0]
}

#[test]
fn the_way_back_the_way_past_and_the_undo_work_as_printed() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    let held = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);

    let _ = typed(
        &stack,
        only(&held.commands("or let it pass once")),
        stack.home(),
    )
    .with(0);
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(0);
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(1);

    let restored = typed(
        &stack,
        only(&held.commands("bring it back")),
        Path::new("/"),
    )
    .with(0);
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(0);
    let _ = typed(&stack, only(&restored.commands("undo")), Path::new("/")).with(0);
    let _ = stack.run("aidb check").with(1);
}

#[test]
fn the_steps_of_a_json_document_work_as_printed() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    let held = stack.run("aidb check --json").with(1).json();
    let steps = held["guards"][0]["findings"][0]["next"].as_array().unwrap();
    assert!(!steps.is_empty());
    for step in steps {
        let _ = typed(&stack, step.as_str().unwrap(), Path::new("/")).with(0);
    }
    let _ = stack.run("aidb check").with(0);
}

/// The settings are named by a relative path; the printed step holds wherever it is typed.
#[test]
fn steps_name_the_settings_that_were_named() {
    let stack = kept();
    let other = stack.home().join("other folder");
    std::fs::create_dir(&other).unwrap();
    std::fs::rename(stack.settings(), other.join("it's mine.json")).unwrap();
    let run = |words: &[&str]| {
        let mut command = stack.command("aidb");
        command
            .args(words)
            .args(["--config", "it's mine.json"])
            .current_dir(&other);
        stack.ran(&mut command)
    };
    let _ = run(&["check"]).with(0);
    damage::empty_database(&stack.data().join("webui.db"));
    let held = run(&["check"]).with(1);
    let restored = typed(
        &stack,
        only(&held.commands("bring it back")),
        Path::new("/"),
    )
    .with(0);
    let _ = run(&["check"]).with(0);
    let _ = typed(&stack, only(&restored.commands("undo")), Path::new("/")).with(0);
    let _ = typed(
        &stack,
        only(&held.commands("or let it pass once")),
        Path::new("/"),
    )
    .with(0);
    let _ = run(&["check"]).with(1);
}

#[test]
fn what_was_right_so_is_accepted_as_printed() {
    let stack = with(LARGE);
    let _ = stack.run("aidb take").with(0);
    let db = rusqlite::Connection::open(stack.data().join("webui.db")).unwrap();
    db.execute_batch("delete from chat").unwrap();
    drop(db);
    let warned = stack.run("aidb check").with(0);
    let _ = typed(
        &stack,
        only(&warned.commands("or it is right so")),
        Path::new("/"),
    )
    .with(0);
    let check = stack.run("aidb check").with(0);
    assert!(check.stdout.starts_with("ok  "), "{check}");
}

#[test]
fn status_prints_how_to_take_the_first_snapshot() {
    let stack = with("openwebui-0.6.38-small");
    let status = stack.run("aidb status");
    let _ = typed(&stack, only(&status.commands("take one")), Path::new("/")).with(0);
    let _ = stack.run("aidb verify").with(0);
    assert!(stack.run("aidb status").commands("take one").is_empty());
}

/// Where PATH leads to this very program its bare name is enough, and elsewhere it is not.
#[test]
fn the_bare_name_is_printed_only_where_it_works() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    let mut command = stack.command("aidb");
    let tools = Path::new(crate::AIDB).parent().unwrap();
    let ran = stack.ran(command.arg("check").env("PATH", tools));
    assert_eq!(ran.commands("bring it back"), ["aidb restore open-webui"]);
    let other = stack.home().join("bin");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("aidb"), "#!/bin/sh\nexit 9\n").unwrap();
    let path = format!("{}:{}", other.display(), tools.display());
    let ran = stack.ran(stack.command("aidb").arg("check").env("PATH", path));
    assert_eq!(
        ran.commands("bring it back"),
        ["BIN/aidb restore open-webui"]
    );
}
