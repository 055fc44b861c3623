//! `aidb` with the verbs of all tools as one command, for its completions and man pages.
//!
//! The verbs are the tools' own, as the tools that lie beside this program say.

use std::process::Command as Process;

use aidb_cli::generate::Tree;
use clap::Command;

use crate::{TOOLS, beside};

/// Returns the command. A tool that cannot be asked is left out: its verbs have no completions then.
pub fn command() -> Command {
    let mut whole = Command::new("aidb")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Protect the data of your containers")
        .long_about(
            "Protect the data of your containers\n\nRuns the tool that has the verb. A GUARD may be any unambiguous \
             part of its name. Statuses: 0 pass or warn, 1 hold, 2 usage or settings, 3 could not, 4 busy.",
        );
    for (tool, verbs) in TOOLS {
        let Some(tree) = tree_of(tool) else { continue };
        for verb in *verbs {
            let known = tree.verbs.iter().find(|v| v.name == *verb);
            whole = whole.subcommands(known.cloned().map(Tree::command));
        }
        if *tool == "aidb-init-verify" {
            let own = Tree {
                name: "init-verify".into(),
                verbs: Vec::new(),
                ..tree
            };
            whole = whole.subcommand(own.command());
        }
    }
    whole
}

fn tree_of(tool: &str) -> Option<Tree> {
    let output = Process::new(beside(tool))
        .args(["--generate", "tree"])
        .output()
        .ok()?;
    serde_json::from_slice(&output.stdout).ok()
}
