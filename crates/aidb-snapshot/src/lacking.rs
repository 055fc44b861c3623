//! What a copy lacks, in the same words wherever one is made or shown.

use aidb_cli::Ui;
use aidb_cli::text::{plain, size};
use aidb_core::rescue::{LeftOut, Record};
use aidb_core::vault::manifest::{Gap, RelPath, Summary};

/// What is not in a copy, or not of one instant.
pub struct Lacking<'a> {
    /// What stands before a path: the container's root, or nothing for the data folder.
    root: &'static str,
    left_out: &'a [LeftOut],
    gaps: &'a [Gap],
    unsteady: &'a [RelPath],
    /// Why files of other users could not be read, if it was so.
    outside: Option<&'a str>,
}

impl<'a> From<&'a Summary> for Lacking<'a> {
    fn from(summary: &'a Summary) -> Self {
        Self {
            root: "",
            left_out: &[],
            gaps: &summary.gaps,
            unsteady: &summary.unsteady,
            outside: None,
        }
    }
}

impl<'a> From<&'a Record> for Lacking<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            root: "/",
            left_out: &record.left_out,
            gaps: &record.gaps,
            unsteady: &record.unsteady,
            outside: record.outside.as_deref(),
        }
    }
}

impl Lacking<'_> {
    /// Tells whoever makes the copy.
    pub fn tell(&self, ui: &Ui) {
        for (word, line) in self.lines() {
            ui.note(plain(&format!("{word}  {line}")));
        }
    }

    /// Shows whoever looks at the copy.
    pub fn show(&self, ui: &Ui) {
        for (word, line) in self.lines() {
            ui.line(plain(&format!("{word}  {line}")));
        }
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let name = |path: &RelPath| format!("`{}{}`", self.root, path.as_path().display());
        let left_out = self.left_out.iter().map(|left| {
            let size = size(left.size_bytes);
            let why = &left.why;
            let line = format!("{} ({size}) is not in it: {why}", name(&left.path));
            ("warn", line)
        });
        let gaps = self.gaps.iter().map(|gap| {
            let line = format!("{} is not in it: {}", name(&gap.path), gap.why);
            ("warn", line)
        });
        let unsteady = self.unsteady.iter().map(|path| {
            let line = format!("{} was written to while it was copied", name(path));
            ("note", line)
        });
        let outside = self.outside.filter(|_| !self.gaps.is_empty());
        let outside = outside.map(|why| ("note", why.to_owned()));
        left_out
            .chain(gaps)
            .chain(unsteady)
            .chain(outside)
            .collect()
    }
}
