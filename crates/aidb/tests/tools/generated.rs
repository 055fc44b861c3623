//! Completions and man pages, as a package installs them.

use std::process::Command;

use serde_json::Value;

use crate::AIDB;
use aidb_testkit::Stack;

const TOOLS: [&str; 5] = [
    "aidb",
    "aidb-precheck",
    "aidb-snapshot",
    "aidb-init-verify",
    "aidb-monitor",
];

fn tree(stack: &Stack, tool: &str) -> Value {
    let ran = stack.run(&format!("{tool} --generate tree")).with(0);
    serde_json::from_str(&ran.stdout).unwrap()
}

fn names(tree: &Value) -> Vec<&str> {
    let verbs = tree["verbs"].as_array().unwrap().iter();
    verbs.map(|v| v["name"].as_str().unwrap()).collect()
}

/// Collects what has no help, by the words that lead to it.
fn unexplained(tree: &Value, words: &str, found: &mut Vec<String>) {
    let words = format!("{words} {}", tree["name"].as_str().unwrap());
    if tree["about"].is_null() {
        found.push(words.clone());
    }
    for argument in tree["arguments"].as_array().unwrap() {
        if argument["help"].is_null() {
            found.push(format!("{words} {}", argument["id"]));
        }
    }
    for verb in tree["verbs"].as_array().unwrap() {
        unexplained(verb, &words, found);
    }
}

#[test]
fn every_verb_and_every_flag_has_help() {
    let stack = Stack::new(AIDB);
    let mut found = Vec::new();
    for tool in TOOLS {
        unexplained(&tree(&stack, tool), "", &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn aidb_runs_every_verb_of_every_tool() {
    let stack = Stack::new(AIDB);
    let whole = tree(&stack, "aidb");
    for tool in TOOLS.iter().skip(1) {
        for verb in names(&tree(&stack, tool)) {
            assert!(names(&whole).contains(&verb), "{tool} {verb}");
        }
    }
}

#[test]
fn every_tool_completes_in_every_shell() {
    let stack = Stack::new(AIDB);
    for tool in TOOLS {
        let verbs = tree(&stack, tool);
        for shell in ["bash", "zsh", "fish"] {
            let line = format!("{tool} --generate complete-{shell}");
            let script = stack.run(&line).with(0).stdout;
            for word in names(&verbs).into_iter().chain(["--config"]) {
                // fish writes `-l config`.
                let word = word.trim_start_matches("--");
                assert!(script.contains(word), "{line}: no `{word}`");
            }
        }
    }
}

#[test]
fn bash_completes_a_verb_and_its_flags() {
    let stack = Stack::new(AIDB);
    let script = stack.home().join("aidb.bash");
    let text = stack.run("aidb --generate complete-bash").with(0).stdout;
    std::fs::write(&script, text).unwrap();
    let completed = |words: &str, count: usize| {
        let program = format!(
            ". {}; COMP_WORDS=({words}); COMP_CWORD={count}; _aidb aidb \"${{COMP_WORDS[{count}]}}\" \"${{COMP_WORDS[{count}-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let ran = Command::new("bash")
            .args(["-c", &program])
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        String::from_utf8(ran.stdout).unwrap()
    };
    assert_eq!(completed("aidb resto", 1).trim(), "restore");
    assert_eq!(completed("aidb restore --dry", 2).trim(), "--dry-run");
    assert_eq!(
        completed("aidb check --depth ''", 3).trim(),
        "bytes quick full"
    );
}

#[test]
fn every_verb_has_a_man_page() {
    let stack = Stack::new(AIDB);
    for tool in TOOLS {
        let folder = stack.home().join(tool);
        let _ = stack.run(&format!("{tool} --generate man {tool}")).with(0);
        let tree = tree(&stack, tool);
        let pages = names(&tree)
            .into_iter()
            .map(|verb| format!("{tool}-{verb}.1"));
        for page in pages.chain([format!("{tool}.1")]) {
            let text = std::fs::read_to_string(folder.join(&page)).unwrap();
            assert!(
                text.contains(".SH NAME") && text.contains(".SH OPTIONS"),
                "{page}: {text}"
            );
        }
    }
}

#[test]
fn what_cannot_be_generated_is_said() {
    let stack = Stack::new(AIDB);
    insta::assert_snapshot!(stack.run("aidb-precheck --generate complete-tcsh"), @"
    --- stderr
    error: expected `complete-bash`, `complete-zsh`, `complete-fish`, `man FOLDER` or `tree`, found `complete-tcsh`
    --- status 2
    ");
}
