//! Files that cannot be linked, each for its own reason: they are shared or copied, and nothing else is.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up must fail"
)]

mod common;

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aidb_core::guard::{Contract, Store, StoreKind};
use aidb_core::manifest::{How, Kind};
use aidb_core::vault::Snapshot;
use aidb_testkit::disk::Disk;
use rustix::fs::IFlags;
use sha2::{Digest as _, Sha256};

use common::{Bench, settle};

/// How bytes come into the vault there when they cannot be linked.
const KINDS: [(&str, How); 3] = [
    ("ext4", How::Copy),
    ("btrfs", How::Reflink),
    ("xfs", How::Reflink),
];

/// A mount over a folder, gone with this.
struct Bind(PathBuf);

impl Bind {
    fn over(folder: &Path) -> Self {
        let bind = Command::new("mount")
            .arg("--bind")
            .args([folder, folder])
            .status();
        assert!(bind.unwrap().success());
        Self(folder.to_owned())
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg(&self.0).status();
        assert!(gone.unwrap().success());
    }
}

fn how(snapshot: &Snapshot, path: &str) -> How {
    let manifest = snapshot.manifest().unwrap();
    let (_, entry) = manifest
        .files()
        .find(|(p, _)| p.as_path() == Path::new(path))
        .unwrap();
    match entry.kind {
        Kind::File { how, .. } => how,
        _ => panic!("`{path}` is no file"),
    }
}

/// Takes and proves a snapshot, makes that one of its files refuse to be linked, and takes the next: that file comes as
/// `expected`, its neighbour as a link.
fn falls_back(disk: &Disk, expected: How, refuse: impl FnOnce(&Path)) {
    let bench = Bench::below(&disk.path());
    bench.put("uploads/refuses", "the same");
    bench.put("uploads/deep/links", "the same, too");
    bench.put("changes", "before");
    bench.database("webui.db", 10);
    let first = bench.take_and_prove("manual");
    settle(&first);
    refuse(&first.data().join("uploads/refuses"));
    bench.put("changes", "after");
    let second = bench.take_and_prove("manual");
    assert_eq!(how(&second, "uploads/refuses"), expected);
    let read = std::fs::read_to_string(second.data().join("uploads/refuses"));
    assert_eq!(read.unwrap(), "the same");
    for path in ["uploads/deep/links", "webui.db"] {
        assert_eq!(how(&second, path), How::Link, "{path}");
    }
    bench.verifies();
}

#[test]
fn a_file_with_as_many_names_as_there_can_be_is_copied() {
    // The most of ext4 is 65,000; Btrfs has 65,535 in one folder, XFS four billion.
    let Some(disk) = Disk::new("ext4", 256, "too many names (EMLINK)") else {
        return;
    };
    falls_back(&disk, How::Copy, |base| {
        let names = disk.path().join("names");
        std::fs::create_dir(&names).unwrap();
        let mut n = 0;
        let refused = loop {
            if let Err(e) = std::fs::hard_link(base, names.join(n.to_string())) {
                break e;
            }
            n += 1;
        };
        assert_eq!(
            refused.raw_os_error(),
            Some(31),
            "EMLINK after {n}: {refused}"
        );
    });
}

#[test]
fn a_file_that_nobody_may_link_is_shared_or_copied() {
    for (kind, expected) in KINDS {
        let Some(disk) = Disk::new(kind, 512, "a file that may not be linked (EPERM)") else {
            continue;
        };
        falls_back(&disk, expected, |base| {
            let file = File::open(base).unwrap();
            let flags = rustix::fs::ioctl_getflags(&file).unwrap();
            rustix::fs::ioctl_setflags(&file, flags | IFlags::IMMUTABLE).unwrap();
            let refused = std::fs::hard_link(base, disk.path().join("probe")).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        });
    }
}

#[test]
fn a_file_beyond_a_mount_is_shared_or_copied() {
    for (kind, expected) in KINDS {
        let Some(disk) = Disk::new(kind, 512, "a file beyond a mount (EXDEV)") else {
            continue;
        };
        let mut mounted = None;
        falls_back(&disk, expected, |base| {
            // One filesystem, and the kernel links across no mount all the same.
            mounted = Some(Bind::over(base));
            let refused = std::fs::hard_link(base, disk.path().join("probe")).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::CrossesDevices);
        });
    }
}

/// A data folder that is a mount of its own, as people bind one from another place: blobs cannot be linked from there.
#[test]
fn a_blob_of_data_beyond_a_mount_is_copied() {
    let Some(disk) = Disk::new("ext4", 256, "a blob beyond a mount (EXDEV)") else {
        return;
    };
    let mut bench = Bench::below(&disk.path());
    let _mount = Bind::over(&bench.data());
    bench.guard.stores.push(Store {
        name: "models".into(),
        kind: StoreKind::Ollama,
        path: "models".into(),
        optional: false,
        contract: Contract::default(),
    });
    let digest = format!("{:x}", Sha256::digest("the model"));
    let blob = format!("models/blobs/sha256-{digest}");
    bench.put(&blob, "the model");
    let layer = serde_json::json!({ "digest": format!("sha256:{digest}"), "size": 9 });
    bench.put(
        "models/manifests/registry.ollama.ai/library/m/latest",
        &serde_json::json!({ "layers": [layer] }).to_string(),
    );
    let taken = bench.take("manual").unwrap();
    assert_eq!(how(&taken.snapshot, &blob), How::Copy);
    let inode = |path: PathBuf| std::fs::metadata(path).unwrap().ino();
    let (live, kept) = (bench.data().join(&blob), taken.snapshot.data().join(&blob));
    assert_ne!(inode(live), inode(kept));
    assert!(taken.verified.is_empty());
}
