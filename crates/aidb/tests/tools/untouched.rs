//! No command that looks or keeps changes anything of the source: bytes, times, inodes, modes, owners.

use std::path::Path;

use aidb_testkit::corpus::{Corpus, copy_tree};
use aidb_testkit::{Application, Stack, Watch, on_every_core, tree_state};
use serde_json::Value;

use crate::application::ROLE;
use crate::{AIDB, LARGE, with};

/// Every command that looks or keeps.
pub const COMMANDS: &[&str] = &[
    "aidb settings",
    "aidb check --depth bytes",
    "aidb check --depth quick",
    "aidb check --depth full",
    "aidb check --json",
    "aidb-precheck check --at switch --from old --to new",
    "aidb-precheck check --at switch --dry-run open-webui",
    "aidb init-verify --wait 1s",
    "aidb take",
    "aidb take --unproven --reason stop open-webui",
    "aidb prove",
    "aidb list",
    "aidb show open-webui",
    "aidb verify",
    "aidb status",
    "aidb prune --dry-run",
    "aidb prune",
    "aidb restore open-webui --dry-run",
    "aidb restore open-webui --to elsewhere",
    "aidb restore open-webui --only webui.db --to one-file",
    // Healthy data: a start heals nothing.
    "aidb-precheck check --at start open-webui",
];

/// Runs all commands; the status of each must be 0 unless it does not matter.
pub fn stays(stack: &Stack, status: Option<i32>) {
    let before = tree_state(&stack.data());
    let watch = Watch::on(&stack.data());
    for command in COMMANDS {
        let ran = stack.run(command);
        assert_eq!(
            ran.status,
            status.unwrap_or(ran.status),
            "`{command}`: {ran}"
        );
        assert_eq!(watch.changes(), [""; 0], "by `{command}`");
        assert_eq!(tree_state(&stack.data()), before, "after `{command}`");
    }
}

#[test]
fn a_folder_with_a_log_and_its_index_stays_as_it_is() {
    let stack = with(LARGE);
    assert!(stack.data().join("webui.db-shm").exists());
    stays(&stack, Some(0));
}

#[test]
fn a_folder_with_a_log_and_no_index_stays_as_it_is() {
    let stack = with("openwebui-0.12.4-crash");
    std::fs::remove_file(stack.data().join("webui.db-shm")).unwrap();
    stays(&stack, Some(0));
}

#[test]
fn a_folder_in_rollback_mode_stays_as_it_is() {
    stays(&with("openwebui-0.6.38-large"), Some(0));
}

/// An empty database beside known data is what SQLite itself would spoil: it deletes a log beside 0 bytes.
#[test]
fn a_held_folder_stays_as_it_is() {
    let stack = with(LARGE);
    let _ = stack.run("aidb take").with(0);
    std::fs::File::create(stack.data().join("webui.db")).unwrap();
    stays(&stack, None);
}

fn stays_beside(stack: &Stack, application: &mut Application, database: &Path) {
    stays(stack, Some(0));
    // And the application is none the worse for it.
    application.run("commit; begin immediate; update user set name = 'after'; commit");
    assert!(database.exists());
}

#[test]
fn a_folder_whose_application_has_begun_to_write_in_wal_mode_stays_as_it_is() {
    let stack = with(LARGE);
    let database = stack.data().join("webui.db");
    let mut application = Application::open(ROLE, &database);
    application.run("begin immediate; update user set name = 'before'; commit; begin immediate; delete from chat");
    for suffix in ["-wal", "-shm"] {
        assert!(stack.data().join(format!("webui.db{suffix}")).exists());
    }
    stays_beside(&stack, &mut application, &database);
}

#[test]
fn a_folder_whose_application_has_begun_to_write_in_rollback_mode_stays_as_it_is() {
    let stack = with("openwebui-0.6.38-large");
    let database = stack.data().join("webui.db");
    let mut application = Application::open(ROLE, &database);
    application.run("begin immediate; update user set name = 'before'");
    assert!(stack.data().join("webui.db-journal").exists());
    stays_beside(&stack, &mut application, &database);
}

/// Every tool that looks, on whatever lies there: what is damaged, foreign, special or in the way stays as it is, too.
#[test]
fn no_tool_that_looks_changes_anything_of_any_case_of_the_corpus() {
    const TOOLS: &[&str] = &[
        "aidb-precheck check",
        "aidb-precheck check --depth bytes --at switch",
        "aidb-init-verify",
        "aidb-monitor status",
        "aidb-snapshot take",
        "aidb-snapshot list",
        "aidb-snapshot verify",
        "aidb-snapshot prune --dry-run",
        "aidb-snapshot restore open-webui --dry-run",
    ];
    let corpus = Corpus::unpack();
    assert!(corpus.cases.len() > 80);
    on_every_core(&corpus.cases, |case| {
        let stack = Stack::new(AIDB);
        stack.write_settings(&serde_json::json!({ "preset": case.app, "mount": Value::Null }));
        copy_tree(&corpus.folder(&case.id), &stack.data());
        let before = tree_state(&stack.data());
        for tool in TOOLS {
            let ran = stack.run(tool);
            assert!(
                matches!(ran.status, 0 | 1 | 3),
                "{}: `{tool}`: {ran}",
                case.id
            );
            assert_eq!(
                before,
                tree_state(&stack.data()),
                "{}: after `{tool}`",
                case.id
            );
        }
    });
}
