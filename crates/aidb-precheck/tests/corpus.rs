//! The matrix: every case of the corpus, what was raised, what was expected. One miss or one false alarm fails it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::fmt::Write as _;

use aidb_testkit::corpus::{Case, Corpus, copy_tree};
use aidb_testkit::{Stack, on_every_core, tree_state};
use serde_json::{Value, json};

const TOOL: &str = env!("CARGO_BIN_EXE_aidb-precheck");

/// Which findings say what a label calls by this word.
fn finding_ids(verdict: &str) -> &'static [&'static str] {
    match verdict {
        "empty" => &["sqlite.empty-file", "sqlite.no-tables"],
        "not_a_database" => &["sqlite.not-sqlite"],
        "corrupt" => &[
            "sqlite.damaged",
            "sqlite.truncated",
            "sqlite.wal-foreign",
            "sqlite.journal-foreign",
            "chroma.index-missing",
            "chroma.index-truncated",
            "qdrant.segment-bad",
            "qdrant.json-bad",
            "qdrant.wal-bad",
        ],
        "unsupported" => &["sqlite.unsupported"],
        "inconsistent" => &[
            "sqlite.index-disagrees",
            "sqlite.foreign-key",
            "chroma.index-missing",
        ],
        "wrong_database" | "schema_incomplete" => &["contract.table-missing"],
        "half_migrated" => &["contract.half-migrated"],
        "data_loss" => &[
            "contract.rows-shrunk",
            "contract.other-database",
            "qdrant.segment-bad",
            "sqlite.wal-torn",
        ],
        "silent_change" => &["sqlite.damaged"],
        "unsafe_path" => &["store.special-file", "store.symlink"],
        "missing" => &["store.missing"],
        _ => &[],
    }
}

/// What a check raised: ids of findings that are more than information, and the verdict.
#[derive(Debug)]
struct Raised {
    alarms: Vec<String>,
    verdict: String,
    status: i32,
}

fn check(corpus: &Corpus, case: &Case, with_baseline: bool) -> Option<Raised> {
    let stack = Stack::new(TOOL);
    stack.write_settings(&if case.app == "chroma" && !corpus.is_whole(case) {
        let contract = json!({ "tables": ["migrations", "collections", "segments", "embeddings", "embeddings_queue"],
            "maxShrinkPercent": { "embeddings": 80 } });
        let store = json!({ "kind": "sqlite", "path": "chroma.sqlite3", "contract": contract });
        json!({ "preset": Value::Null, "mount": Value::Null, "stores": { "vectors": store } })
    } else {
        let mut guard = json!({ "preset": case.app, "mount": Value::Null });
        if case.app == "open-webui" && !corpus.is_whole(case) {
            // It is the database alone, without the files that it names.
            guard["stores"]["chats"]["contract"]["files"] = Value::Null;
        }
        guard
    });
    if with_baseline {
        if !corpus.put_base(case, &stack.data()) {
            return None;
        }
        let healthy = stack.run("aidb-precheck check");
        assert_eq!(
            healthy.status, 0,
            "{}: its base is not healthy:\n{healthy}",
            case.id
        );
        std::fs::remove_dir_all(stack.data()).unwrap();
    }
    copy_tree(&corpus.folder(&case.id), &stack.data());
    let before = tree_state(&stack.data());
    let ran = stack.run("aidb-precheck check --json");
    assert_eq!(
        before,
        tree_state(&stack.data()),
        "{}: looking changed the data",
        case.id
    );
    let document: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{}: {e}:\n{ran}", case.id));
    let findings = document["guards"][0]["findings"].as_array().unwrap();
    let alarms = findings
        .iter()
        .filter(|f| f["severity"] != "info")
        .map(|f| f["id"].as_str().unwrap().to_owned());
    Some(Raised {
        alarms: alarms.collect(),
        verdict: document["verdict"].as_str().unwrap().to_owned(),
        status: ran.status,
    })
}

/// Returns what is wrong with what was raised, if anything.
fn miss(case: &Case, raised: &Raised, with_baseline: bool) -> Option<&'static str> {
    let fits = |id: &String| {
        case.verdicts
            .iter()
            .any(|v| finding_ids(v).contains(&id.as_str()))
    };
    let must =
        case.alarm == "required" || (with_baseline && case.alarm == "required_with_baseline");
    let agrees =
        raised.status == i32::from(raised.verdict == "hold") || raised.verdict == "unknown";
    match case.alarm.as_str() {
        _ if !agrees => Some("STATUS"),
        "forbidden" if !raised.alarms.is_empty() => Some("FALSE ALARM"),
        _ if must && !raised.alarms.iter().any(fits) => Some("MISSED"),
        _ => None,
    }
}

#[test]
fn every_damage_of_the_corpus_is_found_without_a_false_alarm_and_without_touching_it() {
    let corpus = Corpus::unpack();
    let mut matrix = String::new();
    let (mut wrong, mut checks) = (0, 0);
    let found = on_every_core(&corpus.cases, |case| {
        [false, true].map(|with_baseline| check(&corpus, case, with_baseline))
    });
    for (case, found) in corpus.cases.iter().zip(found) {
        for (with_baseline, raised) in [false, true].into_iter().zip(found) {
            let Some(raised) = raised else {
                continue;
            };
            checks += 1;
            let miss = miss(case, &raised, with_baseline);
            wrong += usize::from(miss.is_some());
            let known = if with_baseline { "known before" } else { "-" };
            writeln!(
                matrix,
                "{:<28} {:<23} {known:<13} {:<8} {:<60} {}",
                case.id,
                case.alarm,
                raised.verdict,
                raised.alarms.join(" "),
                miss.unwrap_or("ok")
            )
            .unwrap();
        }
    }
    println!(
        "{matrix}{} cases, {checks} checks, {wrong} wrong",
        corpus.cases.len()
    );
    assert_eq!(
        wrong,
        0,
        "\n{}",
        matrix
            .lines()
            .filter(|l| !l.ends_with("ok"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}
