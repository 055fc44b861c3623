//! What hostile bytes may reach, one function for each kind: whatever they are, it returns, and says whether they were
//! understood. And seeds to begin from, which are.

use std::path::Path;

use aidb_core::discover::container_unit::{UnitFile, expand};
use aidb_core::discover::mount_lines::{parse_arguments, parse_mount, parse_volume};
use aidb_core::look::sqlite::{Files, ReadAt, read};
use aidb_core::settings::{Environment, read::parse};
use aidb_core::vault::Manifest;
use rusqlite::Connection;

/// The reader: a main file, a log and a journal, behind the lengths of the first two.
pub fn sqlite(bytes: &[u8]) -> bool {
    let length = |at: usize| {
        let four = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        four.map_or(0, u32::from_le_bytes) as usize
    };
    let rest = bytes.get(8..).unwrap_or_default();
    let (main, rest) = rest.split_at(length(0).min(rest.len()));
    let (wal, journal) = rest.split_at(length(4).min(rest.len()));
    let [main, wal, journal] = [main, wal, journal].map(<[u8]>::to_vec);
    let some = |part| Some(part as &dyn ReadAt);
    let facts = read(&Files {
        main: some(&main),
        wal: some(&wal),
        journal: some(&journal),
    });
    assert_eq!(facts.truncated, facts.missing_pages > 0);
    let _ = (
        facts.never_initialised(),
        facts.was_emptied(),
        facts.tables(),
    );
    assert!(serde_json::to_string(&facts).is_ok());
    facts.schema.is_ok()
}

/// stack.json.
pub fn settings(bytes: &[u8]) -> bool {
    let home = Environment::of_home(Path::new("/home/alice"));
    let text = String::from_utf8_lossy(bytes);
    let Ok(settings) = parse(&text, Path::new("/stack.json"), &home) else {
        return false;
    };
    assert!(settings.vault.is_absolute());
    assert!(settings.guards.iter().all(|g| g.data.is_absolute()));
    true
}

/// Units: the file, and what stands in its values.
pub fn unit(bytes: &[u8]) -> bool {
    let home = Environment::of_home(Path::new("/home/alice"));
    let text = String::from_utf8_lossy(bytes);
    let mut file = UnitFile::default();
    let _ = file.read(&text);
    let mut values = 0;
    for key in ["Volume", "Mount", "ExecStart", "PodmanArgs", "Image"] {
        for section in ["Container", "Service"] {
            for value in file.all(section, key) {
                values += 1;
                let _ = expand(value, &home);
                let _ = parse_volume(value, &home);
                let _ = parse_mount(value, &home);
            }
            let _ = parse_arguments(&file.words(section, key), &home);
        }
    }
    values > 0
}

/// A snapshot's manifest. What was understood can be written, and is then understood as the same.
pub fn manifest(bytes: &[u8]) -> bool {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else {
        return false;
    };
    let _ = (manifest.content_id(), manifest.files().count());
    let text = serde_json::to_vec(&manifest).expect("a manifest has only string keys");
    let again = serde_json::from_slice::<Manifest>(&text);
    assert_eq!(again.expect("what was written by us"), manifest);
    true
}

/// What is fuzzed: a program of this name in `targets/`, what it calls, and what it begins from.
pub struct Target {
    pub name: &'static str,
    pub entry: fn(&[u8]) -> bool,
    pub seeds: Vec<Vec<u8>>,
}

/// Returns every target.
pub fn targets() -> [Target; 4] {
    let target = |name, entry, seeds| Target { name, entry, seeds };
    [
        target("sqlite", sqlite, databases()),
        target("settings", settings, texts(SETTINGS)),
        target("unit", unit, texts(UNITS)),
        target("manifest", manifest, texts(MANIFESTS)),
    ]
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

const SETTINGS: &[&str] = &[
    r#"{ "schema": 1, "vault": "/v", "guards": { "w": { "data": "~/w", "preset": "open-webui", "mount": "/app/backend/data" } } }"#,
    r#"{ "schema": 1, "vault": "/v", "keep": { "last": 3 }, "guards": { "w": { "data": "/w", "exclude": ["cache/**"], "stores": { "a": {
       "kind": "sqlite", "path": "a.db", "contract": { "tables": ["user"], "maxShrinkPercent": { "user": 50 } } } },
       "policy": { "damaged": "hold" } } } }"#,
];

const UNITS: &[&str] = &[
    "[Container]\nImage=ghcr.io/open-webui/open-webui:main\nVolume=%h/ai:/app/backend/data:Z\nMount=type=bind,source=/a,target=/b\n\
     PodmanArgs=-v \"/x y:/z\" --tmpfs /t \\\n  --mount type=volume,src=v,dst=/d\n",
    "[Service]\nExecStart=/usr/bin/podman run --rm -v /a:/b:ro --env 'A=b' image\n# x\n;y\n\n[Container]\nVolume=\n",
];

/// What `take` wrote of a small folder.
const MANIFESTS: &[&str] = &[include_str!("manifest.seed.json")];

/// A database with a log, one with a hot journal, and one that is closed.
fn databases() -> Vec<Vec<u8>> {
    let tables = "PRAGMA page_size=512; CREATE TABLE a(x UNIQUE, y DEFAULT 'zz'); CREATE INDEX i ON a(y);
         CREATE VIEW v AS SELECT 1; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO a SELECT i, zeroblob(100) FROM n;";
    [
        "PRAGMA journal_mode=WAL; CREATE TABLE b(x); INSERT INTO a VALUES ('w', zeroblob(900))",
        "PRAGMA cache_size=2; BEGIN; UPDATE a SET y = zeroblob(101); CREATE TABLE b(x)",
        "SELECT 1",
    ]
    .iter()
    .map(|last| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a");
        let db = Connection::open(&path).expect("a new database");
        db.execute_batch(tables).expect("the tables");
        db.execute_batch(last).expect("the last statements");
        let part = |suffix: &str| {
            std::fs::read(folder.path().join(format!("a{suffix}"))).unwrap_or_default()
        };
        let [main, wal, journal] = ["", "-wal", "-journal"].map(part);
        let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(0).to_le_bytes();
        [&length(&main)[..], &length(&wal), &main, &wal, &journal].concat()
    })
    .collect()
}
