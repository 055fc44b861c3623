//! What a preset knows of an application, on a stack whose settings say no more than its name.

use aidb_testkit::Stack;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{AIDB, LARGE, with};

fn sql(stack: &Stack, name: &str, statements: &str) {
    let database = Connection::open(stack.data().join(name)).unwrap();
    database.execute_batch(statements).unwrap();
    database.close().unwrap();
}

const MINDSDB: &str = "mindsdb.sqlite3.db";

/// The tables that the contract speaks of; a fresh database has the one project `mindsdb`.
fn with_mindsdb() -> Stack {
    let stack = Stack::new(AIDB);
    stack.write_settings(&json!({ "preset": "mindsdb", "mount": Value::Null }));
    std::fs::create_dir_all(stack.data()).unwrap();
    sql(
        &stack,
        MINDSDB,
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('6c840e4668bd')",
    );
    for table in [
        "integration",
        "project",
        "predictor",
        "file",
        "json_storage",
        "view",
    ] {
        let statements = format!(
            "CREATE TABLE \"{table}\" (id INTEGER PRIMARY KEY, name TEXT);
             INSERT INTO \"{table}\" (name) VALUES ('mindsdb'), ('b'), ('c'), ('d')"
        );
        sql(&stack, MINDSDB, &statements);
    }
    let _ = stack.run("aidb check").with(0);
    stack
}

#[test]
fn mindsdb_without_its_connections_is_told_and_what_somebody_drops_is_not() {
    for lost in ["integration", "project", "predictor"] {
        let stack = with_mindsdb();
        for table in ["integration", "project", "predictor"] {
            sql(
                &stack,
                MINDSDB,
                &format!("DELETE FROM {table} WHERE id > 1"),
            );
        }
        for table in ["file", "view", "json_storage"] {
            sql(&stack, MINDSDB, &format!("DELETE FROM \"{table}\""));
        }
        let dropped = stack.run("aidb check").with(0);
        assert!(!dropped.stdout.contains("[contract."), "{dropped}");
        sql(&stack, MINDSDB, &format!("DELETE FROM {lost}"));
        let gone = stack.run("aidb check").with(0);
        assert!(
            gone.stdout.contains("[contract.rows-shrunk]")
                && gone.stdout.contains(&format!("`{lost}`: 0, was 4")),
            "{gone}"
        );
    }
}

fn without_an_upload(stack: &Stack, uploads: &str) {
    let mut names = std::fs::read_dir(stack.data().join(uploads)).unwrap();
    std::fs::remove_file(names.next().unwrap().unwrap().path()).unwrap();
}

/// What the database stores is a path inside of the container: where its data is there, the preset knows.
#[test]
fn an_upload_that_is_missing_is_told_where_the_settings_name_no_mount() {
    let stack = with(LARGE);
    stack.write_settings(&json!({ "mount": Value::Null }));
    let whole = stack.run("aidb check").with(0);
    assert!(!whole.stdout.contains("[uploads."), "{whole}");
    without_an_upload(&stack, "uploads");
    let gone = stack.run("aidb check").with(0);
    assert!(gone.stdout.contains("[uploads.file-missing]"), "{gone}");
    // What a proof says of the copy stands in it.
    let taken = stack.run("aidb take --json").with(0).json();
    let id = taken["snapshots"][0]["id"].as_str().unwrap();
    let proof = std::fs::read_to_string(stack.vault().join(id).join("proof.json")).unwrap();
    assert!(proof.contains("\"uploads.file-missing\""), "{proof}");
}

/// Whoever has the stores elsewhere has another folder at that place.
#[test]
fn where_the_stores_lie_elsewhere_the_preset_does_not_know_what_a_stored_path_means() {
    let stack = with(LARGE);
    let inner = stack.data().with_file_name("inner");
    std::fs::rename(stack.data(), &inner).unwrap();
    std::fs::create_dir(stack.data()).unwrap();
    std::fs::rename(inner, stack.data().join("inner")).unwrap();
    stack.write_settings(&json!({
        "mount": Value::Null,
        "stores": { "chats": { "path": "inner/webui.db" }, "uploads": { "path": "inner/uploads" } },
    }));
    let check = stack.run("aidb check").with(0);
    assert!(!check.stdout.contains("[uploads."), "{check}");
}
