//! One run of a tool: what it prints, and the status that it ends with.

use std::fmt::{Display, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use aidb_core::judge::Verdict;
use aidb_core::settings::Environment;
use aidb_core::userns;

use crate::common::{Color, Common};
use crate::generate::generate;
use crate::text::{plain, quoted};

/// Where a tool's words go.
#[derive(Debug)]
pub struct Ui {
    common: Common,
    color: bool,
    /// The status with which this very command ended in the container's user namespace, if it ran there.
    ended: Option<u8>,
}

/// How a word is set off, where colour is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Fine.
    Good,
    /// Should be looked at.
    Warn,
    /// The answer is no.
    Bad,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
}

/// Is a tool's `main`: does what another of ours started it for, prints its completions or its man page if that is asked,
/// or reads its arguments and runs its body.
#[must_use]
pub fn tool<A: clap::Parser>(
    common: impl FnOnce(&A) -> &Common,
    body: impl FnOnce(&A, &mut Ui) -> anyhow::Result<Verdict>,
) -> ExitCode {
    if let Some(code) = aidb_core::child_main().or_else(|| generate(A::command)) {
        return code;
    }
    let args = A::parse();
    run(common(&args), |ui| body(&args, ui))
}

/// Runs a tool's body, shows its error, and returns the status: 0 pass, 1 hold, 2 usage or settings, 3 could not, 4 busy.
fn run(common: &Common, body: impl FnOnce(&mut Ui) -> anyhow::Result<Verdict>) -> ExitCode {
    userns::end_with_parent();
    let color = match common.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    };
    let mut ui = Ui {
        common: common.clone(),
        color,
        ended: None,
    };
    let status = match body(&mut ui) {
        Ok(verdict) => verdict.status(),
        Err(error) => {
            ui.error(&error);
            status_of(&error)
        }
    };
    ExitCode::from(userns::exit_status(ui.ended.unwrap_or(status)))
}

/// Returns the exit status that stands for an error.
#[must_use]
pub fn status_of(error: &anyhow::Error) -> u8 {
    use aidb_core::Error;
    match error.downcast_ref::<Error>() {
        Some(Error::Settings { .. } | Error::Usage { .. }) => 2,
        Some(Error::Busy { .. } | Error::Deadline { .. }) => 4,
        _ => 3,
    }
}

impl Ui {
    /// Returns whether the answer is wanted as one JSON document.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.common.json
    }

    /// Returns what is told how far long work has come; it shows a bar on a terminal.
    #[must_use]
    pub fn progress(&self) -> Box<dyn aidb_core::progress::Progress> {
        crate::progress::shown(&self.common)
    }

    /// Returns how many characters a line of the terminal has; none if the answer goes elsewhere, where nothing is shortened.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0.into())
    }

    /// Returns whether each step is to be said.
    #[must_use]
    pub fn is_verbose(&self) -> bool {
        self.common.verbose && !self.common.json
    }

    /// Ends with this status: the same command was run in the container's user namespace, and has told all there is.
    pub fn end_with(&mut self, status: u8) -> Verdict {
        self.ended = Some(status);
        Verdict::Pass
    }

    /// Prints a line of the answer.
    pub fn line(&self, line: impl Display) {
        if !self.common.quiet && !self.common.json {
            // A closed pipe is no error: the status still tells the verdict.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }

    /// Prints the answer as one JSON document.
    pub fn document(&self, document: &serde_json::Value) {
        let _ = writeln!(std::io::stdout(), "{document:#}");
    }

    /// Prints what was done: a line, or a document with these fields beside those that every document has.
    pub fn done(&self, tool: &str, line: &str, fields: &serde_json::Value) {
        if self.common.json {
            let mut document =
                serde_json::json!({ "schema": 1, "tool": tool, "verdict": Verdict::Pass });
            for (key, value) in fields.as_object().into_iter().flatten() {
                document[key] = value.clone();
            }
            self.document(&document);
        } else {
            self.line(plain(line));
        }
    }

    /// Prints an answer that is text of its own, for another program.
    pub fn text(&self, text: &str) {
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    /// Says what should be known beside the answer.
    pub fn note(&self, note: impl Display) {
        if !self.common.quiet {
            let _ = writeln!(std::io::stderr(), "{note}");
        }
    }

    /// Says a step, if steps are wanted.
    pub fn step(&self, step: impl Display) {
        if self.common.verbose {
            let _ = writeln!(std::io::stderr(), "{step}");
        }
    }

    /// Shows an error: what failed, why, what to do next.
    pub fn error(&self, error: &anyhow::Error) {
        let mut text = format!(
            "{} {}",
            self.paint(Style::Bad, "error:"),
            indented(&error.to_string())
        );
        let mut last = error.to_string();
        for cause in error.chain().skip(1) {
            let cause_text = cause.to_string();
            if cause_text != last {
                let _ = write!(text, "\n  caused by: {}", indented(&cause_text));
            }
            last = cause_text;
        }
        if let Some(hint) = error
            .chain()
            .find_map(|e| e.downcast_ref::<aidb_core::Error>())
            .and_then(|e| e.hint())
        {
            let _ = write!(text, "\n  hint: {}", indented(&self.with_commands(hint)));
        }
        let _ = writeln!(std::io::stderr(), "{text}");
    }

    /// Returns a command as it works when it is typed where this tool was called.
    #[must_use]
    pub fn command(&self, arguments: &[String]) -> String {
        let mut words = vec![quoted(&program())];
        words.extend(arguments.iter().map(|a| quoted(a)));
        if let Some(config) = &self.common.config {
            let config = std::path::absolute(config).unwrap_or_else(|_| config.clone());
            words.push("--config".into());
            words.push(quoted(&config.to_string_lossy()));
        }
        words.join(" ")
    }

    /// Returns a hint in which every `aidb …` is a command that works when it is typed here.
    fn with_commands(&self, hint: &str) -> String {
        let parts = hint.split('`').enumerate();
        let told = parts.map(|(i, part)| match part.strip_prefix("aidb ") {
            Some(words) if i % 2 == 1 => {
                self.command(&words.split(' ').map(str::to_owned).collect::<Vec<_>>())
            }
            _ => part.to_owned(),
        });
        told.collect::<Vec<_>>().join("`")
    }

    /// Returns text set off in its style, if colour is on.
    #[must_use]
    pub fn paint(&self, style: Style, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match style {
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "1;31",
            Style::Strong => "1",
            Style::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Returns text for a terminal, in which further lines stand below the first.
fn indented(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n    ")
}

/// Returns how `aidb` is called here: by its bare name only if PATH leads to this very program, else by the link beside
/// stack.json, which outlives the store path that this generation of the tools lies at, else by its full path.
fn program() -> String {
    let Ok(own) = std::env::current_exe() else {
        return "aidb".into();
    };
    let beside = own.with_file_name("aidb");
    let same = |candidate: &Path| matches!((candidate.canonicalize(), beside.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let environment = Environment::from_process().ok();
    let in_path = environment.iter().flat_map(|e| &e.path);
    let found = in_path
        .map(|folder| folder.join("aidb"))
        .find(|p| p.is_file());
    if found.is_some_and(|p| same(&p)) {
        return "aidb".into();
    }
    let linked = environment.map(|e| e.config_home.join("aidb/bin/aidb"));
    let program = linked.filter(|p| same(p)).unwrap_or(beside);
    program.to_string_lossy().into_owned()
}
