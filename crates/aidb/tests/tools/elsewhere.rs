//! Files that are brought back to another folder: for that nothing else has to move, be written to, or be waited for.

use aidb_testkit::{content, tree_state};
use rustix::fs::{FlockOperation, flock};

use crate::full_disk::alone;
use crate::kept;

/// A vault on a disk that is only read, as after a disaster: a lock that had to be written once kept everything in it.
#[test]
fn a_vault_on_a_read_only_mount_gives_its_files_back() {
    let stack = kept();
    let _ = stack.run("aidb archive").with(0);
    std::fs::write(stack.data().join("uploads/newer"), "newer").unwrap();
    let _ = stack.run("aidb take --unproven").with(0);
    let vault = tree_state(&stack.vault());
    let script = r#"
        mount --bind "$VAULT" "$VAULT" && mount -o remount,bind,ro "$VAULT" || exit 100
        touch "$VAULT/new" 2> /dev/null && echo "not read-only"
        for id in 000001 2 1.tar.xz; do
            aidb restore open-webui --snapshot $id --to "$HOME/$id" > /dev/null; echo "$id: $?"
        done
        ls 000001/uploads/newer 2/uploads/newer 1.tar.xz/uploads/newer 2> /dev/null
        aidb restore open-webui -q; echo "in place: $?"
        aidb verify; echo "verify: $?"
    "#;
    let Some(ran) = alone(&stack, script) else {
        return;
    };
    insta::assert_snapshot!(ran, @"
    000001: 0
    2: 0
    1.tar.xz: 0
    2/uploads/newer
    in place: 0
    ok    open-webui/000001-TIME-manual
    verify: 0
    --- stderr
    note: 6 files had no hash to be compared with
    --- status 0
    ");
    let truth = content(&stack.data().join("webui.db"));
    for folder in ["000001", "1.tar.xz"] {
        assert!(content(&stack.home().join(folder).join("webui.db")) == truth);
    }
    assert!(!stack.data().join("uploads/newer").exists());
    assert_eq!(tree_state(&stack.vault()), vault);
}

#[test]
fn a_guard_that_is_busy_gives_its_files_to_another_folder() {
    let stack = kept();
    let lock = std::fs::File::open(stack.vault().join("open-webui/.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let before = tree_state(&stack.data());
    let _ = stack
        .run("aidb restore open-webui --to new --deadline 50ms")
        .with(0);
    let database = stack.data().join("webui.db");
    assert!(content(&stack.home().join("new/webui.db")) == content(&database));
    let _ = stack.run("aidb restore open-webui --deadline 50ms").with(4);
    assert_eq!(tree_state(&stack.data()), before);
}
