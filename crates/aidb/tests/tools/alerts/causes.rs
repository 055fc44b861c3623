//! Causes that neither the corpus nor our own cases have, each brought about by what makes it in life.

use std::path::{Path, PathBuf};

use aidb_testkit::{Stack, Variant, chroma, ollama, qdrant};
use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::killed::interrupted;
use crate::{LARGE, SMALL};

/// One cause, and the finding that has to be told of it.
pub(super) struct Cause {
    pub(super) id: &'static str,
    /// Laid over the guard of the settings.
    pub(super) guard: Value,
    /// Lays out the healthy state.
    pub(super) base: Box<dyn Fn(&Stack) + Sync>,
    /// Makes it go wrong.
    pub(super) happens: Box<dyn Fn(&Stack) + Sync>,
    /// What is run then.
    pub(super) looks: &'static [&'static str],
}

pub(super) const ONE_LOOK: &[&str] = &["aidb-monitor check"];

/// Returns every cause.
pub(super) fn all() -> Vec<Cause> {
    let mut all = of_open_webui();
    for (id, preset) in OF_APPLICATIONS {
        all.push(of_application(id, preset));
    }
    all
}

fn of_open_webui() -> Vec<Cause> {
    let cause = |id, fixture: &'static str, happens: fn(&Stack)| Cause {
        id,
        guard: json!({}),
        base: Box::new(move |stack| aidb_testkit::unpack(fixture, &stack.data())),
        happens: Box::new(happens),
        looks: ONE_LOOK,
    };
    vec![
        cause("sqlite.foreign-key", SMALL, |stack| {
            sql(
                stack,
                "INSERT INTO oauth_session VALUES ('s', 'nobody', 'p', 't', 1, 1, 1)",
            );
        }),
        cause("sqlite.unsafe-schema", SMALL, |stack| {
            sql(
                stack,
                "CREATE TRIGGER t AFTER INSERT ON tag BEGIN SELECT load_extension('/tmp/x.so'); END",
            );
        }),
        cause("contract.revision-unknown", SMALL, |stack| {
            sql(stack, "INSERT INTO alembic_version VALUES ('c440947495f3')");
        }),
        cause("uploads.file-missing", LARGE, |stack| {
            std::fs::remove_file(first_in(&stack.data().join("uploads"))).unwrap();
        }),
        cause("snapshot.hash", SMALL, |stack| {
            let _ = stack.run("aidb take").with(0);
            let snapshot = first_in(&stack.vault().join("open-webui"));
            let file = first_in(&snapshot.join("data/uploads"));
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&file, mode).unwrap();
            aidb_testkit::damage::flip_bit(&file);
            let _ = stack.run("aidb verify").with(1);
        }),
        cause("restore.unfinished", SMALL, |stack| {
            let _ = stack.run("aidb take").with(0);
            restore_that_is_killed(stack);
        }),
        Cause {
            looks: &["aidb-monitor check --deadline 0s"; 2],
            ..cause("check.deadline", LARGE, |stack| {
                sql(stack, "UPDATE chat SET title = title || '!'");
            })
        },
    ]
}

/// What the testkit can do to a store of each kind.
const OF_APPLICATIONS: &[(&str, &str)] = &[
    ("ollama.blob-missing", "ollama"),
    ("ollama.blob-size", "ollama"),
    ("ollama.manifest-bad", "ollama"),
    ("ollama.no-manifests", "ollama"),
    ("qdrant.segment-bad", "qdrant"),
    ("qdrant.json-bad", "qdrant"),
    ("qdrant.wal-bad", "qdrant"),
    ("chroma.index-missing", "chroma"),
    ("chroma.index-truncated", "chroma"),
];

fn of_application(id: &'static str, preset: &'static str) -> Cause {
    let (folder, build, variants): (_, fn(&Path), &[Variant]) = match preset {
        "ollama" => ("models", ollama::build, ollama::VARIANTS),
        "qdrant" => ("", qdrant::build, qdrant::VARIANTS),
        _ => ("", chroma::build, chroma::VARIANTS),
    };
    let raises = |v: &&Variant| {
        let told = |label: &&str| label.starts_with(id) && !label.ends_with(" info");
        v.expect.iter().any(told)
    };
    let change = variants.iter().find(raises).unwrap().change;
    Cause {
        id,
        guard: json!({ "preset": preset, "mount": Value::Null }),
        base: Box::new(move |stack| build(&stack.data().join(folder))),
        happens: Box::new(move |stack| change(&stack.data().join(folder))),
        looks: ONE_LOOK,
    }
}

fn main_file(stack: &Stack) -> PathBuf {
    stack.data().join("webui.db")
}

fn sql(stack: &Stack, statements: &str) {
    let database = Connection::open(main_file(stack)).unwrap();
    database
        .execute_batch(&format!("PRAGMA foreign_keys=OFF; {statements}"))
        .unwrap();
    database.close().unwrap();
}

/// Returns the path of the first name in a folder that is no `.lock`.
fn first_in(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    paths.retain(|p| !p.ends_with(".lock"));
    paths.sort();
    paths.remove(0)
}

/// The moment at which the promise is written and not yet kept is short, so it is tried until it was met.
fn restore_that_is_killed(stack: &Stack) {
    let intent = stack.vault().join("open-webui/restore.intent");
    for _ in 0..200 {
        interrupted(
            stack,
            "aidb-snapshot restore open-webui --only uploads",
            Signal::KILL,
            |_| intent.exists(),
        );
        if intent.exists() {
            return;
        }
    }
    panic!("no restore was killed in the middle");
}
