//! `--json`: one whole document with the promised keys (CLI.md), also when the answer is no.

use aidb_testkit::damage;
use serde_json::Value;

use crate::{SMALL, kept, with};

#[track_caller]
fn has_keys(value: &Value, keys: &[&str]) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value:#}"));
    for key in keys {
        assert!(object.contains_key(*key), "no `{key}` in {value:#}");
    }
}

const GUARD: &[&str] = &["name", "verdict", "findings", "stores"];
const STORE: &[&str] = &[
    "name",
    "kind",
    "path",
    "size_bytes",
    "pages",
    "tables",
    "rows",
    "schema_revision",
    "journal",
    "checked",
];
const FINDING: &[&str] = &[
    "id", "severity", "store", "path", "what", "evidence", "next",
];
const SNAPSHOT: &[&str] = &[
    "id",
    "guard",
    "reason",
    "taken_at",
    "proven",
    "files",
    "size_bytes",
    "new_bytes",
    "blocked_ms",
    "took_ms",
];

#[test]
fn check_passes_as_a_document() {
    let stack = with(SMALL);
    for (line, tool) in [
        ("aidb check --json", "aidb-precheck"),
        ("aidb init-verify --json", "aidb-init-verify"),
        ("aidb status --json", "aidb-monitor"),
    ] {
        let document = stack.run(line).with(0).json();
        has_keys(&document, &["schema", "tool", "verdict", "guards"]);
        assert_eq!(
            (&document["schema"], &document["tool"]),
            (&1.into(), &tool.into())
        );
        let guard = &document["guards"][0];
        has_keys(guard, GUARD);
        assert_eq!(guard["name"], "open-webui");
        let store = guard["stores"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["name"] == "chats")
            .unwrap();
        has_keys(store, STORE);
        assert_eq!(store["kind"], "sqlite");
        assert!(
            ["full", "standing"].contains(&store["checked"].as_str().unwrap()),
            "{store}"
        );
        assert_eq!(store["rows"]["chat"], 14);
        assert_eq!(store["journal"], "rollback");
        assert_eq!(store["schema_revision"], "37f288994c47");
    }
    assert_eq!(stack.run("aidb check --json").json()["verdict"], "pass");
    let bytes = stack.run("aidb check --json --depth bytes").json();
    assert_eq!(bytes["guards"][0]["stores"][0]["checked"], "bytes");
}

#[test]
fn check_holds_as_a_document() {
    let stack = kept();
    damage::empty_database(&stack.data().join("webui.db"));
    let document = stack.run("aidb check --json").with(1).json();
    assert_eq!(document["verdict"], "hold");
    let guard = &document["guards"][0];
    assert_eq!(guard["verdict"], "hold");
    let finding = &guard["findings"][0];
    has_keys(finding, FINDING);
    assert_eq!(finding["id"], "sqlite.empty-file");
    assert_eq!(finding["severity"], "hold");
    assert_eq!(finding["store"], "chats");
    assert_eq!(finding["path"], "~/ai/open-webui/webui.db");
}

#[test]
fn snapshots_are_documents() {
    let stack = with(SMALL);
    let taken = stack
        .run("aidb take --json --reason evening")
        .with(0)
        .json();
    has_keys(&taken, &["schema", "tool", "verdict", "snapshots"]);
    assert_eq!(taken["tool"], "aidb-snapshot");
    assert_eq!(taken["snapshots"].as_array().unwrap().len(), 1);
    let snapshot = &taken["snapshots"][0];
    has_keys(snapshot, SNAPSHOT);
    assert_eq!(snapshot["guard"], "open-webui");
    assert_eq!(snapshot["reason"], "evening");
    assert_eq!(snapshot["proven"], true);
    let at = snapshot["taken_at"].as_str().unwrap();
    assert!(
        at.ends_with('Z') && at.contains('T'),
        "{at} is no RFC 3339 UTC"
    );
    let id = snapshot["id"].as_str().unwrap();
    for line in [
        "aidb list --json".to_owned(),
        format!("aidb show {id} --json"),
        format!("aidb verify {id} --json"),
    ] {
        let document = stack.run(&line).with(0).json();
        has_keys(&document, &["schema", "tool", "verdict", "snapshots"]);
        has_keys(&document["snapshots"][0], SNAPSHOT);
        assert_eq!(document["snapshots"][0]["id"], id);
    }
    let unproven = stack.run("aidb take --unproven --json").with(0).json();
    assert_eq!(unproven["snapshots"][0]["proven"], false);
    let proven = stack.run("aidb prove --json").with(0).json();
    assert_eq!(proven["snapshots"][0]["proven"], true);
}

/// What the other verbs print is a document too, and nothing else.
#[test]
fn every_verb_prints_one_whole_document() {
    let stack = kept();
    for line in [
        "aidb settings --json",
        "aidb prune --dry-run --json",
        "aidb prune --json",
        "aidb restore open-webui --dry-run --json",
        "aidb restore open-webui --json",
        "aidb undo open-webui --json",
        "aidb allow open-webui store.missing --reason x --json",
        "aidb accept open-webui --reason x --json",
    ] {
        let document = stack.run(line).with(0).json();
        assert_eq!(document["schema"], 1, "{line}: {document:#}");
        assert_eq!(document["verdict"], "pass", "{line}: {document:#}");
        assert!(
            document["tool"]
                .as_str()
                .is_some_and(|t| t.starts_with("aidb-")),
            "{line}: {document:#}"
        );
    }
}

#[test]
fn with_an_error_there_is_no_document_at_all() {
    let stack = with(SMALL);
    for line in [
        "aidb check --json nobody",
        "aidb take --json nobody",
        "aidb show --json open-webui",
    ] {
        let ran = stack.run(line).with(2);
        assert!(
            ran.stdout.is_empty() && ran.stderr.starts_with("error: "),
            "{line}: {ran}"
        );
    }
}
