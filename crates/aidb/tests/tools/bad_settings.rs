//! Settings that cannot be used: said with the place, what was expected and what was found, with status 2.

use aidb_testkit::{Stack, tree_state};

use crate::{AIDB, SMALL, with};

/// Writes stack.json, checks, and takes: both must refuse in the same words, and make nothing.
fn refused(text: &str) -> String {
    let stack = with(SMALL);
    std::fs::write(
        stack.settings(),
        text.replace('~', &stack.home().display().to_string()),
    )
    .unwrap();
    let before = tree_state(stack.home());
    let check = stack.run("aidb check").with(2);
    for command in [
        "aidb take",
        "aidb status",
        "aidb init-verify",
        "aidb restore open-webui",
        "aidb settings",
    ] {
        assert_eq!(stack.run(command), check, "{command}");
    }
    assert_eq!(tree_state(stack.home()), before);
    check.to_string()
}

#[test]
fn no_settings_and_no_quadlet() {
    let stack = Stack::new(AIDB);
    std::fs::remove_file(stack.settings()).unwrap();
    insta::assert_snapshot!(stack.run("aidb check"), @r#"
    --- stderr
    error: settings: expected `~/.config/aidb/stack.json`, or containers in `~/.config/containers/systemd`, found neither
      hint: to guard a folder of your own, write to `~/.config/aidb/stack.json`: { "schema": 1, "vault": "~/.local/share/aidb-vault", "guards": { "my-app": { "data": "~/my-app", "stores": { "db": { "kind": "sqlite", "path": "app.db" } } } } }
    --- status 2
    "#);
}

#[test]
fn a_settings_file_that_is_named_and_is_not_there() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb --config nowhere.json check"), @r#"
    --- stderr
    error: settings `nowhere.json`: expected a file, found nothing
      hint: name another file, or write to it: { "schema": 1, "vault": "~/.local/share/aidb-vault", "guards": { "my-app": { "data": "~/my-app", "stores": { "db": { "kind": "sqlite", "path": "app.db" } } } } }
    --- status 2
    "#);
}

#[test]
fn broken_json() {
    insta::assert_snapshot!(refused(r#"{ "schema": 1, "vault": "~/vault", }"#), @"
    --- stderr
    error: settings `~/.config/aidb/stack.json`: 1:56: trailing comma
    --- status 2
    ");
}

#[test]
fn an_unknown_key() {
    let text = r#"{ "schema": 1, "vault": "~/vault", "guards": { "open-webui": { "dta": "~/ai/open-webui", "data": "~/ai/open-webui" } } }"#;
    insta::assert_snapshot!(refused(text), @"
    --- stderr
    error: settings `~/.config/aidb/stack.json`: /guards/open-webui/dta: unknown key, did you mean `data`?
    --- status 2
    ");
}

#[test]
fn a_wrong_type() {
    let text = r#"{ "schema": 1, "vault": "~/vault", "keep": { "daily": "seven" }, "guards": { "open-webui": { "data": 7 } } }"#;
    insta::assert_snapshot!(refused(text), @"
    --- stderr
    error: settings `~/.config/aidb/stack.json`: 2 problems
          /keep/daily: expected 1 or more, found `seven`
          /guards/open-webui/data: expected a text, found 7
    --- status 2
    ");
}

#[test]
fn an_unknown_guard_is_told_with_the_nearest_name() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb check open-wbui"), @"
    --- stderr
    error: no guard `open-wbui`, expected one of `open-webui`
      hint: did you mean `open-webui`?
    --- status 2
    ");
    assert_eq!(
        stack.run("aidb take open-wbui"),
        stack.run("aidb check open-wbui")
    );
    assert!(!stack.vault().join("open-wbui").exists());
}

#[test]
fn an_unknown_finding_and_an_unknown_verb() {
    let stack = with(SMALL);
    insta::assert_snapshot!(stack.run("aidb allow open-webui sqlite.no-table --reason x"), @"
    --- stderr
    error: invalid value 'sqlite.no-table' for '<FINDING>': no finding is called `sqlite.no-table`, did you mean `sqlite.no-tables`?

    For more information, try '--help'.
    --- status 2
    ");
    let verb = stack.run("aidb chekc").with(2);
    assert!(
        verb.stderr.starts_with("error: no verb `chekc`\n"),
        "{verb}"
    );
    let _ = stack.run("aidb").with(2);
    let _ = stack.run("aidb-snapshot").with(2);
}

#[test]
fn a_vault_inside_the_data_folder_is_refused() {
    let stack = with(SMALL);
    let text = std::fs::read_to_string(stack.settings()).unwrap();
    let inside = stack.data().join("vault").display().to_string();
    std::fs::write(
        stack.settings(),
        text.replace(&stack.vault().display().to_string(), &inside),
    )
    .unwrap();
    let before = tree_state(&stack.data());
    insta::assert_snapshot!(stack.run("aidb take"), @"
    --- stderr
    error: settings `~/.config/aidb/stack.json`: /vault: expected a folder apart from every guard's data, found `~/ai/open-webui/vault`, and guard `open-webui` has `~/ai/open-webui`
    --- status 2
    ");
    for command in [
        "aidb check",
        "aidb take",
        "aidb status",
        "aidb-precheck check --at start open-webui",
    ] {
        let _ = stack.run(command).with(2);
        assert_eq!(tree_state(&stack.data()), before, "after `{command}`");
    }
}

/// The link hides that the vault is inside: it is found where it really lies.
#[test]
fn a_vault_that_a_link_leads_into_the_data_folder_is_refused() {
    let stack = with(SMALL);
    std::fs::create_dir(stack.data().join("kept")).unwrap();
    std::os::unix::fs::symlink(stack.data().join("kept"), stack.vault()).unwrap();
    let before = tree_state(&stack.data());
    let take = stack.run("aidb take").with(2);
    assert!(
        take.stderr
            .contains("expected a folder apart from every guard's data"),
        "{take}"
    );
    assert_eq!(tree_state(&stack.data()), before);
    let _ = stack.run("aidb check");
    assert_eq!(tree_state(&stack.data()), before);
}
