//! Databases that a variable puts somewhere else than where the image has them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Preset, Variables, container_path};

/// The variable that says where a store's SQLite file is: a path, or `sqlite:///PATH` as `SQLAlchemy` reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreFileEnv {
    /// Its name.
    pub variable: String,
    /// Where the application is started, so where a relative path begins; none if that is not known.
    pub work_dir: Option<PathBuf>,
}

/// Where a variable puts the SQLite file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseAt {
    /// At the store's own place.
    Here,
    /// At this path of the container.
    Path(PathBuf),
    /// On a server, or in a file that no look can read.
    Elsewhere,
}

impl Preset {
    /// Returns where a variable puts the SQLite file of a store.
    #[must_use]
    pub fn database_at(&self, store: &str, variables: &Variables) -> DatabaseAt {
        let Some(rule) = self.store_file_env.get(store) else {
            return DatabaseAt::Here;
        };
        let Some(value) = variables.get(&rule.variable).filter(|v| !v.is_empty()) else {
            return DatabaseAt::Here;
        };
        let bare = value.split('?').next().unwrap_or_default();
        let path = match bare.strip_prefix("sqlite:///") {
            Some(path) => path,
            None if bare.contains(':') => return DatabaseAt::Elsewhere,
            None => bare,
        };
        if path.is_empty() {
            return DatabaseAt::Elsewhere;
        }
        let at = match &rule.work_dir {
            _ if path.starts_with('/') => container_path(path),
            Some(begin) => container_path(&format!("{}/{path}", begin.display())),
            None => {
                let own = self.stores.get(store).and_then(|s| s.path.as_deref());
                let is_own =
                    own.map(Path::new).and_then(Path::file_name) == Path::new(path).file_name();
                return if is_own {
                    DatabaseAt::Here
                } else {
                    DatabaseAt::Elsewhere
                };
            }
        };
        at.map_or(DatabaseAt::Elsewhere, DatabaseAt::Path)
    }

    /// Returns the databases that variables have moved, and where the container has them.
    #[must_use]
    pub fn moved_databases(&self, variables: &Variables) -> BTreeMap<&str, PathBuf> {
        self.store_file_env
            .keys()
            .filter_map(|store| match self.database_at(store, variables) {
                DatabaseAt::Path(path) => Some((store.as_str(), path)),
                DatabaseAt::Here | DatabaseAt::Elsewhere => None,
            })
            .collect()
    }
}
