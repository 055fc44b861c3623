//! A guard whose path was edited: where its data was until now is told, for as long as it is not found at the new one.

use aidb_testkit::Stack;
use serde_json::json;

use crate::kept;

const START: &str = "aidb-precheck check --at start open-webui";

fn edited(stack: &Stack, folder: &str) {
    stack.write_settings(&json!({ "data": stack.home().join(folder) }));
}

#[test]
fn a_start_that_is_held_after_an_edited_path_tells_where_the_data_was() {
    let stack = kept();
    let _ = stack.run(START).with(0);
    std::fs::create_dir(stack.home().join("ai/openwebui")).unwrap();
    edited(&stack, "ai/openwebui");
    let told = "until now its data was in `~/ai/open-webui`, which is still there";
    // The first check remembers the new settings; the second and the third know the former path all the same.
    for _ in 0..3 {
        let held = stack.run(START).with(1);
        assert!(held.stdout.contains(told), "{held}");
        let mend = "set its folder to `~/ai/open-webui` again, or move that here";
        let restore = held.stdout.find("bring it back").unwrap();
        assert!(held.stdout.find(mend).unwrap() < restore, "{held}");
    }
    // In between no data was found: the first path is the one that counts.
    std::fs::create_dir(stack.home().join("ai/third")).unwrap();
    edited(&stack, "ai/third");
    let held = stack.run(START).with(1);
    assert!(held.stdout.contains(told), "{held}");
    let json = stack.run(&format!("{START} --json")).with(1).json();
    for step in json["guards"][0]["findings"][0]["next"].as_array().unwrap() {
        assert!(step.as_str().unwrap().contains("aidb "), "{step}");
    }

    edited(&stack, "ai/open-webui");
    let _ = stack.run(START).with(0);
}

#[test]
fn a_path_that_was_edited_and_the_data_moved_with_it_is_nothing_to_tell() {
    let stack = kept();
    let _ = stack.run(START).with(0);
    std::fs::rename(stack.data(), stack.home().join("ai/elsewhere")).unwrap();
    edited(&stack, "ai/elsewhere");
    let passed = stack.run(START).with(0);
    assert!(!passed.stdout.contains("until now"), "{passed}");
    // Later it is lost there: the former path is history.
    std::fs::create_dir(stack.data()).unwrap();
    std::fs::remove_file(stack.home().join("ai/elsewhere/webui.db")).unwrap();
    let held = stack.run(START).with(1);
    assert!(!held.stdout.contains("until now"), "{held}");
}

#[test]
fn a_folder_that_is_gone_with_its_former_path_is_told_so() {
    let stack = kept();
    let _ = stack.run(START).with(0);
    std::fs::remove_dir_all(stack.data()).unwrap();
    edited(&stack, "ai/openwebui");
    let held = stack.run(START).with(1);
    assert!(
        held.stdout
            .contains("until now its data was in `~/ai/open-webui`, which is no longer there")
            && !held.stdout.contains("set its folder"),
        "{held}"
    );
}
