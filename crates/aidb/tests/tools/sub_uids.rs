//! Files of an application that runs as another user in its container: outside they may not even be read.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use aidb_testkit::{Ran, Stack, is_root, left_out, tree_state};

use crate::{SMALL, with};

/// User 999 of a container whose root is the stack's owner: the 999th of the range below.
const OF_THE_CONTAINER: u32 = 700_998;

/// Lays out a stack of an ordinary user whose database belongs to a sub-uid.
fn with_sub_uid() -> Option<Stack> {
    let programs = ["unshare", "newuidmap", "newgidmap", "setpriv"];
    let is_there = |p: &&str| std::path::Path::new("/usr/bin").join(p).is_file();
    if !is_root() || !programs.iter().all(is_there) {
        left_out(
            "files of sub-uids",
            "it needs root, `unshare`, `newuidmap` and `setpriv`",
        );
        return None;
    }
    let stack = with(SMALL).as_plain_user();
    let database = stack.data().join("webui.db");
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o600)).unwrap();
    chown(&database, Some(OF_THE_CONTAINER), Some(OF_THE_CONTAINER)).unwrap();
    Some(stack)
}

/// Runs a tool as the stack's owner, who has a range of sub-ids. The list is this test's own, mounted over the system's.
fn run(stack: &Stack, line: &str) -> Ran {
    let ranges = stack.home().join("ranges");
    std::fs::write(&ranges, "nobody:700000:65536\n").unwrap();
    let mut words = line.split_whitespace();
    let command = stack.command(words.next().unwrap());
    let script = "set -e; for f in subuid subgid; do [ -e /etc/$f ] || : > /etc/$f; mount --bind \"$0\" /etc/$f; done
        exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"";
    let mut alone = Command::new("/usr/bin/unshare");
    alone
        .args([
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            script,
        ])
        .arg(ranges)
        .arg(command.get_program())
        .args(words)
        .env_clear()
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .current_dir(stack.home());
    stack.ran(&mut alone)
}

#[test]
fn a_database_of_a_sub_uid_is_looked_at_inside_the_user_namespace() {
    let Some(stack) = with_sub_uid() else { return };
    // Without a range there is no way in, and it could not be found out.
    let outside = stack.run("aidb-precheck check").with(3);
    assert!(outside.stdout.contains("[store.unreadable]"), "{outside}");

    let before = tree_state(&stack.data());
    for tool in [
        "aidb-precheck check",
        "aidb-init-verify",
        "aidb check",
        "aidb status",
    ] {
        let inside = run(&stack, tool).with(0);
        assert!(
            inside.stdout.contains("14 chat, 4 user"),
            "{tool}: {inside}"
        );
        assert!(!inside.stdout.contains("unreadable"), "{tool}: {inside}");
    }
    let document = run(&stack, "aidb-precheck check --json").with(0).json();
    assert_eq!(document["verdict"], "pass");
    assert_eq!(tree_state(&stack.data()), before);

    let file = std::fs::File::options()
        .write(true)
        .open(stack.data().join("webui.db"))
        .unwrap();
    file.set_len(100_000).unwrap();
    let held = run(&stack, "aidb-precheck check --at start open-webui").with(1);
    assert!(held.stdout.contains("[sqlite.truncated]"), "{held}");
}

#[test]
fn files_of_a_sub_uid_are_kept_and_come_back_with_their_owner() {
    let Some(stack) = with_sub_uid() else { return };
    let database = stack.data().join("webui.db");
    let truth = std::fs::read(&database).unwrap();
    // Without a range what is out of reach is a gap, and such a snapshot is never proven.
    let outside = stack.run("aidb-snapshot take");
    assert_ne!(outside.status, 0, "{outside}");
    assert!(outside.stderr.contains("check.could-not"), "{outside}");

    let taken = run(&stack, "aidb-snapshot take --json").with(0).json();
    let id = taken["snapshots"][0]["id"].as_str().unwrap();
    let kept = stack.vault().join(id);
    let manifest = std::fs::read_to_string(kept.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let entry = |path: &str| {
        let entries = manifest["entries"].as_array().unwrap();
        entries.iter().find(|e| e["path"] == path).unwrap().clone()
    };
    assert_eq!(entry("webui.db")["uid"], 999);
    assert_eq!(entry("uploads")["uid"], 0);
    // What is kept belongs to the user, so that nothing but restoring needs the namespace.
    let _ = stack.run("aidb-snapshot verify").with(0);

    std::fs::write(&database, "damaged").unwrap();
    let _ = run(&stack, "aidb-snapshot restore open-webui").with(0);
    assert!(std::fs::read(&database).unwrap() == truth);
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&database).unwrap());
    assert_eq!(owner, OF_THE_CONTAINER);
}
