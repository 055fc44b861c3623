//! Stores and contracts as `stack.json` and `nix/catalog.json` write them: every key may be left out.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guard::{Column, Contract, Identity, Store, StoreKind};

/// One data store inside the guard's folder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreFile {
    /// Which application's format it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
    /// Where it is, relative to the data folder; `.` is the folder itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether a healthy guard may lack it. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// What it must show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<ContractFile>,
}

/// What a healthy store must show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContractFile {
    /// Tables without which the application has lost its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<String>>,
    /// Tables that a finished migration leaves once another one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_when: Option<BTreeMap<String, Vec<String>>>,
    /// Tables that must be there once the one that is the key is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables_when: Option<BTreeMap<String, Vec<String>>>,
    /// Tables whose row count never falls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_shrink: Option<Vec<String>>,
    /// Tables whose row count may fall by at most this many percent of its highest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_shrink_percent: Option<BTreeMap<String, Percent>>,
    /// Where the schema's revision is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Column>,
    /// Revisions, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_revisions: Option<Vec<String>>,
    /// Names of tables (`*` matches any run of characters) that only an unfinished migration leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub half_migrated: Option<Vec<String>>,
    /// Tables that show that this application's migrations were at work here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migration_tables: Option<Vec<String>>,
    /// The rows that tell this database from another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityFile>,
    /// Whether healthy files have no foreign-key violations. Default: false, not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_keys: Option<bool>,
    /// The column that names files, as the container sees them, which must exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Column>,
}

/// A share of a whole, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Percent(#[schemars(range(max = 100))] pub u8);

/// The oldest rows of a table that lives as long as the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityFile {
    /// The table's name.
    pub table: String,
    /// The column that names a row for good.
    pub column: String,
    /// The column by which the oldest rows come first.
    pub oldest_by: String,
}

/// What keeps a written store from being a checked one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadStore {
    /// The key below the store, such as `path`.
    pub key: &'static str,
    /// What was expected and what was found.
    pub what: String,
}

impl StoreFile {
    /// Returns the checked store.
    ///
    /// # Errors
    /// Every key that cannot be used.
    pub fn into_store(self, name: &str) -> Result<Store, Vec<BadStore>> {
        let mut bad = Vec::new();
        if self.kind.is_none() {
            bad.push(BadStore {
                key: "kind",
                what:
                    "expected one of `sqlite`, `chroma`, `ollama`, `qdrant`, `files`, found nothing"
                        .to_owned(),
            });
        }
        let path = match self.path.as_deref().map(inside) {
            Some(Ok(path)) => Some(path),
            Some(Err(what)) => {
                bad.push(BadStore { key: "path", what });
                None
            }
            None => {
                bad.push(BadStore {
                    key: "path",
                    what: "expected a path relative to the data folder (`.` is the folder itself), found nothing"
                        .to_owned(),
                });
                None
            }
        };
        match (self.kind, path) {
            (Some(kind), Some(path)) if bad.is_empty() => Ok(Store {
                name: name.to_owned(),
                kind,
                path,
                optional: self.optional.unwrap_or(false),
                contract: self.contract.map(Contract::from).unwrap_or_default(),
            }),
            _ => Err(bad),
        }
    }
}

impl From<ContractFile> for Contract {
    fn from(file: ContractFile) -> Self {
        Self {
            tables: file.tables.unwrap_or_default(),
            tables_when: file.tables_when.unwrap_or_default(),
            never_shrink: file.never_shrink.unwrap_or_default(),
            max_shrink_percent: file
                .max_shrink_percent
                .unwrap_or_default()
                .into_iter()
                .map(|(table, percent)| (table, percent.0))
                .collect(),
            revision: file.revision,
            known_revisions: file.known_revisions.unwrap_or_default(),
            expected_when: file.expected_when.unwrap_or_default(),
            half_migrated: file.half_migrated.unwrap_or_default(),
            migration_tables: file.migration_tables.unwrap_or_default(),
            identity: file.identity.map(|identity| Identity {
                table: identity.table,
                column: identity.column,
                oldest_by: identity.oldest_by,
            }),
            foreign_keys: file.foreign_keys.unwrap_or(false),
            files: file.files,
        }
    }
}

/// Returns a path that stays below the folder it is relative to, without `.` components; the folder itself is `.`.
///
/// # Errors
/// What was expected and what was found.
pub fn inside(text: &str) -> Result<PathBuf, String> {
    let refuse = || {
        Err(format!(
            "expected a path inside the data folder, relative and without `..`, found `{}`",
            text.escape_debug()
        ))
    };
    if text.is_empty() || text.contains('\0') {
        return refuse();
    }
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return refuse(),
        }
    }
    if path.as_os_str().is_empty() {
        path.push(".");
    }
    Ok(path)
}

/// Lays what is written over what a preset says: objects key by key down to the contract's keys, anything else
/// whole; `null` takes a key away.
///
/// `depth` is how many levels of objects are merged: 2 for a store (its keys, and its contract's).
pub(crate) fn lay_over(base: &mut Value, written: Value, depth: usize) {
    match (base, written) {
        (Value::Object(base), Value::Object(written)) if depth > 0 => {
            for (key, value) in written {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    lay_over(base.entry(key).or_insert(Value::Null), value, depth - 1);
                }
            }
        }
        (base, Value::Object(mut written)) => {
            written.retain(|_, value| !value.is_null());
            *base = Value::Object(written);
        }
        (base, written) => *base = written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn written_keys_win_one_by_one_and_null_takes_away() {
        let mut base = json!({"kind": "sqlite", "path": "a.db", "contract": {"tables": ["a"], "neverShrink": ["a"], "maxShrinkPercent": {"a": 1}}});
        lay_over(
            &mut base,
            json!({"optional": true, "contract": {"tables": ["b"], "neverShrink": null, "maxShrinkPercent": {"b": 2}}}),
            2,
        );
        assert_eq!(
            base,
            json!({"kind": "sqlite", "path": "a.db", "optional": true,
                "contract": {"tables": ["b"], "maxShrinkPercent": {"b": 2}}})
        );
    }

    #[test]
    fn a_contract_without_a_base_loses_its_nulls() {
        let mut base = json!({"kind": "sqlite"});
        lay_over(
            &mut base,
            json!({"contract": {"tables": null, "foreignKeys": true}}),
            2,
        );
        assert_eq!(
            base,
            json!({"kind": "sqlite", "contract": {"foreignKeys": true}})
        );
    }

    #[test]
    fn store_paths_stay_inside() {
        for (text, expected) in [
            ("webui.db", Some("webui.db")),
            ("./a//b/", Some("a/b")),
            (".", Some(".")),
            ("./", Some(".")),
            ("", None),
            ("/etc/passwd", None),
            ("../x", None),
            ("a/../../x", None),
        ] {
            assert_eq!(
                inside(text).ok(),
                expected.map(PathBuf::from),
                "path {text:?}"
            );
        }
    }
}
