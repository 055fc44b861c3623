//! Archives that were made, or damaged, to do harm: each is refused in words, and leaves nothing behind.

use std::io::Read as _;
use std::path::Path;

use aidb_testkit::{Stack, tree_state};
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::{AIDB, kept};

struct Member {
    header: Header,
    path: String,
    content: Vec<u8>,
}

/// Reads the members of an archive.
fn members(archive: &Path) -> Vec<Member> {
    let file = std::fs::File::open(archive).unwrap();
    let mut tar = tar::Archive::new(xz2::read::XzDecoder::new(file));
    let read = |entry: std::io::Result<tar::Entry<_>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        Member {
            path: entry.path().unwrap().to_str().unwrap().to_owned(),
            header: entry.header().clone(),
            content,
        }
    };
    tar.entries().unwrap().map(read).collect()
}

/// Writes members as they are, whatever they say.
fn pack(members: &[Member], behind: &[u8], archive: &Path) {
    let mut bytes = Vec::new();
    for member in members {
        let mut header = member.header.clone();
        let name = &mut header.as_mut_bytes()[..100];
        name.fill(0);
        name[..member.path.len().min(100)]
            .copy_from_slice(&member.path.as_bytes()[..member.path.len().min(100)]);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&member.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes.extend_from_slice(behind);
    let mut encoder = xz2::write::XzEncoder::new(std::fs::File::create(archive).unwrap(), 1);
    std::io::Write::write_all(&mut encoder, &bytes).unwrap();
    encoder.finish().unwrap();
}

fn json_of(member: &Member) -> Value {
    serde_json::from_slice(&member.content).unwrap()
}

fn set(member: &mut Member, content: Vec<u8>) {
    member.header.set_size(content.len() as u64);
    member.content = content;
}

/// Changes the manifest, and lets the proof speak of the changed one: whoever forges one forges both.
fn forge(members: &mut [Member], change: impl FnOnce(&mut Value)) {
    let mut manifest = json_of(&members[0]);
    change(&mut manifest);
    let text = serde_json::to_vec(&manifest).unwrap();
    let mut proof = json_of(&members[1]);
    proof["manifest_blake3"] = json!(blake3::hash(&text).to_hex().as_str());
    set(&mut members[0], text);
    set(&mut members[1], serde_json::to_vec(&proof).unwrap());
}

fn entry_of<'m>(manifest: &'m mut Value, path: &str) -> &'m mut Value {
    let entries = manifest["entries"].as_array_mut().unwrap();
    entries.iter_mut().find(|e| e["path"] == path).unwrap()
}

fn place_of(members: &[Member], end: &str) -> usize {
    members.iter().position(|m| m.path.ends_with(end)).unwrap()
}

fn add(members: &mut Vec<Member>, path: &str, kind: EntryType, target: &str) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o777);
    header.set_size(0);
    if !target.is_empty() {
        header.set_link_name_literal(target).unwrap();
    }
    let top = members[0].path.split('/').next().unwrap().to_owned();
    let path = path.replace("TOP", &top);
    members.push(Member {
        header,
        path,
        content: Vec::new(),
    });
}

type Change = fn(&mut Vec<Member>);

