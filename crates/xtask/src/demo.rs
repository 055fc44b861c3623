//! The story: every step is a real command on real files, and its status is checked.

use std::io::{IsTerminal as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use aidb_testkit::Stack;
use anyhow::{Context as _, ensure};
use rusqlite::{Connection, OpenFlags};

use crate::say;

/// The folder that a real Open WebUI 0.12.4 wrote: 260 chats, the newest of them still in its write-ahead log.
const FIXTURE: &str = "openwebui-0.12.4-large";

pub fn demo() -> anyhow::Result<()> {
    let tool = tool()?;
    let began = Instant::now();
    let stack = Stack::new(&tool.to_string_lossy());
    let home = stack.home().to_owned();
    let mut story = Story {
        stack: &stack,
        steps: 0,
    };
    let database = stack.data().join("webui.db");

    tell("A first start failed: webui.db exists, has 0 bytes, and passes every integrity check.");
    std::fs::create_dir_all(stack.data())?;
    std::fs::File::create(&database)?;
    let integrity: String = Connection::open_with_flags(
        &database,
        OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?
    .query_row("pragma integrity_check", [], |r| r.get(0))?;
    say(&format!("  sqlite says of it: {integrity}"));
    story.run("aidb check", 0, "0 bytes")?;
    tell("The container starts. Nothing is known of earlier data, so the empty file moves aside.");
    story.run(
        "aidb-precheck check --at start open-webui",
        0,
        "moved aside",
    )?;
    ensure!(
        !database.exists(),
        "the empty database should have moved aside"
    );

    tell("Open WebUI has been in use: 260 chats, written by the real application.");
    std::fs::remove_dir_all(stack.data())?;
    aidb_testkit::unpack(FIXTURE, &stack.data());
    let truth = content(&stack, "before")?;
    story.run("aidb check", 0, "260 chat")?;
    tell(
        "The container came up with its data? And one snapshot, opened and checked before it counts.",
    );
    story.run("aidb init-verify --wait 120s", 0, "260 chat")?;
    story.run("aidb take --reason evening", 0, "proven")?;

    tell("At night a disk error hits the database: 64 KiB in the middle of it are overwritten.");
    damage(&database)?;
    tell("In the morning the container is to start. It is held; the file is left as it is.");
    story.run(
        "aidb-precheck check --at start open-webui",
        1,
        "bring it back",
    )?;
    tell("One command brings everything back. What was there is kept.");
    story.run("aidb restore open-webui", 0, "restored")?;
    story.run("aidb-precheck check --at start open-webui", 0, "260 chat")?;
    ensure!(
        content(&stack, "after")? == truth,
        "the restored rows differ from the original ones"
    );
    say(&format!(
        "  compared with the original, read through its log: {} rows, all equal",
        truth.rows
    ));

    tell("And the incident itself: after a reboot webui.db is empty, but this time data is known.");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(stack.data().join(format!("webui.db{suffix}")));
    }
    std::fs::File::create(&database)?;
    story.run(
        "aidb-precheck check --at start open-webui",
        1,
        "it had 260 chat",
    )?;
    story.run("aidb restore open-webui", 0, "restored")?;
    story.run("aidb undo open-webui", 0, "")?;
    story.run("aidb undo open-webui", 0, "")?;
    story.run("aidb status", 0, "ok")?;

    let steps = story.steps;
    drop(stack);
    ensure!(!home.exists(), "`{}` was left behind", home.display());
    say(&format!(
        "\nThe story held: {steps} commands in {:.1} s, each with the status it should have; nothing is left behind.",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

struct Story<'a> {
    stack: &'a Stack,
    steps: usize,
}

impl Story<'_> {
    /// Runs a command as a user would, shows what it prints, and holds it to its status and words.
    fn run(&mut self, line: &str, status: i32, words: &str) -> anyhow::Result<()> {
        say(&format!("  $ {line}"));
        let began = Instant::now();
        let ran = self.stack.run(line);
        for line in ran.stdout.lines().chain(ran.stderr.lines()) {
            say(&format!("    {line}"));
        }
        say(&format!(
            "    (status {}, {} ms)",
            ran.status,
            began.elapsed().as_millis()
        ));
        ensure!(
            ran.status == status,
            "`{line}` ended with status {}, expected {status}",
            ran.status
        );
        ensure!(
            ran.stdout.contains(words),
            "`{line}` does not say `{words}`"
        );
        self.steps += 1;
        Ok(())
    }
}

fn tell(text: &str) {
    let strong = std::io::stdout().is_terminal();
    say(&if strong {
        format!("\n\x1b[1m{text}\x1b[0m")
    } else {
        format!("\n{text}")
    });
}

/// Returns the path of `aidb`, beside which the other tools are: in `$AIDB_DEMO_TOOLS`, where they were built before
/// (`nix run .#demo`), or as built now by cargo.
fn tool() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("AIDB_DEMO_TOOLS") {
        return Ok(PathBuf::from(folder).join("aidb"));
    }
    let began = Instant::now();
    say("Building the tools …");
    build()?;
    say(&format!("built in {:.1} s", began.elapsed().as_secs_f64()));
    Ok(std::env::current_exe()?.with_file_name("aidb"))
}

fn build() -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut build = Command::new(cargo);
    build
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            "--manifest-path",
        ])
        .arg(manifest);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.status().context("cannot run cargo")?;
    ensure!(status.success(), "the tools do not build");
    Ok(())
}

/// Overwrites 64 KiB in the middle of a file.
fn damage(path: &Path) -> anyhow::Result<()> {
    let mut file = std::fs::File::options().write(true).open(path)?;
    let middle = file.metadata()?.len() / 2 / 4096 * 4096;
    file.seek(SeekFrom::Start(middle))?;
    file.write_all(&vec![0x5a; 64 * 1024])?;
    Ok(())
}

/// All rows of all tables of the live database, read through the log of a private copy: how many, and a hash of them.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    rows: u64,
    hash: blake3::Hash,
}

fn content(stack: &Stack, name: &str) -> anyhow::Result<Content> {
    let copy = stack.home().join(format!("copy-{name}"));
    std::fs::create_dir(&copy)?;
    for suffix in ["", "-wal"] {
        let from = stack.data().join(format!("webui.db{suffix}"));
        if from.exists() {
            std::fs::copy(from, copy.join(format!("webui.db{suffix}")))?;
        }
    }
    let db = Connection::open(copy.join("webui.db"))?;
    let mut statement =
        db.prepare("select name from sqlite_schema where type = 'table' order by name")?;
    let tables: Vec<String> = statement
        .query_map([], |r| r.get(0))?
        .collect::<Result<_, _>>()?;
    let (mut rows, mut hasher) = (0, blake3::Hasher::new());
    for table in tables {
        let mut statement = db.prepare(&format!("select * from \"{table}\" order by rowid"))?;
        let columns = statement.column_count();
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            for column in 0..columns {
                hasher.update(format!("{table}.{column}={:?};", row.get_ref(column)?).as_bytes());
            }
            rows += 1;
        }
    }
    Ok(Content {
        rows,
        hash: hasher.finalize(),
    })
}
