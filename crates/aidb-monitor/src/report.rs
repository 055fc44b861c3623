//! `report`: one page for people.

use std::path::PathBuf;

use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use aidb_core::monitor::Picture;
use aidb_core::stack::Stack;
use aidb_core::vault::publish::write_for_others;
use anyhow::Context as _;

use crate::page;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where to write it, atomically
    #[arg(long, value_name = "FILE.html")]
    to: PathBuf,
}

pub fn report(common: &Common, args: &Args, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    stack.settings = stack.settings.with_surroundings(&stack.environment);
    let picture = Picture::of(&mut stack)?;
    if let Some(notice) = &picture.notice {
        ui.note(format!("note: {notice}"));
    }
    let page = page::render(&picture, &|arguments| ui.command(arguments));
    let file = std::path::absolute(&args.to)?;
    write_for_others(&file, page.as_bytes()).context("cannot write the report")?;
    let shown = file.display().to_string();
    let line = format!("wrote {shown}");
    ui.done(
        "aidb-monitor",
        &line,
        &serde_json::json!({ "report": shown }),
    );
    // That something is wrong is what the page says, and no failure of saying it.
    Ok(Verdict::Pass)
}
