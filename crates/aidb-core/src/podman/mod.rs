//! Podman, asked: what a container is, what it changed, what an image is.
//!
//! A container that does not exist is an answer, `None`. That Podman is absent, locked, slow, or says something that
//! cannot be understood is an error ([`Error::CouldNot`]), and never "not found".
//!
//! Podman's first call of a boot removes the containers that a power cut left, their layers included. No call is made
//! before those were read (`layers`).

pub mod cgroups;
pub mod inspect;
pub mod storage;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use inspect::{Container, Image, Mount, Mounted};
pub use storage::Storage;

use crate::error::{Error, Result};
use crate::program::{Program, Ran};
use crate::settings::{self, Environment, Programs};

/// The most that an answer may have: a container with a thousand mounts stays far below.
const MOST_ANSWER_BYTES: u64 = 16 << 20;

/// How long Podman may take by default. A call takes 60 ms on an idle machine, seconds on a busy one.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Podman, as this user calls it.
#[derive(Debug, Clone)]
pub struct Podman {
    program: PathBuf,
    deadline: Duration,
    storage: Storage,
}

/// What a container changed in its own layer: mounts are left out, and only names are told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Diff {
    /// New names.
    #[serde(default)]
    pub added: Vec<PathBuf>,
    /// Names of the image with other content, and folders around other changes.
    #[serde(default)]
    pub changed: Vec<PathBuf>,
    /// Names of the image that are gone.
    #[serde(default)]
    pub deleted: Vec<PathBuf>,
}

impl Podman {
    /// Finds Podman; each of its calls may take `deadline`.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if there is none.
    pub fn find(
        programs: &Programs,
        environment: &Environment,
        deadline: Duration,
    ) -> Result<Self> {
        let program = programs
            .locate(settings::Program::Podman, environment)
            .ok_or_else(|| Error::CouldNot {
                what: "`podman` was not found".into(),
                hint: Some("name it in stack.json: /programs/podman".into()),
            })?;
        Ok(Self {
            program,
            deadline,
            storage: Storage::of(environment),
        })
    }

    /// Returns the container of that name; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if that could not be found out.
    pub fn container(&self, name: &str) -> Result<Option<Container>> {
        let Some(answer) = self.inspect("container", name)? else {
            return Ok(None);
        };
        let found: [Container; 1] = self.parse("container inspect", &answer)?;
        let [container] = found;
        // Podman takes the start of an id for a name, too.
        Ok((container.name == name || container.id == name).then_some(container))
    }

    /// Returns the image of that name, id or digest, if it is here; `None` if it is not. Nothing is pulled.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if that could not be found out.
    pub fn image(&self, name: &str) -> Result<Option<Image>> {
        let Some(answer) = self.inspect("image", name)? else {
            return Ok(None);
        };
        let [image] = self.parse("image inspect", &answer)?;
        Ok(Some(image))
    }

    /// Returns what the container changed in its own layer. It is asked of a container that exists.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if it could not be found out.
    pub fn diff(&self, container: &str) -> Result<Diff> {
        let mut program = self.program(&["diff", "--format", "json", container])?;
        self.parse("diff", &program.answer()?)
    }

    /// Returns Podman with these arguments, to be run with its deadline.
    ///
    /// # Errors
    /// [`Error::CouldNot`] if this would be the first call of the boot and layers of a power cut were not read yet.
    pub fn program(&self, arguments: &[&str]) -> Result<Program> {
        self.storage.refuse_first_call()?;
        Ok(Program::new(&self.program, self.deadline)
            .args(arguments)
            .most_answer_bytes(MOST_ANSWER_BYTES))
    }

    /// Returns the answer of `inspect`; `None` if there is no such thing.
    fn inspect(&self, kind: &str, name: &str) -> Result<Option<Vec<u8>>> {
        let mut asked = self.program(&[kind, "inspect", name])?;
        let ran = asked.run()?;
        if ran.status.success() {
            return Ok(Some(ran.answer));
        }
        // The status of a failed `inspect` does not tell absence from trouble; that of `exists` does.
        match self.program(&[kind, "exists", name])?.run()?.status.code() {
            Some(1) => Ok(None),
            _ => Err(self.failed(&asked, &ran)),
        }
    }

    fn failed(&self, program: &Program, ran: &Ran) -> Error {
        let mut error = program.failed(ran);
        if let Error::CouldNot { hint, .. } = &mut error {
            let podman = self.program.display();
            *hint = Some(format!("`{podman} info` tells whether Podman works at all"));
        }
        error
    }

    fn parse<T: DeserializeOwned>(&self, verb: &str, answer: &[u8]) -> Result<T> {
        serde_json::from_slice(answer).map_err(|e| Error::CouldNot {
            what: format!(
                "`{} {verb}` gives an answer that cannot be understood: {e}",
                self.program.display()
            ),
            hint: None,
        })
    }
}

#[cfg(test)]
mod tests;
