//! `stack.json` as it is written. Its JSON Schema comes from these types, and is what the file is checked with.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::programs::Programs;
use crate::catalog::store_file::StoreFile;
use crate::guard::{Damaged, Reaction, Uninitialised};

/// Settings of aidb: what is guarded, and where snapshots are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "stack.json")]
pub struct StackFile {
    /// The JSON Schema of this file, for editors.
    #[serde(rename = "$schema")]
    pub json_schema: Option<String>,
    /// The version of this file's format.
    #[schemars(range(min = 1, max = 1))]
    pub schema: u32,
    /// The folder of snapshots; absolute, or from `~/`.
    pub vault: String,
    /// The folder of the ledger. Default: `$XDG_STATE_HOME/aidb`.
    pub state: Option<String>,
    /// Which snapshots are kept.
    pub keep: Option<KeepFile>,
    /// What is guarded, by name; a guard is named like its container.
    pub guards: Option<BTreeMap<String, GuardFile>>,
    /// Containers with data that nobody guards, for `status`.
    pub not_guarded: Option<Vec<NotGuardedFile>>,
    /// Where programs are, absolute. What is not named is looked for.
    pub programs: Option<Programs>,
    /// Whether the gate at a switch may refuse it. Default: `hold`.
    pub gate: Option<Gate>,
    /// How a person is told what changed while nobody looked.
    pub alert: Option<AlertFile>,
    /// Whether snapshots are handed to somewhere else than this machine's disks. Default: false.
    pub offsite: Option<bool>,
}

/// How a person is told what changed while nobody looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertFile {
    /// Whether to show a notification on the desktop. Default: true.
    pub desktop: Option<bool>,
    /// A program and its arguments; it is given a JSON document to read. The program is absolute, or from `~/`.
    pub command: Option<Vec<String>>,
    /// For how many hours the return of something that was told is not told again. Default: 24.
    #[schemars(range(min = 0, max = 8760))]
    pub quiet_hours: Option<u32>,
}

/// How many distinct snapshots of each guard are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeepFile {
    /// The newest ones. Default: 3.
    #[schemars(range(min = 1))]
    pub last: Option<u32>,
    /// One a day. Default: 7.
    #[schemars(range(min = 1))]
    pub daily: Option<u32>,
    /// One a week. Default: 4.
    #[schemars(range(min = 1))]
    pub weekly: Option<u32>,
    /// One a month. Default: 3.
    #[schemars(range(min = 1))]
    pub monthly: Option<u32>,
    /// The newest archives (`.tar.xz`). Default: 2.
    #[schemars(range(min = 1))]
    pub archives: Option<u32>,
}

/// One protected data folder of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardFile {
    /// The container's name. Default: the guard's.
    pub container: Option<String>,
    /// The systemd user unit that runs the container.
    pub unit: Option<String>,
    /// The data folder on the host; absolute, or from `~/`.
    pub data: String,
    /// Where the container sees the data folder; absolute. Default: not known, but for paths in databases, which are taken as
    /// the preset's application has them.
    pub mount: Option<String>,
    /// The known application that supplies stores, contracts and excludes.
    pub preset: Option<String>,
    /// Glob patterns, relative to the data folder, of what is not kept.
    pub exclude: Option<Vec<String>>,
    /// The data stores inside the folder; `null` takes one of the preset's away.
    pub stores: Option<BTreeMap<String, Option<StoreFile>>>,
    /// What to do about findings.
    pub policy: Option<PolicyFile>,
    /// Folders of migrations (`NNNN_name.sql`), by store.
    pub migrations: Option<BTreeMap<String, String>>,
}

/// What to do about what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    /// A database that never held a table. Default: `quarantine`.
    pub uninitialised: Option<Uninitialised>,
    /// A store that is gone although data is known. Default: `hold`.
    pub missing: Option<Reaction>,
    /// A store that cannot be read as what it is. Default: `hold`.
    pub damaged: Option<Damaged>,
    /// Rows lost, another database than before. Default: `warn`.
    pub shrunken: Option<Reaction>,
    /// A data path that is not the mount it should be. Default: `hold`.
    pub mount: Option<Reaction>,
}

/// A container with data that nobody guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotGuardedFile {
    /// The container's name.
    pub container: String,
    /// Its writable folders on the host.
    pub folders: Vec<String>,
    /// Why it is not guarded.
    pub why: Option<String>,
}

/// Whether the gate at a switch may refuse it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// It refuses a switch that would lose data.
    #[default]
    Hold,
    /// It only says so.
    Warn,
}

/// Returns the JSON Schema of `stack.json`, indented.
#[must_use]
pub fn json_schema() -> String {
    format!("{:#}\n", schemars::schema_for!(StackFile).as_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_json_and_refuses_unknown_keys() {
        let schema: serde_json::Value = serde_json::from_str(&json_schema()).unwrap();
        assert_eq!(schema["title"], "stack.json");
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], serde_json::json!(["schema", "vault"]));
        assert_eq!(
            schema["$defs"]["KeepFile"]["properties"]["daily"]["minimum"],
            1
        );
        assert_eq!(schema["$defs"]["Percent"]["maximum"], 100);
    }
}
