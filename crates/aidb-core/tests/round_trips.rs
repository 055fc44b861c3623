//! What is taken comes back: random trees, on every filesystem that can be had here.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up must fail"
)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use aidb_core::vault::restore::{self, Options};
use aidb_testkit::disk::Disk;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};

use common::{Bench, settle};

/// One thing in a tree.
#[derive(Debug, Clone)]
enum Node {
    Folder,
    /// Runs of bytes at offsets, the rest holes, and a length.
    File(Vec<(u64, Vec<u8>)>, u64),
    Symlink(Vec<u8>),
    /// Another name of the nth file, if there is one.
    Link(usize),
}

#[derive(Debug, Clone)]
struct Made {
    folder: usize,
    name: Vec<u8>,
    node: Node,
    mode: u32,
    mtime: u64,
    xattr: Option<Vec<u8>>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    // Any bytes but the two that no name has; `-` and dots, newlines and broken UTF-8 included.
    prop::collection::vec(
        any::<u8>().prop_filter("no name", |b| *b != 0 && *b != b'/'),
        1..12,
    )
    .prop_filter("no name", |n| n != b"." && n != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let run = (0..200_000_u64, prop::collection::vec(any::<u8>(), 0..5000));
    prop_oneof![
        2 => Just(Node::Folder),
        5 => (prop::collection::vec(run, 0..3), 0..400_000_u64).prop_map(|(r, l)| Node::File(r, l)),
        1 => name().prop_map(Node::Symlink),
        1 => any::<usize>().prop_map(Node::Link),
    ]
}

fn tree() -> impl Strategy<Value = Vec<Made>> {
    let made = (
        any::<usize>(),
        name(),
        node(),
        prop::sample::select(vec![0o400, 0o600, 0o644, 0o700, 0o755, 0o444, 0o500]),
        1_000_000_000..1_700_000_000_u64,
        prop::option::of(prop::collection::vec(any::<u8>(), 1..50)),
    );
    prop::collection::vec(
        made.prop_map(|(folder, name, node, mode, mtime, xattr)| Made {
            folder,
            name,
            node,
            mode,
            mtime,
            xattr,
        }),
        0..25,
    )
}

fn build(root: &Path, tree: &[Made]) {
    let mut folders = vec![root.to_owned()];
    let mut files: Vec<PathBuf> = Vec::new();
    let mut finish = Vec::new();
    for made in tree {
        let path = folders[made.folder % folders.len()].join(OsString::from_vec(made.name.clone()));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match &made.node {
            Node::Folder => {
                std::fs::create_dir(&path).unwrap();
                folders.push(path.clone());
                finish.push((path, made.mode | 0o700, made));
            }
            Node::File(runs, length) => {
                let file = File::create(&path).unwrap();
                file.set_len(*length).unwrap();
                for (at, bytes) in runs {
                    file.write_all_at(bytes, *at).unwrap();
                }
                files.push(path.clone());
                finish.push((path, made.mode, made));
            }
            Node::Symlink(target) => {
                std::os::unix::fs::symlink(OsString::from_vec(target.clone()), &path).unwrap();
            }
            Node::Link(nth) if !files.is_empty() => {
                std::fs::hard_link(&files[nth % files.len()], &path).unwrap();
            }
            Node::Link(_) => {}
        }
    }
    for (path, mode, made) in finish.iter().rev() {
        let open = File::open(path).unwrap();
        if let Some(value) = &made.xattr {
            // Not every filesystem has them.
            let _ = fsetxattr(&open, "user.test", value, XattrFlags::empty());
        }
        let time = UNIX_EPOCH + Duration::from_nanos(made.mtime * 1_000_000_000 + made.mtime);
        open.set_permissions(std::fs::Permissions::from_mode(*mode))
            .unwrap();
        open.set_modified(time).unwrap();
    }
}

/// What a person or an application can see of a tree.
#[derive(Debug, PartialEq)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    content: Vec<u8>,
    xattr: Option<Vec<u8>>,
    /// Its other names, by the first of them.
    same_as: PathBuf,
    is_sparse: bool,
}

fn seen(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut first: HashMap<u64, PathBuf> = HashMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        names.sort();
        for path in names {
            let m = path.symlink_metadata().unwrap();
            let relative = path.strip_prefix(root).unwrap().to_owned();
            let content = if m.is_dir() {
                pending.push(path.clone());
                Vec::new()
            } else if m.is_symlink() {
                std::fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_vec()
            } else {
                std::fs::read(&path).unwrap()
            };
            let xattr = File::open(&path)
                .ok()
                .filter(|_| !m.is_symlink())
                .and_then(|file| {
                    let mut value = vec![0; 100];
                    let length = fgetxattr(&file, "user.test", &mut value).ok()?;
                    value.truncate(length);
                    Some(value)
                });
            let same_as = first
                .entry(m.ino())
                .or_insert_with(|| relative.clone())
                .clone();
            let is_sparse = m.is_file() && m.len() > 100_000 && m.blocks() * 512 + 65536 < m.len();
            let shown = Seen {
                mode: m.mode(),
                owner: (m.uid(), m.gid()),
                mtime: (m.mtime(), m.mtime_nsec()),
                content,
                xattr,
                same_as,
                is_sparse,
            };
            all.insert(relative, shown);
        }
    }
    all
}

fn comes_back(folder: &Path, first: &[Made], second: &[Made]) {
    let bench = Bench::below(folder);
    build(&bench.data(), first);
    let before = seen(&bench.data());
    let snapshot = bench.take_and_prove("manual");
    settle(&snapshot);
    bench.verifies();

    // Another state, of which a part is linked to the first.
    build(&bench.data(), second);
    let later = seen(&bench.data());
    let next = bench.take("manual").unwrap();
    let next = if next.is_new {
        bench.prove(&next.snapshot)
    } else {
        next.snapshot
    };
    bench.verifies();

    for (snapshot, expected) in [(&snapshot, &before), (&next, &later)] {
        restore::restore(&bench.vault, &bench.guard, snapshot, &Options::default()).unwrap();
        let now = seen(&bench.data());
        assert_eq!(
            now.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (path, expected) in expected {
            assert_eq!(&now[path], expected, "{}", path.display());
        }
        bench.verifies();
    }
}

fn holds_on(folder: &Path, cases: u32) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(tree(), tree()), |(first, second)| {
            comes_back(folder, &first, &second);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_tree_comes_back_as_it_was() {
    holds_on(&std::env::temp_dir(), 24);
}

#[test]
fn a_tree_comes_back_as_it_was_on_every_filesystem() {
    for kind in ["ext4", "btrfs", "xfs"] {
        let mib = 512;
        let what = format!("round trips on {kind}");
        if let Some(disk) = Disk::new(kind, mib, &what) {
            holds_on(&disk.path(), 12);
        }
    }
}
