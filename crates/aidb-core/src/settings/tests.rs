//! What `stack.json` may say, and what is said about what it may not.

use std::path::Path;

use super::*;
use crate::guard::{Damaged, Reaction, StoreKind, Uninitialised};
use serde_json::json;

fn environment() -> Environment {
    Environment::of_home(Path::new("/home/alice"))
}

fn parse(text: &str) -> Result<Settings, String> {
    read::parse(text, Path::new("/stack.json"), &environment()).map_err(|problems| {
        problems
            .iter()
            .map(|p| format!("{}: {}", p.pointer, p.what))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

fn with_guard(guard: &serde_json::Value) -> String {
    json!({"schema": 1, "vault": "/v", "guards": {"open-webui": guard}}).to_string()
}

fn guards(names: &[&str]) -> Settings {
    let guards: serde_json::Map<_, _> = names
        .iter()
        .map(|n| ((*n).to_owned(), json!({"data": format!("/srv/{n}")})))
        .collect();
    parse(&json!({"schema": 1, "vault": "/v", "guards": guards}).to_string()).unwrap()
}

#[test]
fn the_example_of_the_documents_is_read() {
    let settings = parse(
        r#"{ "schema": 1,
      "vault": "/home/alice/.local/share/aidb-vault",
      "state": "/home/alice/.local/state/aidb",
      "keep": { "last": 3, "daily": 7, "weekly": 4, "monthly": 3 },
      "guards": {
        "local-ai-open-webui": {
          "container": "local-ai-open-webui", "unit": "podman-local-ai-open-webui.service",
          "data": "/home/alice/.local/share/podman-ai-stack/open-webui", "mount": "/app/backend/data",
          "preset": "open-webui", "exclude": ["cache/**"],
          "stores": { "chats": { "kind": "sqlite", "path": "webui.db",
              "contract": { "tables": ["user", "auth", "chat"], "neverShrink": ["user"], "maxShrinkPercent": { "chat": 50 } } } },
          "policy": { "uninitialised": "quarantine", "damaged": "hold" } } },
      "programs": { "podman": "/nix/store/x/bin/podman" } }"#,
    )
    .unwrap();
    assert_eq!(settings.source, Source::File("/stack.json".into()));
    assert_eq!(settings.keep, Keep::default());
    assert_eq!(settings.gate, Gate::Hold);
    let [guard] = settings.guards.as_slice() else {
        panic!("one guard");
    };
    assert_eq!(guard.container, "local-ai-open-webui");
    let names: Vec<&str> = guard.stores.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["chats", "uploads", "vectors"]);
    let chats = &guard.stores[0];
    assert_eq!(chats.contract.max_shrink_percent["chat"], 50);
    // What the preset knows and the file does not say stays.
    assert_eq!(chats.contract.known_revisions.len(), 10);
    assert!(chats.contract.foreign_keys);
    assert_eq!(guard.policy.uninitialised, Uninitialised::Quarantine);
    assert_eq!(guard.policy.mount, Reaction::Hold);
    assert_eq!(guard.policy.damaged, Damaged::Hold);
}

#[test]
fn the_smallest_settings_work_as_the_hint_prints_them() {
    let settings = parse(minimal()).unwrap();
    assert_eq!(
        settings.vault,
        Path::new("/home/alice/.local/share/aidb-vault")
    );
    assert_eq!(settings.state, Path::new("/home/alice/.local/state/aidb"));
    assert_eq!(settings.guards[0].data, Path::new("/home/alice/my-app"));
    assert_eq!(settings.guards[0].container, "my-app");
    assert!(parse(r#"{"schema": 1, "vault": "/v"}"#).is_ok());
}

#[test]
fn a_preset_supplies_and_what_is_written_wins() {
    let settings = parse(&with_guard(&json!({
        "data": "~/ai", "preset": "open-webui", "exclude": [],
        "stores": {
            "chats": {"path": "other.db", "contract": {"neverShrink": [], "revision": null}},
            "vectors": null,
            "notes": {"kind": "files", "path": "./notes/", "optional": true},
        },
        "migrations": {"chats": "~/migrations"},
    })))
    .unwrap();
    let guard = &settings.guards[0];
    assert_eq!(guard.exclude, Vec::<String>::new());
    let names: Vec<&str> = guard.stores.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["chats", "notes", "uploads"]);
    assert_eq!(guard.stores[0].kind, StoreKind::Sqlite);
    assert_eq!(guard.stores[0].path, Path::new("other.db"));
    assert_eq!(guard.stores[0].contract.tables, ["user", "auth", "chat"]);
    assert_eq!(guard.stores[0].contract.never_shrink, Vec::<String>::new());
    assert_eq!(guard.stores[0].contract.revision, None);
    assert_eq!(guard.stores[1].path, Path::new("notes"));
    assert_eq!(
        guard.migrations["chats"],
        Path::new("/home/alice/migrations")
    );
}

#[test]
fn json_that_does_not_parse_has_its_place() {
    insta::assert_snapshot!(parse("{ \"schema\": 1,\n  \"vault\": }").unwrap_err(), @"2:12: expected value");
    insta::assert_snapshot!(parse("").unwrap_err(), @"1:0: EOF while parsing a value");
    insta::assert_snapshot!(
        parse(r#"{"schema": 1, "vault": "/v", "guards": {"a": {"data": "/a"}, "a": {"data": "/b"}}}"#).unwrap_err(),
        @"1:64: key `a` is written twice"
    );
}

#[test]
fn every_problem_of_a_file_is_told() {
    let text = json!({
        "schema": 2, "keep": {"daily": 0, "weekly": "x"}, "gate": "maybe",
        "guards": {
            "open-webui": {
                "data": "/a", "polices": {}, "policy": {"damaged": "ignore", "missing": "hold"},
                "stores": {"chats": {"kind": "sqlit", "contract": {"maxShrinkPercent": {"chat": 101}}}},
                "exclude": "cache/**",
            },
            "a/b": {"mount": 1},
        },
        "porgrams": {},
    });
    insta::assert_snapshot!(parse(&text.to_string()).unwrap_err(), @r##"
/schema: expected 1, found 2
/keep/daily: expected 1 or more, found 0
/keep/weekly: expected 1 or more, found `x`
/gate: expected one of `hold`, `warn`, found `maybe`
/guards/open-webui/polices: unknown key, did you mean `policy`?
/guards/open-webui/policy/damaged: expected one of `hold`, `restore`, `warn`, found `ignore`
/guards/open-webui/stores/chats/kind: expected one of `sqlite`, `chroma`, `ollama`, `qdrant`, `files`, found `sqlit`
/guards/open-webui/stores/chats/contract/maxShrinkPercent/chat: expected 0 to 100, found 101
/guards/open-webui/exclude: expected a list, found `cache/**`
/guards/a~1b/mount: expected a text, found 1
/guards/a~1b/data: expected a text, found nothing
/porgrams: unknown key, did you mean `programs`?
/vault: expected a text, found nothing
"##);
}

#[test]
fn what_the_schema_cannot_say_has_its_pointer_too() {
    let error =
        parse(r#"{"schema": 1, "vault": "/v", "keep": {"daily": 5000000000}}"#).unwrap_err();
    assert!(error.starts_with("/keep/daily: "), "{error}");
}

#[test]
fn meaning_is_checked_too() {
    let text = json!({
        "schema": 1, "vault": "v", "state": "~/../x", "programs": {"podman": "podman"},
        "guards": {
            "-x": {"data": "/srv/x"},
            "local ai": {"data": "/srv/y", "container": "local_ai.WebUI-2"},
            "a": {"data": "srv", "mount": "data", "unit": "a.container", "preset": "open-webiu",
                "exclude": ["**", "/abs", "a["],
                "stores": {"db": {"path": "../x"}, "q": {"kind": "qdrant"}},
                "migrations": {"nope": "/m"}},
            "b": {"data": "/srv/b", "preset": "open-webui", "exclude": ["*.db"]},
        },
    });
    insta::assert_snapshot!(parse(&text.to_string()).unwrap_err(), @r##"
/vault: expected an absolute path (`~/` is expanded), found `v`
/state: expected a path without `..`, found `~/../x`
/programs/podman: expected an absolute path (`~/` is expanded), found `podman`
/guards/-x: expected a container name (a letter or digit, then letters, digits, `_`, `.`, `-`), found `-x`
/guards/a/unit: expected a name such as `podman-a.service`, found `a.container`
/guards/a/data: expected an absolute path (`~/` is expanded), found `srv`
/guards/a/mount: expected an absolute path without `..`, found `data`
/guards/a/preset: unknown preset `open-webiu`, did you mean `open-webui`?
/guards/a/exclude/0: expected a pattern that leaves something to keep, found `**`
/guards/a/exclude/1: expected a pattern relative to the data folder, without `..`, found `/abs`
/guards/a/exclude/2: expected a glob pattern, found `a[`: unclosed character class; missing ']'
/guards/a/stores/db/kind: expected one of `sqlite`, `chroma`, `ollama`, `qdrant`, `files`, found nothing
/guards/a/stores/db/path: expected a path inside the data folder, relative and without `..`, found `../x`
/guards/a/stores/q/path: expected a path relative to the data folder (`.` is the folder itself), found nothing
/guards/a/migrations/nope: expected the name of a store, and there are none
/guards/b/exclude/0: expected a pattern that keeps every store, found `*.db`, which excludes store `chats` (`webui.db`)
/guards/local ai: expected a container name (a letter or digit, then letters, digits, `_`, `.`, `-`), found `local ai`
"##);
}

#[test]
fn folders_that_hold_each_other_are_refused() {
    let text = json!({
        "schema": 1, "vault": "/srv/a/vault", "state": "/srv",
        "guards": {
            "a": {"data": "/srv/a"},
            "b": {"data": "/srv/b", "exclude": ["inner/**"]},
            "c": {"data": "/srv/b/inner/c"},
            "d": {"data": "/srv/b/other"},
            "e": {"data": "/srv/b/./other/"},
        },
    });
    insta::assert_snapshot!(parse(&text.to_string()).unwrap_err(), @r##"
/vault: expected a folder apart from every guard's data, found `/srv/a/vault`, and guard `a` has `/srv/a`
/state: expected a folder apart from every guard's data, found `/srv`, and guard `a` has `/srv/a`
/state: expected a folder apart from every guard's data, found `/srv`, and guard `b` has `/srv/b`
/state: expected a folder apart from every guard's data, found `/srv`, and guard `c` has `/srv/b/inner/c`
/state: expected a folder apart from every guard's data, found `/srv`, and guard `d` has `/srv/b/other`
/state: expected a folder apart from every guard's data, found `/srv`, and guard `e` has `/srv/b/other`
/guards/d/data: expected a folder of its own, found `/srv/b/other` inside `/srv/b` of guard `b`, which does not exclude `other/**`
/guards/e/data: expected a folder of its own, found `/srv/b/other` inside `/srv/b` of guard `b`, which does not exclude `other/**`
/guards/e/data: expected a folder of its own, found `/srv/b/other`, which guard `d` guards too
"##);
}

#[test]
fn a_vault_inside_the_data_is_found_through_links() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let link = folder.path().join("vault");
    std::os::unix::fs::symlink(&data, &link).unwrap();
    let text = json!({"schema": 1, "vault": link.join("new"), "guards": {"a": {"data": data}}});
    let error = parse(&text.to_string()).unwrap_err();
    assert!(
        error.starts_with("/vault: expected a folder apart from every guard's data"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_there_is_said_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let error = Settings::load(Some(&folder.path().join("x.json")), &environment()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("expected a file, found nothing"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains(minimal()));
    let error = Settings::load(Some(folder.path()), &environment()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("expected a regular file, found something else"),
        "{error}"
    );
}

#[test]
fn a_link_that_leads_nowhere_is_not_the_absence_of_settings() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::of_home(folder.path());
    let file = environment.config_home.join("aidb/stack.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/nix/store/gone", &file).unwrap();
    let error = Settings::load(None, &environment).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("expected a file, found a link that leads nowhere"),
        "{error}"
    );
}

#[test]
fn nothing_to_guard_is_an_error_whose_hint_works() {
    let folder = tempfile::tempdir().unwrap();
    let error = Settings::load(None, &Environment::of_home(folder.path())).unwrap_err();
    let text = error
        .to_string()
        .replace(&folder.path().display().to_string(), "~");
    insta::assert_snapshot!(text, @"settings: expected `~/.config/aidb/stack.json`, or containers in `~/.config/containers/systemd`, found neither");
    assert!(error.hint().unwrap().ends_with(minimal()));
}

#[test]
fn several_problems_are_one_error_with_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.json");
    let json = r#"{"schema": 1, "vault": "v", "state": "s"}"#;
    std::io::Write::write_all(&mut std::fs::File::create(&file).unwrap(), json.as_bytes()).unwrap();
    let error = Settings::load(Some(&file), &environment()).unwrap_err();
    let text = error
        .to_string()
        .replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!(text, @r##"
settings `DIR/s.json`: 2 problems
  /vault: expected an absolute path (`~/` is expanded), found `v`
  /state: expected an absolute path (`~/` is expanded), found `s`
"##);
}

#[test]
fn a_guard_is_named_by_any_part_that_only_it_has() {
    let settings = guards(&[
        "local-ai-open-webui",
        "local-ai-qdrant",
        "ollama",
        "ollama.x",
    ]);
    let names = |args: &[&str]| -> Result<Vec<String>, String> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        settings
            .select(&args)
            .map(|g| g.iter().map(|g| g.name.clone()).collect())
            .map_err(|e| format!("{e}; {}", e.hint().unwrap_or("-")))
    };
    assert_eq!(names(&[]).unwrap().len(), 4);
    assert_eq!(
        names(&["WebUI", "local-ai-open-webui"]).unwrap(),
        ["local-ai-open-webui"]
    );
    assert_eq!(names(&["ollama"]).unwrap(), ["ollama"]);
    insta::assert_snapshot!(names(&["local"]).unwrap_err(), @"`local` is part of several guards: `local-ai-open-webui`, `local-ai-qdrant`; write the whole name");
    insta::assert_snapshot!(names(&["olama"]).unwrap_err(), @"no guard `olama`, expected one of `local-ai-open-webui`, `local-ai-qdrant`, `ollama`, `ollama.x`; did you mean `ollama`?");
    insta::assert_snapshot!(names(&[""]).unwrap_err(), @"no guard ``, expected one of `local-ai-open-webui`, `local-ai-qdrant`, `ollama`, `ollama.x`; -");
}

#[test]
fn ways_to_tell_are_read_and_their_program_is_a_path() {
    let with = |alert: serde_json::Value| {
        parse(&json!({"schema": 1, "vault": "/v", "alert": alert}).to_string())
    };
    let ways = with(json!({"desktop": false, "command": ["~/bin/tell", "-x"], "quietHours": 2}))
        .unwrap()
        .alert;
    assert!(!ways.desktop);
    let home = Environment::of_home(Path::new("/home/alice")).home;
    let program = home.join("bin/tell").display().to_string();
    assert_eq!(ways.command, Some(vec![program, "-x".to_owned()]));
    assert_eq!(ways.quiet, std::time::Duration::from_secs(7200));
    assert_eq!(with(json!({})).unwrap().alert, super::Ways::default());
    for (alert, told) in [
        (
            json!({"command": []}),
            "/alert/command: expected a program, found an empty list",
        ),
        (json!({"command": ["mail"]}), "/alert/command/0: "),
        (json!({"quietHours": 9000}), "/alert/quietHours: expected"),
    ] {
        let error = with(alert).unwrap_err();
        assert!(error.starts_with(told), "{error}");
    }
}
