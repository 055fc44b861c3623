//! Kept, proven, lost, brought back: the content is the one that the application had, log included.

use aidb_testkit::content;

use crate::{LARGE, with};

fn comes_back(fixture: &str, chats: usize) {
    let stack = with(fixture);
    let database = stack.data().join("webui.db");
    let truth = content(&database);
    assert_eq!(truth["chat"].len(), chats);
    let uploads = uploads(&stack);

    let _ = stack.run("aidb take --unproven").with(0);
    let _ = stack.run("aidb prove").with(0);
    std::fs::remove_dir_all(stack.data()).unwrap();
    let gone = stack.run("aidb check").with(1);
    assert!(gone.stdout.contains("the data folder is gone"), "{gone}");
    let _ = stack.run("aidb restore open-webui").with(0);

    assert!(content(&database) == truth, "the restored rows differ");
    assert_eq!(self::uploads(&stack), uploads);
    let _ = stack
        .run("aidb-precheck check --at start open-webui")
        .with(0);
}

/// Returns the names and bytes of the uploads.
fn uploads(stack: &aidb_testkit::Stack) -> Vec<(String, Vec<u8>)> {
    let folder = std::fs::read_dir(stack.data().join("uploads")).unwrap();
    let mut files: Vec<_> = folder
        .map(|e| e.unwrap())
        .map(|e| {
            (
                e.file_name().into_string().unwrap(),
                std::fs::read(e.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn a_database_with_its_newest_chats_in_the_log_comes_back_whole() {
    comes_back(LARGE, 260);
}

#[test]
fn a_database_whose_every_chat_is_in_the_log_comes_back_whole() {
    comes_back("openwebui-0.12.4-crash", 10);
}

#[test]
fn a_database_in_rollback_mode_comes_back_whole() {
    comes_back("openwebui-0.6.38-large", 260);
}
