//! The gate of a switch: made-up generations, and a small program that answers as `systemctl --user` would.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use aidb_testkit::{Ran, Stack, damage, tree_state};
use serde_json::{Value, json};

use crate::{SMALL, with};

const UNIT: &str = "podman-open-webui.service";

/// A unit as a generation with our hooks has it.
const HOOKED: &str = "[X-Container]\nImage=ghcr.io/open-webui/open-webui:v0.6.38\n[Service]\nExecStop=-%E/aidb/bin/aidb-snapshot take --reason stop --unproven --deadline 20s open-webui\nExecStop=podman rm\n";

/// The same without them, as it was before.
const BARE: &str =
    "[X-Container]\nImage=ghcr.io/open-webui/open-webui:v0.6.38\n[Service]\nExecStop=podman rm\n";

/// A home with a data folder, two generations, and units that run as a file says.
struct Switch {
    stack: Stack,
}

impl Switch {
    /// A home of which a proven snapshot exists. The container runs, and the switch changes its unit.
    fn new() -> Self {
        let switch = Self::fresh();
        let _ = switch.stack.run("aidb take").with(0);
        switch
    }

    /// The same, of which nothing is known.
    fn fresh() -> Self {
        let switch = Self { stack: with(SMALL) };
        switch.configure(&json!({ "unit": UNIT }), &json!({}));
        switch.is_running("active");
        switch.storage(&json!([]));
        switch.old_settings();
        switch.unit("old", Some(HOOKED));
        switch.unit("new", Some(&format!("{HOOKED}Environment=NEW=1\n")));
        switch
    }

