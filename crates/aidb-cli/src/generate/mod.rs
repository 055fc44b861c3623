//! Completions and man pages: every program prints its own, from the flags that it really has.
//!
//! `TOOL --generate WHAT` is for whoever packages the tools, so no help text names it. `WHAT` is `complete-bash`,
//! `complete-zsh` or `complete-fish` (to standard output), `man FOLDER` (a page for the tool and one for each verb), or
//! `tree` (the verbs and flags as JSON, from which `aidb` makes its own).

mod tree;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;

pub use tree::{Argument, Tree};

/// The argument that makes a program print these instead of running.
const ARGUMENT: &str = "--generate";

/// Prints what is asked for and returns the status, if this process was started for that; every tool's `main` calls it
/// before it reads its arguments.
#[must_use]
pub fn generate(command: impl FnOnce() -> Command) -> Option<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    if words.next()? != ARGUMENT {
        return None;
    }
    let words: Vec<OsString> = words.collect();
    Some(match generated(command(), &words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(2)
        }
    })
}

fn generated(mut command: Command, words: &[OsString]) -> io::Result<()> {
    let asked: Vec<&str> = words.iter().filter_map(|w| w.to_str()).collect();
    // Whole before any of it is printed.
    let mut text = Vec::new();
    match asked.as_slice() {
        ["man", folder] => {
            std::fs::create_dir_all(folder)?;
            return clap_mangen::generate_to(command, Path::new(folder));
        }
        ["tree"] => {
            command.build();
            serde_json::to_writer_pretty(&mut text, &Tree::of(&command))?;
            text.push(b'\n');
        }
        [word] => {
            let shell = match word.strip_prefix("complete-") {
                Some("bash") => Shell::Bash,
                Some("zsh") => Shell::Zsh,
                Some("fish") => Shell::Fish,
                _ => return Err(usage(word)),
            };
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command, name, &mut text);
        }
        _ => return Err(usage(&asked.join(" "))),
    }
    io::stdout().write_all(&text)
}

fn usage(found: &str) -> io::Error {
    let what = "expected `complete-bash`, `complete-zsh`, `complete-fish`, `man FOLDER` or `tree`";
    io::Error::other(format!("{what}, found `{}`", found.escape_debug()))
}