const CASES: &[(&str, Change, &str)] = &[
    (
        "a path that climbs",
        |m| forge(m, |j| entry_of(j, "webui.db")["path"] = json!("../../evil")),
        "leads out of the data folder",
    ),
    (
        "an absolute path",
        |m| forge(m, |j| entry_of(j, "webui.db")["path"] = json!("/tmp/evil")),
        "leads out of the data folder",
    ),
    (
        "a guard that climbs",
        |m| {
            forge(m, |j| {
                j["guard"] = json!("../../evil");
                j["settings"]["name"] = json!("../../evil");
            });
        },
        "names no guard",
    ),
    (
        "a member that climbs",
        |m| {
            let i = place_of(m, "webui.db");
            m[i].path = "../../evil".into();
        },
        "where its manifest has",
    ),
    (
        "an absolute member",
        |m| {
            let i = place_of(m, "webui.db");
            m[i].path = "/tmp/evil".into();
        },
        "where its manifest has",
    ),
    (
        "a way over a link",
        |m| {
            forge(m, |j| {
                let entries = j["entries"].as_array_mut().unwrap();
                let link = json!({ "path": "out", "kind": "symlink", "target": "/tmp", "mode": 511, "uid": 0, "gid": 0, "mtime_ns": 0 });
                let mut file = entries
                    .iter()
                    .find(|e| e["kind"] == "file")
                    .unwrap()
                    .clone();
                file["path"] = json!("out/evil");
                entries.insert(0, link);
                entries.insert(1, file);
            });
        },
        "lies in no folder of it",
    ),
    (
        "a link where a file belongs",
        |m| {
            let i = place_of(m, "webui.db");
            m[i].header.set_entry_type(EntryType::Symlink);
            set(&mut m[i], Vec::new());
        },
        "as something else",
    ),
    (
        "a hard link to nothing of it",
        |m| {
            forge(m, |j| {
                let entry = json!({ "path": "hard", "kind": "hard-link", "to": "/etc/passwd", "mode": 511, "uid": 0, "gid": 0, "mtime_ns": 0 });
                j["entries"].as_array_mut().unwrap().push(entry);
            });
        },
        "no file of it",
    ),
    (
        "a device",
        |m| add(m, "TOP/data/null", EntryType::Char, ""),
        "a device, which no snapshot holds",
    ),
    (
        "a pipe",
        |m| add(m, "TOP/data/pipe", EntryType::Fifo, ""),
        "a pipe, which no snapshot holds",
    ),
    (
        "one member more",
        |m| add(m, "TOP/data/more", EntryType::Regular, ""),
        "which its manifest does not name",
    ),
    (
        "one member less",
        |m| {
            m.pop();
        },
        "it lacks",
    ),
    (
        "a path twice",
        |m| {
            forge(m, |j| {
                let entries = j["entries"].as_array_mut().unwrap();
                let again = entries[0].clone();
                entries.push(again);
            });
        },
        "stands twice",
    ),
    (
        "other content",
        |m| {
            let i = place_of(m, "webui.db");
            m[i].content[5000] ^= 1;
        },
        "differ from its manifest",
    ),
    (
        "another length",
        |m| {
            let i = place_of(m, "webui.db");
            let cut = m[i].content[..4096].to_vec();
            set(&mut m[i], cut);
        },
        "its manifest says",
    ),
    (
        "no hash",
        |m| forge(m, |j| entry_of(j, "webui.db")["blake3"] = Value::Null),
        "has no hash",
    ),
    (
        "the proof of another",
        |m| {
            let mut j = json_of(&m[0]);
            j["reason"] = json!("other");
            set(&mut m[0], serde_json::to_vec(&j).unwrap());
        },
        "that of another manifest",
    ),
    (
        "no proof",
        |m| {
            m.remove(1);
        },
        "lacks the proof",
    ),
    (
        "a format of tomorrow",
        |m| forge(m, |j| j["format"] = json!(99)),
        "it has format 99, this program knows up to",
    ),
    (
        "no manifest",
        |m| {
            m.remove(0);
        },
        "does not begin with a manifest",
    ),
    (
        "a file without end",
        |m| {
            let size = 1_u64 << 52;
            forge(m, |j| {
                let sum = j["size_bytes"].as_u64().unwrap();
                let e = entry_of(j, "webui.db");
                let own = e["size_bytes"].as_u64().unwrap();
                e["size_bytes"] = json!(size);
                j["size_bytes"] = json!(sum - own + size);
            });
            let i = place_of(m, "webui.db");
            m[i].header.set_size(size);
        },
        "need 4294967296 MiB",
    ),
    (
        "a number without end",
        |m| {
            forge(m, |j| {
                entry_of(j, "webui.db")["size_bytes"] = json!(u64::MAX);
            });
        },
        "its files have no end",
    ),
    (
        "a path without end",
        |m| {
            add(m, "././@LongLink", EntryType::GNULongName, "");
            let last = m.len() - 1;
            m[last].header.set_size(1 << 40);
        },
        "too long",
    ),
];

#[test]
fn an_archive_that_was_made_to_harm_is_refused_and_leaves_nothing_behind() {
    let (here, there) = (kept(), Stack::new(AIDB));
    let _ = here.run("aidb export open-webui good.tar.xz").with(0);
    let good = here.home().join("good.tar.xz");
    let bad = there.home().join("bad.tar.xz");
    let _ = there.run("aidb list").with(0);
    // What is in the way of nothing: the lock of the staging folder is made once.
    pack(&[], b"", &bad);
    let _ = there.run("aidb import bad.tar.xz").with(3);
    let before = tree_state(&there.vault());
    for (name, change, told) in CASES {
        let mut members = members(&good);
        change(&mut members);
        pack(&members, b"", &bad);
        let refused = there.run("aidb import bad.tar.xz").with(3);
        assert!(refused.stderr.contains(told), "{name}: {refused}");
        assert!(
            refused.stderr.contains("cannot import `bad.tar.xz`"),
            "{name}: {refused}"
        );
        let after = tree_state(&there.vault());
        assert_eq!(
            after.keys().collect::<Vec<_>>(),
            before.keys().collect::<Vec<_>>(),
            "{name}"
        );
        assert!(
            !Path::new("/tmp/evil").exists() && !there.home().join("evil").exists(),
            "{name}"
        );
    }
    pack(&members(&good), b"something", &bad);
    let refused = there.run("aidb import bad.tar.xz").with(3);
    assert!(
        refused.stderr.contains("something follows its end"),
        "{refused}"
    );
    let bytes = std::fs::read(&good).unwrap();
    for length in [0, 5, 40, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&bad, &bytes[..length]).unwrap();
        let _ = there.run("aidb import bad.tar.xz").with(3);
    }
    assert_eq!(
        tree_state(&there.vault()).keys().count(),
        before.keys().count()
    );
    // The same way with nothing changed is taken: it is the changes that were refused.
    pack(&members(&good), b"", &bad);
    let _ = there.run("aidb import bad.tar.xz").with(0);
}
