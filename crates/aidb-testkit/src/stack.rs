//! A person's stack in a temporary home: one Open WebUI folder, a vault, a stack.json; and the tools run on it.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use crate::Ran;

/// A temporary home with one guard, `open-webui`.
#[derive(Debug)]
pub struct Stack {
    home: TempDir,
    tools: PathBuf,
    /// Who runs the tools, if not this process's user.
    user: Option<u32>,
}

impl Stack {
    /// Lays out a home. `tool` is the path of any built tool; the others lie beside it.
    #[must_use]
    pub fn new(tool: &str) -> Self {
        Self::below(tool, &std::env::temp_dir())
    }

    /// Lays out a home in a folder: for what is not to lie in `/tmp`.
    #[must_use]
    pub fn below(tool: &str, folder: &Path) -> Self {
        let home = tempfile::Builder::new()
            .prefix("aidb-home-")
            .tempdir_in(folder)
            .unwrap();
        let stack = Self {
            home,
            tools: Path::new(tool).parent().unwrap().to_owned(),
            user: None,
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

    /// Waits until everything in the data folder was last changed so long ago that a look at it may stand: two seconds,
    /// which nothing but time can give to a file.
    pub fn age(&self) {
        const SETTLED: std::time::Duration = std::time::Duration::from_millis(2050);
        let mut pending = vec![self.data()];
        while let Some(path) = pending.pop() {
            let status = std::fs::symlink_metadata(&path).unwrap();
            let changed = std::time::UNIX_EPOCH
                + std::time::Duration::new(
                    u64::try_from(status.ctime()).unwrap(),
                    u32::try_from(status.ctime_nsec()).unwrap(),
                );
            let age = changed.elapsed().unwrap_or_default();
            std::thread::sleep(SETTLED.saturating_sub(age));
            if status.is_dir() {
                pending.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            }
        }
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
        let program = self.tools.join(tool);
        assert!(
            program.is_file(),
            "`{}` is not built: run `cargo build --workspace` first",
            program.display()
        );
        let mut command = Command::new(program);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
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
        let command = self.command("aidb");
        let mut shell = Command::new("/bin/sh");
        shell
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(self.home());
        shell.args(["-c", line]).stdin(Stdio::null());
        self.ran(&mut shell)
    }

    /// Returns a command that runs another under `strace`, its children too, with descriptors shown as paths.
    #[must_use]
    pub fn strace(&self, command: &Command, calls: &str, trace: &Path) -> Command {
        let mut strace = Command::new("/usr/bin/env");
        strace
            .args(["strace", "-f", "-y", "-qq", "-s", "4096", "-e"])
            .arg(format!("trace={calls}"))
            .args(["-e", "signal=none", "-o"])
            .arg(trace)
            .arg(command.get_program());
        strace
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .current_dir(self.home())
            .stdin(Stdio::null());
        strace
    }

    /// Runs a command whose standard output is set already.
    #[must_use]
    pub fn ran_with_stderr(&self, command: &mut Command) -> Ran {
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            stdout: String::new(),
            stderr: self.told(&String::from_utf8_lossy(&output.stderr)),
            status: output.status.code().unwrap_or(-1),
        }
    }

    /// Runs a command, and makes what it printed the same in every home.
    #[must_use]
    pub fn ran(&self, command: &mut Command) -> Ran {
        let output = command
            .output()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let text = |bytes: &[u8]| self.told(&String::from_utf8_lossy(bytes));
        Ran {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            status: output.status.code().unwrap_or(-1),
        }
    }

    /// Returns text with this home as `~` and the tools' folder as `BIN`.
    #[must_use]
    pub fn told(&self, text: &str) -> String {
        text.replace(&self.home().display().to_string(), "~")
            .replace(&self.tools.display().to_string(), "BIN")
            // On a slow machine a look may already stand when it is asked for again.
            .replace("unchanged since its full check", "full check ok")
    }

    /// Returns what [`Stack::told`] made of text, as it was printed.
    #[must_use]
    pub fn printed(&self, told: &str) -> String {
        told.replace('~', &self.home().display().to_string())
            .replace("BIN", &self.tools.display().to_string())
    }

    /// Runs the tools from now on as a user for whom modes count: root may read and write everything. Another user
    /// keeps everything as it is.
    #[must_use]
    pub fn as_plain_user(mut self) -> Self {
        const NOBODY: u32 = 65534;
        if crate::is_root() {
            let mut pending = vec![self.home().to_owned()];
            while let Some(path) = pending.pop() {
                std::os::unix::fs::lchown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
                if path.is_dir() && !path.is_symlink() {
                    pending.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                }
            }
            self.user = Some(NOBODY);
            self.tools_for_everybody();
        }
        self
    }

    /// The folder in which cargo builds may be closed to others: then the tools are copied.
    fn tools_for_everybody(&mut self) {
        let works = self.command("aidb").arg("--version").output();
        if works.is_ok_and(|o| o.status.success()) {
            return;
        }
        let copies = self.home().join("bin");
        std::fs::create_dir(&copies).unwrap();
        for tool in [
            "aidb",
            "aidb-precheck",
            "aidb-snapshot",
            "aidb-init-verify",
            "aidb-monitor",
        ] {
            std::fs::copy(self.tools.join(tool), copies.join(tool)).unwrap();
        }
        std::os::unix::fs::lchown(&copies, self.user, self.user).unwrap();
        self.tools = copies;
    }
}

impl Drop for Stack {
    /// A folder that came back without write permission cannot be removed by its own user.
    fn drop(&mut self) {
        use std::os::unix::fs::PermissionsExt as _;
        let mut pending = vec![self.home().to_owned()];
        while let Some(folder) = pending.pop() {
            let _ = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700));
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir()));
            pending.extend(folders.map(|e| e.path()));
        }
    }
}
