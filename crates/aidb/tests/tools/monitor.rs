//! The monitor: what is new is told once, by every way, for its cause; metrics and page.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aidb_testkit::{Stack, damage, left_out};
use serde_json::{Value, json};

use crate::{SMALL, kept, with};

/// Writes a program that is a shell script.
fn script(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

/// Changes the settings.
fn set(stack: &Stack, change: impl FnOnce(&mut Value)) {
    let mut settings: Value =
        serde_json::from_slice(&std::fs::read(stack.settings()).unwrap()).unwrap();
    change(&mut settings);
    std::fs::write(stack.settings(), settings.to_string()).unwrap();
}

fn heard(stack: &Stack) -> PathBuf {
    stack.home().join("heard")
}

/// Gives the stack a command that keeps what it is told, and no desktop.
pub(crate) fn with_ears(stack: &Stack) {
    let ears = stack.home().join("ears");
    script(&ears, &format!("cat >> '{}'", heard(stack).display()));
    set(stack, |s| {
        s["alert"] = json!({ "desktop": false, "command": [ears], "quietHours": 0 });
        s["programs"]["systemctl"] = json!("/nowhere/systemctl");
        s["programs"]["podman"] = json!("/nowhere/podman");
    });
}

/// Returns what was told since the last time, as `EVENT ID`.
pub(crate) fn told(stack: &Stack) -> Vec<String> {
    let text = std::fs::read_to_string(heard(stack)).unwrap_or_default();
    let _ = std::fs::remove_file(heard(stack));
    let mut told = Vec::new();
    for document in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        for alert in document.unwrap()["alerts"].as_array().unwrap() {
            let word = |key: &str| alert[key].as_str().unwrap().to_owned();
            told.push(format!("{} {}", word("event"), word("id")));
        }
    }
    told
}

fn check(stack: &Stack) -> aidb_testkit::Ran {
    stack.run("aidb-monitor check")
}

#[test]
fn a_finding_is_told_once_and_its_end_once() {
    let stack = kept();
    with_ears(&stack);
    let database = stack.data().join("webui.db");
    let good = std::fs::read(&database).unwrap();
    let _ = check(&stack).with(0);
    assert_eq!(told(&stack), [""; 0]);
    damage::empty_database(&database);
    let first = check(&stack).with(1);
    assert!(
        first
            .stderr
            .contains("open-webui/chats: `webui.db` has 0 bytes"),
        "{first}"
    );
    assert_eq!(told(&stack), ["opened sqlite.empty-file"]);
    let second = check(&stack).with(1);
    assert!(second.stderr.is_empty(), "{second}");
    assert_eq!(told(&stack), [""; 0]);
    std::fs::write(&database, good).unwrap();
    let _ = check(&stack).with(0);
    assert_eq!(told(&stack), ["ended sqlite.empty-file"]);
    let _ = check(&stack).with(0);
    assert_eq!(told(&stack), [""; 0]);
}

#[test]
fn what_no_way_could_tell_is_told_at_the_next_look() {
    let stack = kept();
    with_ears(&stack);
    let ears = stack.home().join("ears");
    let hearing = std::fs::read_to_string(&ears).unwrap();
    script(&ears, "echo 'no route to host' >&2; exit 7");
    damage::empty_database(&stack.data().join("webui.db"));
    let first = check(&stack).with(1);
    assert!(first.stderr.contains("no route to host"), "{first}");
    let status = stack.run("aidb status").with(1);
    assert!(
        status.stdout.contains("1 alert could not be told yet"),
        "{status}"
    );
    std::fs::write(&ears, hearing).unwrap();
    let _ = check(&stack).with(1);
    assert_eq!(told(&stack), ["opened sqlite.empty-file"]);
    let status = stack.run("aidb status").with(1);
    assert!(!status.stdout.contains("could not be told"), "{status}");
}

/// One way that fails is no reason to tell twice by the other.
#[test]
fn one_way_that_works_is_enough() {
    let stack = kept();
    with_ears(&stack);
    let desktop = stack.home().join("notify-send");
    script(&desktop, "echo 'no session bus' >&2; exit 1");
    set(&stack, |s| {
        s["alert"]["desktop"] = json!(true);
        s["programs"]["notifySend"] = json!(desktop);
    });
    damage::empty_database(&stack.data().join("webui.db"));
    let _ = check(&stack).with(1);
    let _ = check(&stack).with(1);
    assert_eq!(told(&stack), ["opened sqlite.empty-file"]);
}

