//! What one snapshot or rescue is, and every file in it.

use aidb_cli::Ui;
use aidb_cli::table::columns;
use aidb_cli::text::{plain, size};
use aidb_core::manifest::{Entry, Kind};

/// Prints what has a value, a line each.
pub fn print_facts<const N: usize>(facts: [(&str, String); N], ui: &Ui) {
    let rows: Vec<Vec<String>> = facts
        .into_iter()
        .filter(|(_, v)| !v.is_empty())
        .map(|(k, v)| vec![k.to_owned(), plain(&v)])
        .collect();
    ui.line(columns(&rows).trim_end());
}

/// Prints every file, its path below `root`.
pub fn print_entries(entries: &[Entry], root: &str, ui: &Ui) {
    let mut files = vec![["SIZE", "MODE", "PATH"].map(str::to_owned).to_vec()];
    for entry in entries {
        let kind = match &entry.kind {
            Kind::File { size_bytes, .. } => size(*size_bytes),
            Kind::Folder => "folder".to_owned(),
            Kind::HardLink { to } => format!("= {}", to.as_path().display()),
            Kind::Symlink { target } => format!("-> {}", target.as_path().display()),
            Kind::Special { what } => format!("{what}, not kept"),
        };
        files.push(vec![
            plain(&kind),
            format!("{:04o}", entry.mode),
            plain(&format!("{root}{}", entry.path.as_path().display())),
        ]);
    }
    ui.line(columns(&files).trim_end());
}
