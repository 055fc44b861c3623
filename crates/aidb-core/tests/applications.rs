//! Each application's own terms: every variant raises the findings of its label and no others, and nothing changes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "a test that cannot be set up must fail"
)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aidb_core::capture::Root;
use aidb_core::guard::{Column, Contract, Guard, NestedMount, Policy, Store, StoreKind};
use aidb_core::judge::{self, Finding, Occasion};
use aidb_core::look::application::Terms;
use aidb_core::look::observation::GuardObservation;
use aidb_core::look::sqlite::Examiner;
use aidb_core::look::tour::MOST_NAMES;
use aidb_core::look::{Depth, Scratch, Way, Where, ollama, scan};
use aidb_core::memory::{Baseline, Memory};
use aidb_testkit::{Variant, tree_state};
use jiff::Timestamp;

const MOUNT: &str = "/app/backend/data";

fn store(name: &str, kind: StoreKind, path: &str) -> Store {
    Store {
        name: name.into(),
        kind,
        path: path.into(),
        optional: true,
        contract: Contract::default(),
    }
}

fn guard(data: &Path, stores: Vec<Store>) -> Guard {
    Guard {
        name: "g".into(),
        container: "g".into(),
        unit: None,
        data: data.into(),
        mount: Some(MOUNT.into()),
        preset: None,
        exclude: Vec::new(),
        stores,
        policy: Policy::default(),
        migrations: std::collections::BTreeMap::default(),
        nested: Vec::new(),
    }
}

fn look(guard: &Guard, deadline: Duration) -> GuardObservation {
    let folder = tempfile::tempdir().unwrap();
    let scratch = Scratch::new([folder.path().to_owned()]);
    let way = Way {
        examiner: &Examiner::Here,
        depth: Depth::Full,
        deadline: Instant::now() + deadline,
        place: Where::Live(&scratch),
        mount: guard.mount.as_deref().map(|m| (m, guard.data.as_path())),
        standing: None,
        damage_stands: false,
    };
    scan::guard(guard, &guard.data, &way)
}

fn judged(guard: &Guard, memory: &Memory) -> Vec<Finding> {
    let seen = look(guard, Duration::from_secs(60));
    judge::guard(guard, &seen, memory, Occasion::Start)
}

fn told(findings: &[Finding]) -> Vec<String> {
    let severity = |f: &Finding| format!("{:?}", f.severity).to_lowercase();
    findings
        .iter()
        .map(|f| format!("{} {}", f.id, severity(f)))
        .collect()
}

/// Builds each variant, looks at it as a folder of its own and as a folder below one, and compares with the label.
fn matrix(kind: StoreKind, build: fn(&Path), variants: &[Variant]) {
    let mut wrong = 0;
    for variant in variants {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        build(&data.join("below"));
        (variant.change)(&data.join("below"));
        let before = tree_state(&data);
        for (data, path) in [(data.clone(), "below"), (data.join("below"), ".")] {
            if !data.exists() {
                continue;
            }
            let findings = judged(
                &guard(&data, vec![store("s", kind, path)]),
                &Memory::default(),
            );
            let found = told(&findings);
            let is_right = found == variant.expect;
            wrong += usize::from(!is_right);
            println!(
                "{} {kind:?}: {}: {found:?}, expected {:?}; {:?}",
                if is_right { "ok   " } else { "WRONG" },
                variant.name,
                variant.expect,
                findings.iter().map(|f| &f.evidence).collect::<Vec<_>>(),
            );
            for finding in &findings {
                assert!(finding.evidence.is_some(), "{finding:?}");
                let has_way = finding.next.iter().any(|s| s.arguments[0] == "allow");
                let held = finding.severity == judge::Severity::Hold;
                assert_eq!(has_way, held, "{finding:?}");
            }
        }
        assert_eq!(before, tree_state(&data), "{} was touched", variant.name);
    }
    assert_eq!(wrong, 0, "of {} variants", variants.len());
}

#[test]
fn every_variant_of_ollama_is_told_by_its_label() {
    matrix(
        StoreKind::Ollama,
        aidb_testkit::ollama::build,
        aidb_testkit::ollama::VARIANTS,
    );
}

#[test]
fn every_variant_of_qdrant_is_told_by_its_label() {
    matrix(
        StoreKind::Qdrant,
        aidb_testkit::qdrant::build,
        aidb_testkit::qdrant::VARIANTS,
    );
}

#[test]
fn every_variant_of_chroma_is_told_by_its_label() {
    matrix(
        StoreKind::Chroma,
        aidb_testkit::chroma::build,
        aidb_testkit::chroma::VARIANTS,
    );
}