#[test]
fn a_notification_is_urgent_for_a_hold_and_holds_no_markup() {
    let stack = kept();
    with_ears(&stack);
    let desktop = stack.home().join("notify-send");
    script(
        &desktop,
        &format!("printf '%s|' \"$@\" >> '{}'", heard(&stack).display()),
    );
    set(&stack, |s| {
        s["alert"] = json!({ "desktop": true });
        s["programs"]["notifySend"] = json!(desktop);
    });
    damage::empty_database(&stack.data().join("webui.db"));
    let _ = check(&stack).with(1);
    let shown = std::fs::read_to_string(heard(&stack)).unwrap();
    assert!(
        shown.contains("--urgency=critical|--|open-webui/chats: `webui.db` has 0 bytes|"),
        "{shown}"
    );
    assert!(shown.contains("bring it back: "), "{shown}");
    assert!(!shown.contains('<') && !shown.contains("& "), "{shown}");
}

/// The world around one guard, as Podman and systemd tell it.
struct World {
    stack: Stack,
    /// The container's id, or that there is none.
    container: Option<&'static str>,
    source: PathBuf,
    unit: &'static str,
    podman_fails: bool,
}

impl World {
    fn new() -> Self {
        let stack = kept();
        with_ears(&stack);
        let place = |name: &str| stack.home().join(name);
        std::fs::create_dir_all(place(".config/containers")).unwrap();
        let storage = place("storage");
        let settings = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{}\"\n",
            storage.display()
        );
        std::fs::write(place(".config/containers/storage.conf"), settings).unwrap();
        std::fs::create_dir_all(storage.join("overlay-containers")).unwrap();
        let listed =
            json!([{ "id": "aaaa", "names": ["open-webui"], "image": "x", "layer": "f53c" }]);
        let list = storage.join("overlay-containers/volatile-containers.json");
        std::fs::write(list, listed.to_string()).unwrap();
        std::fs::create_dir_all(storage.join("overlay/f53c/diff/etc")).unwrap();
        let source = stack.data();
        let unit = "podman-open-webui.service";
        set(&stack, |s| s["guards"]["open-webui"]["unit"] = json!(unit));
        Self {
            stack,
            container: Some("aaaa"),
            source,
            unit: "active",
            podman_fails: false,
        }
    }

    /// Returns the folder of the container's own layer.
    fn layer(&self) -> PathBuf {
        self.stack.home().join("storage/overlay/f53c/diff")
    }

    /// Looks; returns what was told.
    fn look(&self) -> Vec<String> {
        let place = |name: &str| self.stack.home().join(name);
        let container = json!([{
            "Id": self.container.unwrap_or_default(), "Name": "open-webui", "Image": "x",
            "State": { "Running": true, "Pid": 0 }, "GraphDriver": { "Name": "overlay" },
            "Mounts": [{ "Type": "bind", "Source": self.source, "Destination": "/app/backend/data", "RW": true }],
        }]);
        let podman = if self.podman_fails {
            "echo 'Error: database is locked' >&2; exit 125".to_owned()
        } else if self.container.is_none() {
            "[ \"$2\" = exists ] && exit 1; echo 'no such container' >&2; exit 125".to_owned()
        } else {
            format!("echo '{container}'")
        };
        script(&place("podman"), &podman);
        let states = format!(
            "LoadState=loaded\\nActiveState={}\\nResult=exit-code\\nNRestarts=0\\n",
            self.unit
        );
        script(&place("systemctl"), &format!("printf '{states}'"));
        set(&self.stack, |s| {
            s["programs"] = json!({ "podman": place("podman"), "systemctl": place("systemctl") });
        });
        let _ = check(&self.stack);
        told(&self.stack)
    }

    /// Runs a hook of the container's unit.
    fn hook(&self, line: &str, variables: &[(&str, &str)]) {
        let mut words = line.split(' ');
        let mut command = self.stack.command(words.next().unwrap());
        command.args(words).envs(variables.iter().copied());
        let _ = self.stack.ran(&mut command).with(0);
    }

    fn start(&self, invocation: &str) {
        self.hook(
            "aidb-precheck check --at start open-webui",
            &[("INVOCATION_ID", invocation)],
        );
    }

    fn stop(&self, invocation: &str, result: &str, code: &str, status: &str) {
        let line = "aidb-snapshot take --reason stop --unproven open-webui";
        let told = [
            ("INVOCATION_ID", invocation),
            ("SERVICE_RESULT", result),
            ("EXIT_CODE", code),
            ("EXIT_STATUS", status),
        ];
        self.hook(line, &told);
    }
}

