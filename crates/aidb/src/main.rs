//! `aidb VERB` runs the tool that has the verb.

mod whole;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

/// The tools, and the verbs that each has.
const TOOLS: &[(&str, &[&str])] = &[
    ("aidb-precheck", &["check", "allow", "accept", "settings"]),
    (
        "aidb-snapshot",
        &[
            "take", "prove", "list", "show", "diff", "verify", "restore", "undo", "prune",
            "archive", "export", "import", "rescue",
        ],
    ),
    ("aidb-monitor", &["status", "metrics", "report", "alert"]),
    ("aidb-init-verify", &["migrate"]),
];

const HELP: &str = "\
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
";

fn main() -> ExitCode {
    if let Some(code) = aidb_cli::generate(whole::command) {
        return code;
    }
    let mut arguments = std::env::args_os().skip(1).peekable();
    // Options that all tools share may stand before the verb.
    let mut before = Vec::new();
    while let Some(option) = arguments.next_if(|a| a.to_string_lossy().starts_with('-')) {
        match option.to_string_lossy().as_ref() {
            "-h" | "--help" => return print(HELP),
            "-V" | "--version" => return print(concat!("aidb ", env!("CARGO_PKG_VERSION"), "\n")),
            "--config" | "--color" => {
                before.push(option);
                before.extend(arguments.next());
            }
            _ => before.push(option),
        }
    }
    let Some(verb) = arguments.next() else {
        return fail(HELP);
    };
    let verb = verb.to_string_lossy().into_owned();
    let (tool, takes_verb) = match tool_of(&verb) {
        Some(tool) => (tool, true),
        None if verb == "init-verify" => ("aidb-init-verify", false),
        None if verb == "help" => return print(HELP),
        None => {
            return fail(&format!(
                "error: no verb `{}`\n\n{HELP}",
                verb.escape_debug()
            ));
        }
    };
    let program = beside(tool);
    let verb = takes_verb.then_some(verb);
    let error = Command::new(&program)
        .args(verb)
        .args(before)
        .args(arguments)
        .exec();
    eprint(&format!(
        "error: cannot run `{}`\n  caused by: {error}\n",
        program.display()
    ));
    ExitCode::from(3)
}

fn tool_of(verb: &str) -> Option<&'static str> {
    TOOLS
        .iter()
        .find(|(_, verbs)| verbs.contains(&verb))
        .map(|(tool, _)| *tool)
}

/// Returns the tool that lies beside this program; failing that, its bare name, for PATH.
fn beside(tool: &str) -> PathBuf {
    let own = std::env::current_exe().ok();
    own.map(|p| p.with_file_name(tool))
        .filter(|p| p.is_file())
        .unwrap_or_else(|| tool.into())
}

fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    // A closed pipe is no error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    eprint(text);
    ExitCode::from(2)
}

fn eprint(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