/// The folder is always there: it is what the container mounts.
#[test]
fn a_folder_of_chroma_without_its_database_has_lost_it_if_it_was_known() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    aidb_testkit::chroma::build(data);
    let guard = guard(data, vec![store("v", StoreKind::Chroma, ".")]);
    let seen = look(&guard, Duration::from_secs(60)).stores[0]
        .seen()
        .unwrap();
    let mut memory = Memory::default();
    let baseline = Baseline::from_look(seen, Timestamp::UNIX_EPOCH);
    memory.stores.insert("v".into(), baseline);
    assert!(judged(&guard, &memory).is_empty());

    let database = data.join("chroma.sqlite3");
    std::fs::remove_file(&database).unwrap();
    assert!(judged(&guard, &Memory::default()).is_empty());
    let findings = judged(&guard, &memory);
    assert_eq!(told(&findings), ["store.missing hold"]);
    assert_eq!(findings[0].what, "`chroma.sqlite3` is gone");
    assert_eq!(findings[0].path, Some(database.clone()));

    std::fs::create_dir(&database).unwrap();
    let findings = judged(&guard, &memory);
    assert_eq!(told(&findings), ["store.special-file hold"]);
    assert_eq!(findings[0].what, "a folder stands where a database belongs");
}

#[test]
fn a_blob_whose_content_is_not_its_name_is_found_by_hashing_alone() {
    let folder = tempfile::tempdir().unwrap();
    aidb_testkit::ollama::build(folder.path());
    let blob = aidb_testkit::ollama::weights(folder.path(), "llama3.2/3b");
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&blob, bytes).unwrap();

    let guard = guard(folder.path(), vec![store("m", StoreKind::Ollama, ".")]);
    assert!(judged(&guard, &Memory::default()).is_empty());
    let root = Root::open(folder.path()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let hashed = ollama::verify_blobs(&root, Path::new("."), deadline);
    assert_eq!(
        (hashed.verified, hashed.differing.count, hashed.complete),
        (4, 1, true)
    );
    let late = ollama::verify_blobs(&root, Path::new("."), Instant::now());
    assert!(!late.complete);

    let mut seen = look(&guard, Duration::from_secs(60));
    let Some(Terms::Ollama(found)) = seen.stores[0].application.as_mut().map(|a| &mut a.terms)
    else {
        panic!("{seen:?}")
    };
    found.hashed = Some(hashed);
    let findings = judge::guard(&guard, &seen, &Memory::default(), Occasion::Report);
    assert_eq!(told(&findings), ["ollama.blob-hash warn"]);
}

#[test]
fn models_that_went_are_told_when_they_were_known() {
    let folder = tempfile::tempdir().unwrap();
    aidb_testkit::ollama::build(folder.path());
    let guard = guard(folder.path(), vec![store("m", StoreKind::Ollama, ".")]);
    let seen = look(&guard, Duration::from_secs(60)).stores[0]
        .seen()
        .unwrap();
    assert_eq!((seen.rows["model"], seen.rows["blob"]), (2, 5));
    let mut memory = Memory::default();
    let baseline = Baseline::from_look(seen, Timestamp::UNIX_EPOCH);
    memory.stores.insert("m".into(), baseline);
    assert!(judged(&guard, &memory).is_empty());

    std::fs::remove_file(aidb_testkit::ollama::manifest_path(
        folder.path(),
        "qwen2.5/0.5b",
    ))
    .unwrap();
    assert_eq!(told(&judged(&guard, &memory)), ["ollama.no-manifests warn"]);

    std::fs::remove_dir_all(folder.path().join("manifests")).unwrap();
    std::fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    assert_eq!(
        told(&judged(&guard, &memory)),
        ["contract.rows-shrunk warn"]
    );
}

/// A guard like Open WebUI's, whose database names these paths.
fn open_webui(data: &Path, paths: &[&str]) -> Guard {
    std::fs::create_dir_all(data.join("uploads")).unwrap();
    let db = rusqlite::Connection::open(data.join("webui.db")).unwrap();
    db.execute_batch("create table file(id, path text)")
        .unwrap();
    for path in paths {
        db.execute("insert into file values (1, ?1)", [path])
            .unwrap();
    }
    let mut chats = store("chats", StoreKind::Sqlite, "webui.db");
    chats.contract.files = Some(Column {
        table: "file".into(),
        column: "path".into(),
    });
    guard(
        data,
        vec![chats, store("uploads", StoreKind::Files, "uploads")],
    )
}