/// Each alert is seen once for its cause, and its end once when the cause has gone.
#[test]
fn each_alert_is_told_once_for_its_cause() {
    type Change = fn(&mut World);
    let causes: [(&str, Change, Change); 6] = [
        (
            "container.missing",
            |w| w.container = None,
            |w| w.container = Some("aaaa"),
        ),
        ("unit.failed", |w| w.unit = "failed", |w| w.unit = "active"),
        (
            "mount.other",
            |w| {
                w.source = w.stack.home().join("other");
                std::fs::create_dir_all(&w.source).unwrap();
            },
            |w| w.source = w.stack.data(),
        ),
        (
            "layer.database",
            |w| {
                let folder = w.layer().join("app/other");
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::copy(w.stack.data().join("webui.db"), folder.join("webui.db")).unwrap();
            },
            |w| std::fs::remove_dir_all(w.layer().join("app")).unwrap(),
        ),
        (
            "sqlite.not-sqlite",
            |w| {
                let database = w.stack.data().join("webui.db");
                std::fs::copy(&database, w.stack.home().join("good.db")).unwrap();
                std::fs::write(database, "a letter to the editor".repeat(999)).unwrap();
            },
            |w| {
                let database = w.stack.data().join("webui.db");
                std::fs::copy(w.stack.home().join("good.db"), database).unwrap();
            },
        ),
        (
            "snapshot.none-proven",
            |w| std::fs::rename(w.stack.vault(), w.stack.home().join("away")).unwrap(),
            |w| {
                std::fs::remove_dir_all(w.stack.vault()).unwrap();
                std::fs::rename(w.stack.home().join("away"), w.stack.vault()).unwrap();
            },
        ),
    ];
    let mut world = World::new();
    assert_eq!(world.look(), [""; 0]);
    for (id, appears, goes) in causes {
        appears(&mut world);
        assert_eq!(world.look(), [format!("opened {id}")], "{id}");
        assert_eq!(world.look(), [""; 0], "{id}");
        goes(&mut world);
        assert_eq!(world.look(), [format!("ended {id}")], "{id}");
        assert_eq!(world.look(), [""; 0], "{id}");
    }
}

#[test]
fn a_container_that_its_hooks_announced_is_no_recreation_and_one_made_by_hand_is() {
    let mut world = World::new();
    world.start("1");
    assert_eq!(world.look(), [""; 0]);
    world.stop("1", "success", "", "");
    world.stop("1", "success", "exited", "143");
    world.start("2");
    world.container = Some("bbbb");
    assert_eq!(world.look(), [""; 0]);
    world.container = Some("cccc");
    assert_eq!(world.look(), ["opened container.recreated"]);
    let status = world.stack.run("aidb status --json").with(0).json();
    assert_eq!(status["guards"][0]["starts_last_week"], 3);
    let shown = world.stack.run("aidb status").with(0);
    assert!(shown.stdout.contains("3 (1 stopped, 1 unseen)"), "{shown}");
}

#[test]
fn three_crashes_in_a_row_are_told_as_a_loop() {
    let world = World::new();
    for invocation in ["1", "2", "3"] {
        world.start(invocation);
        world.stop(invocation, "exit-code", "exited", "1");
    }
    world.start("4");
    assert_eq!(world.look(), ["opened container.crash-loop"]);
}

