//! A person's stack in a temporary home: one Open WebUI folder, a vault, a stack.json; and the tools run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

/// A temporary home with one guard, `open-webui`.
#[derive(Debug)]
pub struct Stack {
    home: TempDir,
    tools: PathBuf,
}

/// What a tool printed, and its exit status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl Stack {
    /// Lays out a home. `tool` is the path of any built tool; the others lie beside it.
    #[must_use]
    pub fn new(tool: &str) -> Self {
        let home = tempfile::Builder::new()
            .prefix("aidb-home-")
            .tempdir()
            .unwrap();
        let stack = Self {
            home,
            tools: Path::new(tool).parent().unwrap().to_owned(),
        };
        std::fs::create_dir_all(stack.data().parent().unwrap()).unwrap();
        stack.write_settings(&json!({}));
        stack
    }

    /// Lays out a home with a packed fixture as the data folder.
    #[must_use]
    pub fn with(tool: &str, fixture: &str) -> Self {
        let stack = Self::new(tool);
        crate::unpack(fixture, &stack.data());
        stack
    }

    /// Returns the home folder.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the guard's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.home().join("ai/open-webui")
    }

    /// Returns the vault.
    #[must_use]
    pub fn vault(&self) -> PathBuf {
        self.home().join("vault")
    }

    /// Returns the settings file.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.home().join(".config/aidb/stack.json")
    }

    /// Writes stack.json; `guard` is laid over the guard `open-webui`.
    pub fn write_settings(&self, guard: &serde_json::Value) {
        let mut open_webui = json!({
            "data": self.data(), "mount": "/app/backend/data", "preset": "open-webui",
        });
        for (key, value) in guard.as_object().unwrap() {
            open_webui[key] = value.clone();
        }
        let document =
            json!({ "schema": 1, "vault": self.vault(), "guards": { "open-webui": open_webui } });
        std::fs::create_dir_all(self.settings().parent().unwrap()).unwrap();
        std::fs::write(self.settings(), document.to_string()).unwrap();
    }

    /// Returns a command that runs a tool in this home, with an environment as bare as a unit's.
    #[must_use]
    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(self.tools.join(tool));
        command
            .env_clear()
            .env("HOME", self.home())
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("TZ", "UTC")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// Runs a tool; `line` is its name and arguments.
    #[must_use]
    pub fn run(&self, line: &str) -> Ran {
        let mut words = line.split_whitespace();
        let tool = words.next().unwrap();
        self.ran(self.command(tool).args(words))
    }

    /// Runs a command as a shell would, in this home: for next steps, as they are printed.
    #[must_use]
    pub fn shell(&self, line: &str) -> Ran {
        let mut command = self.command("aidb");
        let mut shell = Command::new("/bin/sh");
        shell
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(self.home());
        shell.args(["-c", line]);
        command.stdin(Stdio::null());
        self.ran(&mut shell)
    }

    /// Runs a command, and makes what it printed the same in every home.
    #[must_use]
    pub fn ran(&self, command: &mut Command) -> Ran {
        let output = command
            .output()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes)
                .replace(&self.home().display().to_string(), "~")
                .replace(&self.tools.display().to_string(), "BIN")
        };
        Ran {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            status: output.status.code().unwrap_or(-1),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.stdout)?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr\n{}", self.stderr)?;
        }
        write!(f, "--- status {}", self.status)
    }
}