#[test]
fn uploads_that_the_database_names_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir_all(&elsewhere).unwrap();
    let mut guard = open_webui(
        &data,
        &[
            "/app/backend/data/uploads/there",
            "/app/backend/data/uploads/gone-1",
            "/app/backend/data/uploads/gone-2",
            "/app/backend/data/uploads/gone-2",
            "/app/backend/data/uploads/link",
            "/app/backend/data/uploads/folder",
            "/app/backend/data/uploads/../../../etc/passwd",
            "/app/backend/data/big/there",
            "/app/backend/data/big/gone",
            "/app/backend/data/memory/gone",
            "/other/uploads/gone",
            "s3://bucket/gone",
            "https://example.org/gone",
            "relative/gone",
            "",
        ],
    );
    guard.nested = vec![
        NestedMount {
            below: PathBuf::from("big"),
            host: Some(elsewhere.clone()),
        },
        NestedMount {
            below: PathBuf::from("memory"),
            host: None,
        },
    ];
    std::fs::write(data.join("uploads/there"), "x").unwrap();
    std::fs::write(elsewhere.join("there"), "x").unwrap();
    std::os::unix::fs::symlink("there", data.join("uploads/link")).unwrap();
    std::fs::create_dir(data.join("uploads/folder")).unwrap();

    let findings = judged(&guard, &Memory::default());
    assert_eq!(told(&findings), ["uploads.file-missing warn"]);
    insta::assert_snapshot!(findings[0].what, @"5 of 7 uploaded files that the database names are not there");
    insta::assert_snapshot!(findings[0].evidence.as_deref().unwrap(), @"`big/gone`; `uploads/folder` is a folder; `uploads/gone-1`; and 2 more");
    // The database itself is healthy, and is remembered.
    let seen = look(&guard, Duration::from_secs(60));
    assert!(
        seen.stores[0]
            .database
            .as_ref()
            .unwrap()
            .opened
            .as_ref()
            .unwrap()
            .values
            .is_empty()
    );

    let other = Guard {
        mount: None,
        ..guard
    };
    assert!(judged(&other, &Memory::default()).is_empty());
}

#[test]
fn a_database_without_the_column_says_nothing_about_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let guard = open_webui(folder.path(), &[]);
    rusqlite::Connection::open(folder.path().join("webui.db"))
        .unwrap()
        .execute_batch(
            "drop table file; create table file(id, filename); insert into file values (1, 'x')",
        )
        .unwrap();
    assert!(judged(&guard, &Memory::default()).is_empty());
}

#[test]
fn a_file_stands_where_mindsdb_keeps_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("storage")).unwrap();
    std::fs::write(folder.path().join("content"), "x").unwrap();
    let stores = ["content", "storage"].map(|n| store(n, StoreKind::Files, n));
    let mut guard = guard(folder.path(), stores.into());
    guard.preset = Some("mindsdb".into());
    assert_eq!(
        told(&judged(&guard, &Memory::default())),
        ["store.special-file hold"]
    );
}

#[test]
fn a_tree_with_too_many_names_is_said_and_is_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    aidb_testkit::ollama::build(folder.path());
    for n in 0..=MOST_NAMES {
        std::fs::File::create(folder.path().join(format!("blobs/{n}"))).unwrap();
    }
    // What a manifest names is looked for by its name all the same.
    std::fs::remove_file(aidb_testkit::ollama::weights(folder.path(), "llama3.2/3b")).unwrap();
    let ollama = guard(folder.path(), vec![store("m", StoreKind::Ollama, ".")]);
    let began = Instant::now();
    assert_eq!(
        told(&judged(&ollama, &Memory::default())),
        ["ollama.blob-missing warn", "check.could-not info"]
    );
    println!("looked twice at 100,000 names in {:?}", began.elapsed());

    std::fs::rename(
        folder.path().join("blobs"),
        folder.path().join("collections"),
    )
    .unwrap();
    let qdrant = guard(folder.path(), vec![store("m", StoreKind::Qdrant, ".")]);
    assert_eq!(
        told(&judged(&qdrant, &Memory::default())),
        ["check.could-not info"]
    );
}

#[test]
fn a_look_without_time_says_so_and_concludes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    aidb_testkit::qdrant::build(folder.path());
    std::fs::remove_dir_all(folder.path().join("collections/docs/0/wal")).unwrap();
    let guard = guard(folder.path(), vec![store("c", StoreKind::Qdrant, ".")]);
    let seen = look(&guard, Duration::ZERO);
    let findings = judge::guard(&guard, &seen, &Memory::default(), Occasion::Start);
    assert_eq!(told(&findings), ["check.deadline warn"]);
}
