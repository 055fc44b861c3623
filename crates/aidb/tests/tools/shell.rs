//! What scripts and shells rely on: help, statuses, closed pipes.

use std::process::Stdio;

use aidb_testkit::{Stack, damage};

use crate::{AIDB, kept};

#[test]
fn help_names_the_verbs() {
    insta::assert_snapshot!(Stack::new(AIDB).run("aidb --help"), @"
    Protect the data of your containers

    Usage: aidb VERB [OPTIONS] [ARGUMENTS]

      status                       one line a guard: fit? how large? proven when?
      report --to FILE.html        a page: verdicts, next steps, curves, a time line
      metrics [--to FILE]          numbers in Prometheus' text format
      check [GUARD...]             is the data fit?
      take [GUARD...]              keep a snapshot, and prove it
      list [GUARD...]              what is kept
      diff SNAPSHOT [SNAPSHOT]     what changed between two snapshots, or since one
      restore GUARD                bring back the newest proven snapshot, undoably
      undo GUARD                   swap back what the last restore put aside
      verify [SNAPSHOT...]         does what was kept still equal its manifest?
      init-verify [GUARD...]       did it come up with its data?
      archive [GUARD...]           write the newest proven snapshot as one file
      export SNAPSHOT FILE         write a snapshot to a file, for another machine
      import FILE                  bring in a file that `export` or `archive` wrote
      rescue [GUARD...]            keep what containers wrote outside their volumes
      migrate GUARD STORE --from   apply numbered SQL files, a proven snapshot first
      allow GUARD FINDING          let a start pass a finding, once
      accept GUARD                 the present state is right: make it the baseline
      prune                        remove the snapshots that no rule keeps
      settings                     what is guarded, and what is not

    `aidb VERB --help` tells more. A GUARD may be any unambiguous part of its name.
    --- status 0
    ");
}

#[test]
fn every_tool_and_every_verb_has_a_help_that_ends_well() {
    let stack = Stack::new(AIDB);
    for line in [
        "aidb help",
        "aidb migrate",
        "aidb --version",
        "aidb-precheck",
        "aidb-snapshot",
        "aidb-init-verify",
        "aidb-monitor",
        "aidb check",
        "aidb allow",
        "aidb accept",
        "aidb settings",
        "aidb take",
        "aidb prove",
        "aidb list",
        "aidb show",
        "aidb verify",
        "aidb restore",
        "aidb undo",
        "aidb prune",
        "aidb status",
        "aidb init-verify",
    ] {
        let line = if line.starts_with("aidb help") || line.contains("--") {
            line.to_owned()
        } else {
            format!("{line} --help")
        };
        let help = stack.run(&line).with(0);
        assert!(
            !help.stdout.is_empty() && help.stderr.is_empty(),
            "{line}: {help}"
        );
        let first = help.stdout.lines().next().unwrap();
        assert!(!first.ends_with('.'), "{line}: {first}");
    }
}

#[test]
fn options_that_all_tools_share_may_stand_before_the_verb() {
    let stack = kept();
    let config = stack.settings().display().to_string();
    let plain = stack.run("aidb check").with(0);
    assert_eq!(stack.run("aidb --color never check"), plain);
    assert_eq!(stack.run("aidb-precheck"), stack.run("aidb-precheck check"));
    assert_eq!(stack.run(&format!("aidb --config {config} check")), plain);
    let quiet = stack.run("aidb -q check").with(0);
    assert!(
        quiet.stdout.is_empty() && quiet.stderr.is_empty(),
        "{quiet}"
    );
    let _ = stack.run("aidb -q --json check").json();
    let coloured = stack.run("aidb --color always check").with(0);
    assert!(coloured.stdout.contains("\x1b[32mok"), "{coloured}");
}

/// Nobody reads: the printing gives up, the answer stays no.
#[test]
fn a_closed_pipe_does_not_turn_a_no_into_a_yes() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    for (line, status) in [
        ("aidb check", 1),
        ("aidb check --json", 1),
        ("aidb status", 1),
        ("aidb-precheck check --at start open-webui", 1),
        ("aidb init-verify", 1),
        ("aidb list", 0),
        ("aidb show open-webui", 0),
        ("aidb --help", 0),
        ("aidb check nobody", 2),
    ] {
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        let mut words = line.split(' ');
        let mut command = stack.command(words.next().unwrap());
        command.args(words).stdout(closed());
        let ran = stack.ran_with_stderr(&mut command);
        assert_eq!(ran.status, status, "{line}: {ran}");
        assert!(!ran.stderr.contains("panicked"), "{line}: {ran}");
        let ended = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(ended.code(), Some(status), "{line}, with both closed");
    }
}
