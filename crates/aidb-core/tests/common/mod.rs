//! A data folder, a vault, and snapshots of it without the tools.

#![allow(
    dead_code,
    missing_docs,
    reason = "each test program uses a part of it"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aidb_core::Result;
use aidb_core::guard::{Contract, Guard, Policy, Store, StoreKind};
use aidb_core::look::sqlite::Examiner;
use aidb_core::manifest::Pairing;
use aidb_core::memory::Memory;
use aidb_core::progress::Silent;
use aidb_core::vault::take::{self, Known, Request, Taken};
use aidb_core::vault::verify::{self, Reading, Verified};
use aidb_core::vault::{Snapshot, Vault, prove};
use rusqlite::Connection;

pub struct Bench {
    _folder: tempfile::TempDir,
    pub vault: Vault,
    pub guard: Guard,
}

impl Bench {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    pub fn below(folder: &Path) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("aidb-takes-")
            .tempdir_in(folder)
            .unwrap();
        let at = folder.path().canonicalize().unwrap();
        std::fs::create_dir(at.join("data")).unwrap();
        let guard = Guard {
            name: "g".into(),
            container: "g".into(),
            unit: None,
            data: at.join("data"),
            mount: None,
            preset: None,
            exclude: Vec::new(),
            stores: Vec::new(),
            policy: Policy::default(),
            migrations: std::collections::BTreeMap::new(),
            nested: Vec::new(),
        };
        Self {
            vault: Vault::at(&at.join("vault")),
            _folder: folder,
            guard,
        }
    }

    pub fn data(&self) -> PathBuf {
        self.guard.data.clone()
    }

    pub fn put(&self, path: &str, content: &str) {
        let path = self.data().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn mode(&self, path: &str, mode: u32) {
        let path = self.data().join(path);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Makes a database with rows, and a store of it.
    pub fn database(&self, path: &str, rows: u32) {
        let db = Connection::open(self.data().join(path)).unwrap();
        db.execute_batch("create table t(x)").unwrap();
        for row in 0..rows {
            db.execute("insert into t values (?)", [row]).unwrap();
        }
    }

    pub fn insert(&self, path: &str) {
        let db = Connection::open(self.data().join(path)).unwrap();
        db.execute("insert into t values (1)", []).unwrap();
    }

    fn guard_with_databases(&self) -> Guard {
        let mut guard = self.guard.clone();
        if self.data().join("webui.db").exists() {
            guard.stores.push(Store {
                name: "chats".into(),
                kind: StoreKind::Sqlite,
                path: "webui.db".into(),
                optional: false,
                contract: Contract::default(),
            });
        }
        guard
    }

    fn request<'a>(guard: &'a Guard, reason: &'a str) -> Request<'a> {
        Request {
            guard,
            reason,
            patience: Duration::from_millis(50),
            until: None,
            pairing: Pairing::default(),
            suspicious: None,
            invocation: None,
            known: Known::default(),
            cgroups: None,
            progress: &Silent,
        }
    }

    pub fn take(&self, reason: &str) -> Result<Taken> {
        self.take_until(reason, None)
    }

    pub fn take_until(&self, reason: &str, until: Option<Instant>) -> Result<Taken> {
        let guard = self.guard_with_databases();
        let request = Request {
            until,
            ..Self::request(&guard, reason)
        };
        take::take(&self.vault, &request)
    }

    /// Takes a snapshot and waits for the guard's lock as long as that needs.
    pub fn take_patiently(&self, reason: &str) -> Result<Taken> {
        let guard = self.guard_with_databases();
        let request = Request {
            patience: Duration::from_secs(60),
            ..Self::request(&guard, reason)
        };
        take::take(&self.vault, &request)
    }

    pub fn stop(&self, invocation: &str) -> Result<Taken> {
        let guard = self.guard_with_databases();
        let request = Request {
            invocation: Some(invocation.into()),
            ..Self::request(&guard, "stop")
        };
        take::take(&self.vault, &request)
    }

    pub fn prove(&self, snapshot: &Snapshot) -> Snapshot {
        let request = prove::Request {
            examiner: &Examiner::Here,
            memory: &Memory::default(),
            patience: Duration::from_secs(5),
            deadline: Duration::from_secs(60),
        };
        prove::prove(&self.vault, snapshot, &request).unwrap()
    }

    pub fn take_and_prove(&self, reason: &str) -> Snapshot {
        let proven = self.prove(&self.take(reason).unwrap().snapshot);
        assert!(proven.is_proven(), "{:?}", proven.refused);
        proven
    }

    /// Proves all there is, and returns the newest.
    pub fn prove_all(&self) -> Snapshot {
        let all = self.vault.snapshots("g").unwrap();
        let proven: Vec<_> = all.iter().map(|s| self.prove(s)).collect();
        proven.last().unwrap().clone()
    }

    /// Asserts that every snapshot is as its manifest says.
    pub fn verifies(&self) {
        for snapshot in self.vault.snapshots("g").unwrap() {
            let verified = verify::verify(&snapshot, &Reading::default(), &Silent).unwrap();
            assert_eq!(verified, Verified::default(), "{snapshot:?}");
        }
    }

    /// Returns whether files are copied here, because the filesystem shares no blocks.
    pub fn copies(&self) -> bool {
        self.put(".probe", "x");
        let source = std::fs::File::open(self.data().join(".probe")).unwrap();
        let target = tempfile::tempfile_in(self.data()).unwrap();
        let shares = aidb_core::capture::copy::share(&source, &target).unwrap();
        std::fs::remove_file(self.data().join(".probe")).unwrap();
        !shares
    }
}

/// Makes a snapshot ten seconds younger than it is, so that what it holds was not written just before it.
pub fn settle(snapshot: &Snapshot) {
    let path = snapshot.path.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let at = snapshot.summary.taken_at;
    let later = at + jiff::Span::new().seconds(10);
    let settled = text.replacen(&at.to_string(), &later.to_string(), 1);
    assert_ne!(text, settled);
    std::fs::write(&path, settled).unwrap();
}
