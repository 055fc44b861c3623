//! Every line by which a unit calls a tool, as the golden texts of the Home Manager module have it, is one that the tool
//! takes: it is run, and may answer anything but "wrong usage or settings".

use std::collections::BTreeSet;
use std::path::Path;

use crate::AIDB;
use aidb_testkit::{Ran, Stack};

/// Returns the golden texts by name: quadlets, units, and the settings that belong to them.
fn goldens() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/nix/golden");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut texts: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    texts.sort();
    assert!(texts.len() >= 8, "{texts:?}");
    texts
}

/// Returns the commands of a text that call a tool, each once, as a shell runs them.
fn commands(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|l| l.starts_with("Exec"));
    let values = lines
        .filter_map(|l| l.split_once('='))
        .map(|(_, value)| value);
    let ours = values.filter(|v| v.contains("%E/aidb/bin/"));
    ours.map(|v| {
        v.trim_start_matches('-')
            .replace("$$", "$")
            .replace("%i", "podman-open-webui")
            .replace("%%", "%")
    })
    .collect()
}

/// Lays out a home with a text's settings, in which nothing exists but empty data folders.
fn home(text: &str) -> Stack {
    let stack = Stack::new(AIDB);
    let home = stack.home().display().to_string();
    let (_, settings) = text.split_once("--- stack.json\n").unwrap();
    let settings = settings
        .replace("/home/alice", &home)
        .replace("/nix/store/…-", "/nowhere/");
    let parsed: serde_json::Value = serde_json::from_str(&settings).unwrap();
    for guard in parsed["guards"].as_object().unwrap().values() {
        let data = Path::new(guard["data"].as_str().unwrap());
        // Other folders are left alone: they could be somebody's.
        if data.starts_with(stack.home()) {
            std::fs::create_dir_all(data).unwrap();
        }
    }
    std::fs::write(stack.settings(), settings).unwrap();
    std::fs::create_dir_all(stack.home().join("migrations")).unwrap();
    std::fs::write(
        stack.home().join("migrations/0001_entry.sql"),
        "create table entry (id integer);",
    )
    .unwrap();
    stack
}

fn run(stack: &Stack, command: &str) -> Ran {
    let home = stack.home().display().to_string();
    let line = command
        .replace("/home/alice", &home)
        .replace("/nix/store/…-migrations", &format!("{home}/migrations"))
        .replace("/nix/store/…-", &format!("{home}/"));
    let line = line.replace("%E/aidb/bin", &stack.printed("BIN"));
    // `init-verify --unit` waits for its application for minutes; it has taken its line by then.
    let script = stack.home().join("line");
    std::fs::write(&script, line).unwrap();
    stack.shell(&format!("timeout 2 /bin/sh {}", script.display()))
}

#[test]
fn every_line_of_every_unit_is_one_that_the_tool_takes() {
    let (mut seen, mut tried) = (BTreeSet::new(), BTreeSet::new());
    let mut refused = Vec::new();
    for (name, text) in goldens() {
        let stack = home(&text);
        for command in commands(&text) {
            if !seen.insert(command.clone()) {
                continue;
            }
            let ran = run(&stack, &command);
            if ran.status == 2 {
                refused.push(format!("{name}: {command}\n{ran}"));
            }
            let words = command
                .split("%E/aidb/bin/")
                .nth(1)
                .unwrap()
                .split_whitespace();
            tried.insert(words.take(2).collect::<Vec<_>>().join(" "));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
    // The lines that CLI.md promises are among them.
    let expected = [
        "aidb-init-verify --unit",
        "aidb-init-verify migrate",
        "aidb-monitor alert",
        "aidb-monitor check",
        "aidb-monitor metrics",
        "aidb-monitor report",
        "aidb-precheck check",
        "aidb-snapshot archive",
        "aidb-snapshot prove",
        "aidb-snapshot rescue",
        "aidb-snapshot take",
        "aidb-snapshot verify",
    ];
    assert_eq!(
        tried.iter().map(String::as_str).collect::<Vec<_>>(),
        expected
    );
}

/// Units of an older generation call the tools of a newer one: these lines are kept for ever.
#[test]
fn the_lines_of_a_container_are_the_promised_ones() {
    for (name, text) in goldens() {
        for line in text
            .lines()
            .filter(|l| l.contains("%E/aidb/bin/") && l.starts_with("Exec"))
        {
            let promised = [
                (
                    "ExecStartPre=/bin/sh -c '%E/aidb/bin/aidb-precheck check --at start ",
                    " || [ $$? -ne 1 ]'",
                ),
                (
                    "ExecStartPre=/bin/sh -c '%E/aidb/bin/aidb-init-verify migrate ",
                    " || [ $$? -ne 1 ]'",
                ),
                (
                    "ExecStop=-%E/aidb/bin/aidb-snapshot take --reason stop --unproven --deadline 20s ",
                    "",
                ),
                (
                    "ExecStopPost=-%E/aidb/bin/aidb-snapshot take --reason stop --unproven --deadline 20s ",
                    "",
                ),
            ];
            let is = |(head, tail): &(&str, &str)| line.starts_with(head) && line.ends_with(tail);
            // A companion checks in its own start.
            let companion = line.replace("ExecStart=/bin/sh", "ExecStartPre=/bin/sh");
            let in_companion = |(head, tail): &(&str, &str)| {
                companion.starts_with(head) && companion.ends_with(tail)
            };
            let own = line.starts_with("ExecStart=");
            assert!(
                own || promised.iter().any(is) || promised.iter().any(in_companion),
                "{name}: {line}"
            );
        }
    }
}