    fn path(&self, path: &str) -> PathBuf {
        self.stack.home().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Writes the settings, with `systemctl` as a program that answers from the file `state`.
    fn configure(&self, guard: &Value, more: &Value) {
        self.stack.write_settings(guard);
        let text = std::fs::read_to_string(self.stack.settings()).unwrap();
        let mut settings: Value = serde_json::from_str(&text).unwrap();
        let systemctl = self.path("systemctl");
        settings["programs"] = json!({ "systemctl": systemctl });
        for (key, value) in more.as_object().unwrap() {
            settings[key] = value.clone();
        }
        std::fs::write(self.stack.settings(), settings.to_string()).unwrap();
        let state = self.path("state");
        let script = format!(
            "#!/bin/sh\nstate=$(cat {state})\nif [ \"$state\" = none ]; then echo 'Failed to connect to bus' >&2; exit 1; fi\nif [ \"$2\" = is-active ] && [ \"$3\" = -- ]; then shift 3; for unit; do echo \"$state\"; done; fi\nif [ \"$2\" = stop ]; then echo inactive > {state}; fi\n[ \"$state\" = active ]\n",
            state = state.display()
        );
        std::fs::write(&systemctl, script).unwrap();
        std::fs::set_permissions(&systemctl, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Sets what `systemctl` answers: a state, or `none` where there is no manager.
    fn is_running(&self, state: &str) {
        self.write("state", state);
    }

    /// Gives the generation that is active the settings of now.
    fn old_settings(&self) {
        let text = std::fs::read_to_string(self.stack.settings()).unwrap();
        self.write("old/home-files/.config/aidb/stack.json", &text);
    }

    fn unit(&self, generation: &str, text: Option<&str>) {
        let path = format!("{generation}/home-files/.config/systemd/user/{UNIT}");
        match text {
            Some(text) => self.write(&path, text),
            None => std::fs::remove_file(self.path(&path)).unwrap(),
        }
    }

    /// Lays out Podman's storage, with these containers.
    fn storage(&self, containers: &Value) {
        std::fs::create_dir_all(self.path("pods/overlay")).unwrap();
        self.write(
            "pods/overlay-containers/volatile-containers.json",
            &containers.to_string(),
        );
        let root = format!(
            "[storage]\ngraphroot = \"{}\"\n",
            self.path("pods").display()
        );
        self.write(".config/containers/storage.conf", &root);
    }

    /// Lays out the layer of the container, in which a file lies.
    fn layer(&self, file: &str, content: &[u8]) {
        let path = self.path("pods/overlay/f53c/diff").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.storage(&json!([{ "id": "34e15a9285020000", "names": ["open-webui"], "image": "4873", "layer": "f53c",
            "created": "2026-11-25T14:53:53Z" }]));
    }

    fn gate(&self, more: &str) -> Ran {
        let line = format!("aidb-precheck check --at switch --from old --to new {more}");
        self.stack.run(line.trim())
    }

    fn snapshots(&self) -> Vec<(String, String)> {
        let list = self.stack.run("aidb list --json").with(0).json();
        let all = list["snapshots"].as_array().unwrap().iter();
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        all.map(|s| (text(&s["guard"]), text(&s["reason"])))
            .collect()
    }

    fn empty(&self) {
        damage::empty_database(&self.stack.data().join("webui.db"));
    }
}

#[test]
fn one_line_is_said_when_all_is_well() {
    let switch = Switch::new();
    insta::assert_snapshot!(switch.gate(""), @"
    aidb: the data of 1 guard is fit; this switch restarts open-webui
    --- status 0
    ");
    switch.unit("new", Some(HOOKED));
    insta::assert_snapshot!(switch.gate(""), @"
    aidb: the data of 1 guard is fit; this switch restarts none of them
    --- status 0
    ");
    assert_eq!(
        switch.snapshots().len(),
        1,
        "each stop keeps its own snapshot"
    );
}

#[test]
fn a_switch_that_would_restart_a_container_on_lost_data_is_refused() {
    let switch = Switch::new();
    switch.empty();
    let before = tree_state(&switch.stack.data());
    let refused = switch.gate("");
    insta::assert_snapshot!(refused, @r#"
    aidb: this switch would stop open-webui, and its data is not fit. Nothing was changed; what runs goes on running.
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui --stop
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    to go on all the same: AIDB_GATE=warn home-manager switch, or services.aidb.gate = "warn"
    --- status 1
    "#);
    assert_eq!(tree_state(&switch.stack.data()), before);
    // The next step works as it is printed, while the container runs.
    let step = switch.stack.printed(&refused.commands("bring it back")[0]);
    let _ = switch.stack.shell(&step).with(0);
    switch.is_running("active");
    let _ = switch.gate("").with(0);
}

#[test]
fn a_container_that_goes_for_good_is_held_too() {
    let switch = Switch::new();
    switch.empty();
    switch.unit("new", None);
    let _ = switch.gate("").with(1);
}

/// Never for an edit elsewhere, at boot, on a fresh machine, or where nothing can be asked.
#[test]
fn what_the_switch_does_not_stop_is_only_told() {
    let switch = Switch::new();
    switch.empty();
    switch.unit("new", Some(HOOKED));
    insta::assert_snapshot!(switch.gate(""), @"
    warn  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    --- status 0
    ");
    switch.unit(
        "new",
        Some(&HOOKED.replace("[Service]", "[Unit]\nDescription=other\n[Service]")),
    );
    let _ = switch.gate("").with(0);
    switch.unit("new", Some(BARE));
    for state in ["inactive", "failed", "none"] {
        switch.is_running(state);
        let _ = switch.gate("").with(0);
    }
    switch.is_running("active");
    let _ = switch.gate("").with(1);
    let _ = switch
        .stack
        .run("aidb-precheck check --at switch --to new")
        .with(0);
    std::fs::remove_file(switch.path("systemctl")).unwrap();
    let _ = switch.gate("").with(0);
}

#[test]
fn a_refusal_can_be_overruled() {
    let switch = Switch::new();
    switch.empty();
    let mut command = switch.stack.command("aidb-precheck");
    command.args(["check", "--at", "switch", "--from", "old", "--to", "new"]);
    let overruled = switch.stack.ran(command.env("AIDB_GATE", "warn"));
    insta::assert_snapshot!(overruled, @"
    hold  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          on DATE UTC it had 14 chat, 4 user
          bring it back:         BIN/aidb restore open-webui --stop
          or let it pass once:   BIN/aidb allow open-webui sqlite.empty-file --reason 'I have looked at it'
    aidb: going on all the same, as services.aidb.gate or AIDB_GATE says
    --- status 0
    ");
    switch.configure(&json!({ "unit": UNIT }), &json!({ "gate": "warn" }));
    let _ = switch.gate("").with(0);
}

/// The start that follows is held by the same finding and needs the permission.
#[test]
fn a_permission_passes_the_gate_and_the_start_after_it() {
    let switch = Switch::new();
    switch.empty();
    let allow = "aidb allow open-webui sqlite.empty-file --reason tried";
    let _ = switch.stack.run(allow).with(0);
    insta::assert_snapshot!(switch.gate(""), @"
    warn  open-webui/chats  `webui.db` has 0 bytes  [sqlite.empty-file]
          allowed to pass this once; on DATE UTC it had 14 chat, 4 user
    --- status 0
    ");
    let start = "aidb-precheck check --at start open-webui";
    let _ = switch.stack.run(start).with(0);
    let _ = switch.stack.run(start).with(1);
    let _ = switch.gate("").with(1);
}

/// A start would only warn: kept, the permission would let a later loss pass.
#[test]
fn a_permission_that_the_start_does_not_need_is_used_up_at_the_gate() {
    let switch = Switch::new();
    let database = switch.stack.data().join("webui.db");
    let sqlite = rusqlite::Connection::open(&database).unwrap();
    sqlite.execute_batch("delete from chat").unwrap();
    drop(sqlite);
    let _ = switch.gate("").with(1);
    let allow = "aidb allow open-webui contract.rows-shrunk --reason tried";
    let _ = switch.stack.run(allow).with(0);
    let _ = switch.gate("--dry-run").with(0);
    let _ = switch.gate("").with(0);
    let _ = switch.gate("").with(1);
}

#[test]
fn the_switch_that_brings_the_hooks_keeps_what_runs() {
    let switch = Switch::fresh();
    std::fs::remove_dir_all(switch.path("old/home-files/.config/aidb")).unwrap();
    switch.unit("old", Some(BARE));
    switch.unit("new", Some(HOOKED));
    insta::assert_snapshot!(switch.gate("--dry-run"), @"
    would keep a snapshot of open-webui (what runs now keeps nothing when it stops)
    aidb: the data of 1 guard is fit; this switch restarts open-webui
    --- status 0
    ");
    assert_eq!(switch.snapshots(), []);
    insta::assert_snapshot!(switch.gate(""), @"
    kept  open-webui/000001-TIME-switch  5 files, SIZE written, before this switch (what runs now keeps nothing when it stops)
    aidb: the data of 1 guard is fit; this switch restarts open-webui
    --- status 0
    ");
    assert_eq!(
        switch.snapshots(),
        [("open-webui".to_owned(), "switch".to_owned())]
    );
    // Nothing runs: nothing can be lost.
    switch.is_running("inactive");
    let _ = switch.gate("").with(0);
    assert_eq!(switch.snapshots().len(), 1);
}

/// The incident: the data was in the container's own layer, and the switch that brings the hooks destroys it.
#[test]
fn the_switch_that_brings_the_hooks_keeps_what_the_layer_holds() {
    let switch = Switch::fresh();
    switch.unit("old", Some(BARE));
    let database = std::fs::read(switch.stack.data().join("webui.db")).unwrap();
    switch.layer("app/backend/data/webui.db", &database);
    insta::assert_snapshot!(switch.gate(""), @"
    rescued open-webui/rescue/000001-TIME-34e15a928502  1 file, 612 KiB
    warn  open-webui  a database lies in the container's own layer and goes with it  [layer.database]
          `/app/backend/data/webui.db` (26 tables, 612 KiB); kept as `open-webui/rescue/000001-TIME-34e15a928502`
          put it into the data folder: BIN/aidb restore open-webui --rescue 1
          see what it holds:     BIN/aidb show open-webui/rescue/000001-TIME-34e15a928502
    kept  open-webui/000001-TIME-switch  5 files, SIZE written, before this switch (what runs now keeps nothing when it stops)
    aidb: the data of 1 guard is fit; this switch restarts open-webui
    --- status 0
    ");
    let kept = switch.path("vault/open-webui/rescue");
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 1);
    // A dry run rescues nothing, and an ordinary switch leaves the layer to the hooks.
    std::fs::remove_dir_all(switch.path("vault")).unwrap();
    let _ = switch.gate("--dry-run").with(0);
    switch.unit("old", Some(HOOKED));
    let _ = switch.gate("").with(0);
    assert!(!switch.path("vault/open-webui/rescue").exists());
}

/// Home Manager's own steps call Podman, whose first call of a boot removes what a power cut left.
#[test]
fn what_an_earlier_boot_left_is_rescued_first() {
    let switch = Switch::new();
    switch.is_running("none");
    switch.layer("app/letter.txt", b"dear");
    let mut command = switch.stack.command("aidb-precheck");
    command.args(["check", "--at", "switch", "--from", "old", "--to", "new"]);
    command.env("XDG_RUNTIME_DIR", switch.path("run"));
    let first = switch.stack.ran(&mut command).with(0);
    assert!(
        first
            .stdout
            .starts_with("rescued open-webui/rescue/000001-"),
        "{first}"
    );
    let second = switch.stack.ran(&mut command).with(0);
    assert!(!second.stdout.contains("rescued"), "{second}");
}

#[test]
fn a_refused_switch_keeps_nothing_and_an_overruled_one_keeps_it_apart() {
    let switch = Switch::new();
    switch.unit("old", Some(BARE));
    switch.empty();
    let _ = switch.gate("").with(1);
    assert_eq!(switch.snapshots().len(), 1);
    switch.configure(&json!({ "unit": UNIT }), &json!({ "gate": "warn" }));
    let _ = switch.gate("").with(0);
    let list = switch.stack.run("aidb list --json").with(0).json();
    let suspicious = list["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| !s["suspicious"].is_null());
    assert_eq!(suspicious.count(), 1, "{list}");
}

#[test]
fn a_guard_that_leaves_the_settings_or_moves_is_kept_as_it_was() {
    let switch = Switch::new();
    switch.write("elsewhere/file", "new");
    let moved = json!({ "unit": UNIT, "data": switch.path("elsewhere"), "stores": { "chats": null, "uploads": null, "vectors": null } });
    switch.configure(&moved, &json!({}));
    insta::assert_snapshot!(switch.gate(""), @"
    kept  open-webui/000002-TIME-switch  5 files, SIZE written, before this switch (its data moves)
    aidb: the data of 2 guards is fit; this switch restarts open-webui
    --- status 0
    ");
    switch.configure(&json!({}), &json!({ "guards": {} }));
    insta::assert_snapshot!(switch.gate(""), @"
    kept  open-webui/000003-TIME-switch  5 files, SIZE written, before this switch (it is no longer guarded)
    aidb: the data of 1 guard is fit; this switch restarts open-webui
    --- status 0
    ");
    let reasons: Vec<String> = switch
        .snapshots()
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(reasons, ["manual", "switch", "switch"]);
    let shown = switch.stack.run("aidb show open-webui/3").with(0);
    assert!(shown.stdout.contains("webui.db"), "{shown}");
}

#[test]
fn a_dry_run_writes_nothing_at_all() {
    let switch = Switch::fresh();
    switch.unit("old", Some(BARE));
    let before = tree_state(switch.stack.home());
    let _ = switch.gate("--dry-run").with(0);
    let mut after = tree_state(switch.stack.home());
    // A temporary folder came and went.
    let home = |state: &mut std::collections::BTreeMap<String, String>| state.remove("");
    let mut before = before;
    home(&mut before);
    home(&mut after);
    assert_eq!(after, before);
    // Also with a vault and a ledger.
    let _ = switch.stack.run("aidb take").with(0);
    switch.empty();
    let ledger = switch.path(".local/state/aidb/ledger.db");
    let before = std::fs::read(&ledger).unwrap();
    let _ = switch.gate("--dry-run").with(1);
    assert_eq!(std::fs::read(&ledger).unwrap(), before);
}

#[test]
fn an_image_that_is_older_than_the_data_is_refused_and_its_own_snapshot_is_named() {
    let switch = Switch::fresh();
    let image = |version: &str| HOOKED.replace("v0.6.38", version);
    // A snapshot of the gate knows which image ran.
    switch.unit("old", Some(&BARE.replace("v0.6.38", "v0.6.30")));
    switch.unit("new", Some(&image("v0.6.38")));
    let _ = switch.gate("").with(0);
    let _ = switch.stack.run("aidb prove").with(0);
    // The newer one migrates.
    let database = rusqlite::Connection::open(switch.stack.data().join("webui.db")).unwrap();
    database
        .execute_batch("update alembic_version set version_num = 'ffffffffffff'")
        .unwrap();
    switch.unit("old", Some(BARE));
    let _ = switch.gate("").with(0);
    let _ = switch.stack.run("aidb prove").with(0);
    // And back.
    switch.unit("old", Some(&image("v0.6.38")));
    switch.unit("new", Some(&image("v0.6.30")));
    insta::assert_snapshot!(switch.gate(""), @r#"
    aidb: this switch would stop open-webui, and its data is not fit. Nothing was changed; what runs goes on running.
    hold  open-webui/chats  the image of this switch is older than the schema of the data  [image.older-than-data]
          the data has revision `ffffffffffff`, first kept on DATE UTC with `ghcr.io/open-webui/open-webui:v0.6.38`; `ghcr.io/open-webui/open-webui:v0.6.30` last ran on `37f288994c47`
          bring back its data:   BIN/aidb restore open-webui --snapshot 000001-TIME-switch --stop
          or let it pass once:   BIN/aidb allow open-webui image.older-than-data --reason 'I have looked at it'
    to go on all the same: AIDB_GATE=warn home-manager switch, or services.aidb.gate = "warn"
    --- status 1
    "#);
    switch.unit("new", Some(&image("v0.6.39")));
    let _ = switch.gate("").with(0);

    drop(database);
    // However the older image came, a start says so, and lets it pass: the data is as it should be.
    let present = format!(".config/systemd/user/{UNIT}");
    switch.write(&present, &image("v0.6.30"));
    let start = || {
        switch
            .stack
            .run("aidb-precheck check --at start open-webui")
    };
    insta::assert_snapshot!(start(), @r#"
    warn  open-webui/chats  the image that starts is older than the schema of the data  [image.older-than-data]
          the data has revision `ffffffffffff`, first kept on DATE UTC with `ghcr.io/open-webui/open-webui:v0.6.38`; `ghcr.io/open-webui/open-webui:v0.6.30` last ran on `37f288994c47`
          bring back its data:   BIN/aidb restore open-webui --snapshot 000001-TIME-switch
    ok    open-webui/uploads  read
    ok    open-webui/vectors  not there yet
    --- status 0
    "#);
    let newer = switch
        .stack
        .run("aidb restore open-webui --snapshot 2 --dry-run");
    insta::assert_snapshot!(newer, @r#"
    warn  open-webui/chats  `open-webui/000002-TIME-switch` is of a newer schema than the image that is there  [image.older-than-data]
          the data has revision `ffffffffffff`, first kept on DATE UTC with `ghcr.io/open-webui/open-webui:v0.6.38`; `ghcr.io/open-webui/open-webui:v0.6.30` last ran on `37f288994c47`
          bring back its data:   BIN/aidb restore open-webui --snapshot 000001-TIME-switch
    would restore open-webui from open-webui/000002-TIME-switch (5 files, 632 KiB)
    would keep what is there now as `~/ai/open-webui.aidb-before-TIME`
    would carry over `cache`, which no snapshot holds
    --- status 0
    "#);
    let paired = switch
        .stack
        .run("aidb restore open-webui --snapshot 1 --dry-run");
    assert!(!paired.stdout.contains("image.older-than-data"), "{paired}");
    switch.write(&present, &image("v0.6.39"));
    assert!(!start().stdout.contains("image.older-than-data"));
}

#[test]
fn without_time_it_says_so_and_refuses_nothing() {
    let switch = Switch::new();
    let late = switch.gate("--deadline 0s").with(3);
    assert!(late.stdout.contains("[check.deadline]"), "{late}");
}

#[test]
fn settings_of_the_old_generation_that_cannot_be_used_are_told() {
    let switch = Switch::new();
    switch.write(
        "old/home-files/.config/aidb/stack.json",
        "{ \"schema\": 99 }",
    );
    let told = switch.gate("").with(0);
    assert!(
        told.stderr
            .contains("the settings of the generation that is active cannot be used"),
        "{told}"
    );
}

#[test]
fn the_document_holds_the_guards_and_what_was_kept() {
    let switch = Switch::fresh();
    switch.unit("old", Some(BARE));
    let document = switch.gate("--json").with(0).json();
    assert_eq!(document["guards"][0]["name"], "open-webui");
    assert_eq!(document["snapshots"][0]["reason"], "switch");
}