/// What Podman cannot say has not gone, and passes by itself most of the time: it is told when it stays.
#[test]
fn that_podman_is_locked_is_told_when_it_stays_and_ends_nothing() {
    let mut world = World::new();
    world.container = None;
    assert_eq!(world.look(), ["opened container.missing"]);
    world.podman_fails = true;
    assert_eq!(world.look(), [""; 0]);
    assert_eq!(world.look(), ["opened check.could-not"]);
    let ran = check(&world.stack).with(3);
    assert!(ran.stdout.contains("database is locked"), "{ran}");
    world.podman_fails = false;
    assert_eq!(world.look(), ["ended check.could-not"]);
}

#[test]
fn without_podman_a_folder_is_looked_at_all_the_same() {
    let stack = kept();
    with_ears(&stack);
    let _ = check(&stack).with(0);
}

#[test]
fn on_failure_says_which_guard_why_and_what_to_do() {
    let mut world = World::new();
    world.unit = "failed";
    damage::empty_database(&world.stack.data().join("webui.db"));
    // What holds the start is one piece of news; that its unit failed is how it is held.
    assert_eq!(world.look(), ["opened sqlite.empty-file"]);
    let again = world
        .stack
        .run("aidb-monitor alert --unit podman-open-webui.service")
        .with(0);
    assert_eq!(told(&world.stack), [""; 0], "{again}");
    let other = world
        .stack
        .run("aidb-monitor alert --unit aidb-backup.service")
        .with(0);
    assert!(
        other
            .stderr
            .contains("aidb-backup.service: `aidb-backup.service` failed"),
        "{other}"
    );
    assert!(
        other
            .stderr
            .contains("journalctl --user -u aidb-backup.service"),
        "{other}"
    );
    assert_eq!(told(&world.stack), ["opened unit.failed"]);
    // Fit data and a unit that is still down is news again.
    let _ = world.stack.run("aidb restore open-webui").with(0);
    assert_eq!(
        world.look(),
        ["ended sqlite.empty-file", "opened unit.failed"]
    );
    world.unit = "active";
    assert_eq!(world.look(), ["ended unit.failed", "ended unit.failed"]);
}

#[test]
fn a_broken_ledger_is_rebuilt_said_and_the_look_goes_on() {
    let stack = kept();
    with_ears(&stack);
    crate::ledger::break_ledger(&stack, &[0x5a; 9000]);
    let ran = check(&stack).with(0);
    assert!(ran.stderr.contains("the ledger was broken"), "{ran}");
    let ran = check(&stack).with(0);
    assert!(ran.stderr.is_empty(), "{ran}");
}

/// One sample of the text format: name, labels, value.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let is_name = |t: &str| {
        !t.is_empty()
            && t.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
            && !t.starts_with(|c: char| c.is_ascii_digit())
    };
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => (
            name,
            rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}")),
        ),
        None => (head, ""),
    };
    assert!(is_name(name), "{line}");
    let mut found = Vec::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(key) && !key.contains(':'), "{line}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("{line}")) {
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("escaped `{c}` in {line}"),
                },
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        found.push((key.to_owned(), value));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    (name.to_owned(), found, value.parse().unwrap())
}

#[test]
fn metrics_are_in_the_format_that_prometheus_reads() {
    let stack = kept();
    let printed = stack.run("aidb metrics").with(0).stdout;
    let mut seen = std::collections::BTreeSet::new();
    let mut family = String::new();
    let mut families = std::collections::BTreeSet::new();
    for line in printed.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            rest.split_once(' ').unwrap().0.clone_into(&mut family);
            assert!(families.insert(family.clone()), "twice: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert_eq!(rest, format!("{family} gauge"));
        } else {
            let (name, labels, _) = sample(line);
            assert_eq!(name, family);
            assert!(seen.insert((name, labels)), "twice: {line}");
        }
    }
    let value = |line: &str| {
        let found = printed.lines().find_map(|l| l.strip_prefix(line));
        found
            .unwrap_or_else(|| panic!("no {line} in {printed}"))
            .trim()
            .to_owned()
    };
    assert_eq!(
        value("aidb_guard_verdict{guard=\"open-webui\",verdict=\"pass\"}"),
        "1"
    );
    assert_eq!(
        value("aidb_store_rows{guard=\"open-webui\",store=\"chats\",table=\"chat\"}"),
        "14"
    );
    assert_eq!(
        value("aidb_snapshots{guard=\"open-webui\",state=\"proven\"}"),
        "1"
    );
    let file = stack.home().join("aidb.prom");
    let _ = stack.run("aidb metrics --to aidb.prom").with(0);
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("# HELP aidb_")
    );
    let left = std::fs::read_dir(stack.home()).unwrap().flatten();
    assert!(
        left.into_iter()
            .all(|e| !e.file_name().to_string_lossy().starts_with(".new-"))
    );
    let nowhere = stack.run("aidb metrics --to nowhere/aidb.prom").with(3);
    assert!(nowhere.stderr.contains("nowhere"), "{nowhere}");

    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::fs::File::open(&file).unwrap())
        .output();
    match promtool {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(e) => left_out("metrics read by promtool", &e.to_string()),
    }
}

