//! A vault that lies on a filesystem of another program's making.

use std::process::Command;

use aidb_testkit::left_out;

use crate::{SMALL, with};

/// A mount of FUSE over a folder, gone with this.
struct Fuse(std::path::PathBuf);

impl Drop for Fuse {
    fn drop(&mut self) {
        let gone = Command::new("umount").arg(&self.0).status();
        assert!(gone.unwrap().success());
    }
}

#[test]
fn a_vault_on_fuse_is_said_and_works_as_far_as_can_be_seen() {
    let stack = with(SMALL);
    let (below, vault) = (stack.home().join("below"), stack.vault());
    std::fs::create_dir(&below).unwrap();
    std::fs::create_dir(&vault).unwrap();
    let mounted = Command::new("bindfs").args([&below, &vault]).status();
    if !mounted.is_ok_and(|m| m.success()) {
        left_out(
            "a vault on FUSE",
            "`bindfs` is not installed, or may not mount",
        );
        return;
    }
    let _mount = Fuse(vault);
    insta::assert_snapshot!(stack.run("aidb take"), @"
    kept open-webui/000001-TIME-manual  5 files, 632 KiB, SIZE written, proven, in TIME
    --- stderr
    note  the vault lies on FUSE (`~/vault`), where it cannot be found out whether locks and syncs do what they say [check.could-not]
    --- status 0
    ");
    let again = stack.run("aidb take --json").json();
    let findings = again["snapshots"][0]["findings"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(findings[0]["id"], "check.could-not");
    assert_eq!(again["verdict"], "pass");
    let _ = stack.run("aidb verify").with(0);
}
