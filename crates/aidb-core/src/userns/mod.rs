//! The user namespace of rootless containers: where files of sub-uids can be read, and ids are those of the container.
//!
//! An application that runs in a container as user 999 leaves files that belong to a sub-uid of the person who runs
//! it, often with mode 0600: outside, that person may not even read them. Inside `unshare --map-root-user --map-auto`
//! (util-linux; 8 ms, where `podman unshare` takes 65 ms) the person is root over all their sub-uids, as Podman's
//! containers see it. What is made there as root belongs, seen from outside, to the person.
//!
//! A process cannot enter such a namespace by itself, because only `newuidmap` may write its map. So the program is
//! run again inside it.

pub mod ids;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, geteuid, set_parent_process_death_signal};

use self::ids::subordinate;
use crate::error::{Error, IoContext, Result};
use crate::settings::Environment;
use crate::settings::programs::{Program, Programs};

pub use self::ids::IdMap;

/// Set for programs that run inside.
const MARK: &str = "AIDB_USER_NAMESPACE";

/// Added to the exit status of a tool that runs inside. `unshare` itself ends with 1 when it fails, and that would be
/// read as "the answer is no".
const INSIDE: u8 = 64;

/// The highest status of the tools.
const MOST_STATUS: u8 = 4;

/// The way into the namespace: the programs and ranges that it takes, all of them found.
#[derive(Debug, Clone)]
pub struct UserNamespace {
    unshare: PathBuf,
    /// A search path on which `newuidmap` and `newgidmap` are found.
    path: OsString,
}

/// Returns whether this process was started inside by [`UserNamespace`].
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(MARK).is_some() && geteuid().is_root()
}

/// Returns whether there could be files of sub-uids that this process may not touch, and that the namespace would help.
#[must_use]
pub fn could_help() -> bool {
    !geteuid().is_root()
}

/// Returns the exit status with which a tool ends, so that [`UserNamespace::run_again`] knows it for the tool's own.
#[must_use]
pub fn exit_status(status: u8) -> u8 {
    if is_inside() { status + INSIDE } else { status }
}

/// Ends this process with its parent, if it was started inside: what waits for it outside may be killed.
pub fn end_with_parent() {
    if is_inside() {
        // A kernel that cannot do it only lets an unwatched run come to its end.
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
    }
}

impl UserNamespace {
    /// Finds the way into the namespace.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if `unshare`, `newuidmap`, `newgidmap` or the user's ranges of sub-ids are missing.
    pub fn find(programs: &Programs, environment: &Environment) -> Result<Self> {
        let locate = |program: Program, package: &str| {
            let found = programs
                .locate(program, environment)
                .filter(|f| f.is_file());
            found.ok_or_else(|| Error::CouldNot {
                what: format!(
                    "the container's user namespace cannot be entered: no program `{}`{}",
                    program.name(),
                    programs
                        .named(program)
                        .map_or_else(String::new, |named| format!(" at `{}`", named.display())),
                ),
                hint: Some(format!(
                    "install {package}, or name the program in stack.json: `/programs/{}`",
                    program.name()
                )),
            })
        };
        let unshare = locate(Program::Unshare, "util-linux 2.38 or newer")?;
        let mappers = [
            locate(
                Program::Newuidmap,
                "the package that has it (uidmap, shadow)",
            )?,
            locate(
                Program::Newgidmap,
                "the package that has it (uidmap, shadow)",
            )?,
        ];
        for file in ["/etc/subuid", "/etc/subgid"] {
            subordinate(Path::new(file), geteuid().as_raw())?;
        }
        // `unshare` looks for them on its PATH, and a hook's PATH has them seldom.
        let folders = mappers
            .iter()
            .filter_map(|m| m.parent().map(Path::to_owned))
            .chain(environment.path.iter().cloned());
        let path = std::env::join_paths(folders)
            .map_err(std::io::Error::other)
            .doing("look for newuidmap beside", &unshare)?;
        Ok(Self { unshare, path })
    }

    /// Returns a command that runs `program` inside, as root there, with the environment of this process.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.unshare);
        command
            .args(["--map-root-user", "--map-auto", "--"])
            .arg(program)
            .env("PATH", &self.path)
            .env(MARK, "1");
        command
    }

    /// Runs this very program inside with the arguments that it was given, and returns the status with which it
    /// ended. Its standard streams are ours. Its `main` ends with [`exit_status`].
    ///
    /// # Errors
    /// [`Error::CouldNot`] if the namespace refused, or the program was killed.
    pub fn run_again(&self) -> Result<u8> {
        self.run_again_with(std::env::args_os().skip(1))
    }

    /// Runs this very program inside with these arguments, as [`Self::run_again`] does with its own.
    ///
    /// # Errors
    /// As [`Self::run_again`].
    pub fn run_again_with(&self, arguments: impl Iterator<Item = OsString>) -> Result<u8> {
        let program = std::env::current_exe().doing("find", Path::new("/proc/self/exe"))?;
        self.run(&program, arguments)
    }

    fn run(&self, program: &Path, arguments: impl Iterator<Item = OsString>) -> Result<u8> {
        let mut command = self.command(program);
        command.args(arguments);
        let ended = command.status().doing("run", &self.unshare)?;
        let own = ended
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .and_then(|code| code.checked_sub(INSIDE))
            .filter(|status| *status <= MOST_STATUS);
        own.ok_or_else(|| self.refused(&ended.to_string()))
    }

    /// Finds out why nothing ran inside.
    fn refused(&self, ended: &str) -> Error {
        let mut probe = self.command(Path::new("true"));
        let why = match probe.output() {
            Ok(output) if output.status.success() => {
                return Error::CouldNot {
                    what: format!(
                        "in the container's user namespace this program ended with {ended}"
                    ),
                    hint: None,
                };
            }
            Ok(output) => told(&output.stderr),
            Err(e) => e.to_string(),
        };
        Error::CouldNot {
            what: format!("the container's user namespace cannot be entered: {why}"),
            hint: Some(format!(
                "see why `{} --map-root-user --map-auto true` fails for this user",
                self.unshare.display()
            )),
        }
    }
}

/// Returns the first line that a program said.
fn told(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines()
        .next()
        .unwrap_or("it gives no reason")
        .to_owned()
}

#[cfg(test)]
mod tests;
