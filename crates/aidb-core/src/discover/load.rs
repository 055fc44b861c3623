//! Settings as a tool begins with them: of `stack.json`, or without one of what the unit files show.

use std::path::Path;

use super::discover;
use crate::settings::{
    DiscoverProblem, Environment, Gate, Keep, NotGuarded, Programs, Settings, Source, Ways,
    is_absent, minimal, read,
};
use crate::{Error, Result};

impl Settings {
    /// Returns the settings: of the file that is named, else of `$XDG_CONFIG_HOME/aidb/stack.json` if it exists,
    /// else what the quadlets and Home Manager's units show.
    ///
    /// # Errors
    /// [`Error::Settings`] if the file cannot be used, or if there is nothing at all to guard.
    /// [`Error::Io`] if a file cannot be looked at.
    pub fn load(config: Option<&Path>, environment: &Environment) -> Result<Self> {
        if let Some(file) = config {
            return read::read(file, environment);
        }
        let file = environment.config_home.join("aidb/stack.json");
        // A link that leads nowhere is a broken installation, not the absence of settings.
        match file.symlink_metadata() {
            Ok(_) => read::read(&file, environment),
            Err(error) if is_absent(&error) => Self::discovered(environment, &file),
            Err(source) => Err(Error::Io {
                doing: "look at",
                path: file,
                source,
            }),
        }
    }

    fn discovered(environment: &Environment, file: &Path) -> Result<Self> {
        let found = discover(environment);
        if found.is_empty() {
            return Err(Error::Settings {
                file: None,
                what: format!(
                    "expected `{}`, or containers in `{}`, found neither",
                    file.display(),
                    environment.config_home.join("containers/systemd").display()
                ),
                hint: Some(format!(
                    "to guard a folder of your own, write to `{}`: {}",
                    file.display(),
                    minimal()
                )),
            });
        }
        Ok(Self {
            source: Source::Discovered,
            vault: environment.data_home.join("aidb-vault"),
            state: environment.state_home.join("aidb"),
            keep: Keep::default(),
            guards: found.guards,
            programs: Programs::default(),
            gate: Gate::default(),
            alert: Ways::default(),
            offsite: false,
            not_guarded: found.not_guarded,
            problems: found.problems,
        })
    }

    /// Adds what discovery knows of containers that the settings do not name: those that nobody guards, and units
    /// that are odd. For tools that show the whole picture; it changes no guard.
    #[must_use]
    pub fn with_surroundings(mut self, environment: &Environment) -> Self {
        if self.source == Source::Discovered {
            return self;
        }
        let found = discover(environment);
        let named = |container: &str| {
            self.guards.iter().any(|g| g.container == container)
                || self.not_guarded.iter().any(|n| n.container == container)
        };
        let mut others: Vec<NotGuarded> = found
            .guards
            .iter()
            .filter(|guard| !named(&guard.container))
            .map(|guard| NotGuarded {
                container: guard.container.clone(),
                folders: vec![guard.data.clone()],
                why: "the settings do not name it".to_owned(),
            })
            .collect();
        others.extend(
            found
                .not_guarded
                .into_iter()
                .filter(|n| !named(&n.container)),
        );
        let problems: Vec<DiscoverProblem> = found
            .problems
            .into_iter()
            .filter(|p| p.container.as_deref().is_none_or(|c| !named(c)))
            .collect();
        self.not_guarded.extend(others);
        self.problems.extend(problems);
        self
    }
}