#[test]
fn the_page_is_whole_escapes_what_it_shows_and_needs_nothing_from_elsewhere() {
    let stack = with(SMALL);
    let name = "a<b>&\"c";
    let data = stack.home().join(name);
    std::fs::rename(stack.data(), &data).unwrap();
    stack.write_settings(&json!({ "data": data }));
    damage::empty_database(&data.join("webui.db"));
    let _ = stack.run("aidb report --to page.html").with(0);
    let page = std::fs::read_to_string(stack.home().join("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    assert!(
        page.contains("a&lt;b&gt;&amp;&quot;c") && !page.contains(name),
        "not escaped"
    );
    assert!(page.contains("Something should be looked at"), "{page}");
    for foreign in [
        "<script",
        "http://",
        "https://",
        "url(",
        "@import",
        " src=",
        "javascript:",
    ] {
        assert!(!page.contains(foreign), "`{foreign}` in the page");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
    // Every element that is opened is closed, in its order.
    let mut open: Vec<&str> = Vec::new();
    let body = &page[page.find("<html").unwrap()..];
    for tag in body.split('<').skip(1) {
        let word = tag
            .split(|c: char| c.is_whitespace() || c == '>')
            .next()
            .unwrap();
        let is_void = tag.split('>').next().unwrap().ends_with('/') || word == "meta";
        match word.strip_prefix('/') {
            Some(end) => assert_eq!(open.pop(), Some(end), "</{end}>"),
            None if !is_void => open.push(word),
            None => {}
        }
    }
    assert_eq!(open, [""; 0]);
    in_a_browser(&stack, &stack.home().join("page.html"));
}

/// The browser's own reading of it: no wider than a phone, and its text is there.
fn in_a_browser(stack: &Stack, page: &Path) {
    let programs = ["chromium", "chromium-browser", "google-chrome"];
    let is_there = |program: &str| {
        let asked = std::process::Command::new(program)
            .arg("--version")
            .output();
        asked.is_ok_and(|o| o.status.success())
    };
    let Some(program) = programs.into_iter().find(|p| is_there(p)) else {
        return left_out("the page in a browser", "there is no chromium");
    };
    // The page allows no script, so the measuring stands around it.
    let frame = stack.home().join("frame.html");
    let around = format!(
        "<body style=\"margin:0\"><iframe id=f style=\"border:0;width:390px;height:900px\" src=\"{}\"></iframe><script>\
         f.onload=()=>{{let d=f.contentDocument;document.body.dataset.width=d.documentElement.scrollWidth;\
         document.body.dataset.title=d.title}}</script>",
        page.file_name().unwrap().display()
    );
    std::fs::write(&frame, around).unwrap();
    let output = std::process::Command::new(program)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
        ])
        .args([
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--allow-file-access-from-files",
        ])
        .arg(format!(
            "--user-data-dir={}",
            stack.home().join("browser").display()
        ))
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("file://{}", frame.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let width = dom
        .split("data-width=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .and_then(|width| width.parse::<u32>().ok());
    assert!(
        width.is_some_and(|w| (300..=390).contains(&w)),
        "wider than a phone: {dom}"
    );
    assert!(
        dom.contains("data-title=\"Something should be looked at"),
        "{dom}"
    );
}
