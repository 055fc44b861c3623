//! What a copy lacks, in the same words wherever one is made or shown.

use aidb_cli::Ui;
use aidb_cli::text::{plain, size};
use aidb_core::manifest::{Gap, RelPath, Summary};
use aidb_core::rescue::{LeftOut, Record};

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
    /// Tells whoever makes the copy: the first few of each kind, and how many more there are.
    pub fn tell(&self, ui: &Ui) {
        for (word, line) in self.lines(MOST_TOLD) {
            ui.note(plain(&format!("{word}  {line}")));
        }
    }

    /// Shows whoever looks at the copy.
    pub fn show(&self, ui: &Ui) {
        for (word, line) in self.lines(usize::MAX) {
            ui.line(plain(&format!("{word}  {line}")));
        }
    }

    fn lines(&self, most: usize) -> Vec<(&'static str, String)> {
        let name = |path: &RelPath| format!("`{}{}`", self.root, path.as_path().display());
        let left_out = self.left_out.iter().map(|left| {
            let (size, why) = (size(left.size_bytes), &left.why);
            format!("{} ({size}) is not in it: {why}", name(&left.path))
        });
        let gaps = self.gaps.iter();
        let gaps = gaps.map(|gap| format!("{} is not in it: {}", name(&gap.path), gap.why));
        let unsteady = self.unsteady.iter();
        let unsteady = unsteady.map(|p| format!("{} was written to while it was copied", name(p)));
        let mut lines = Vec::new();
        few(&mut lines, "warn", left_out, most, "not in it");
        few(&mut lines, "warn", gaps, most, "not in it");
        few(&mut lines, "note", unsteady, most, "written to meanwhile");
        let outside = self.outside.filter(|_| !self.gaps.is_empty());
        lines.extend(outside.map(|why| ("note", why.to_owned())));
        lines
    }
}

/// So many of a kind are told one by one; ten thousand lines would hide what stands among them.
const MOST_TOLD: usize = 5;

/// Adds the first of a kind, and one that counts the rest.
fn few(
    lines: &mut Vec<(&'static str, String)>,
    word: &'static str,
    mut all: impl ExactSizeIterator<Item = String>,
    most: usize,
    what: &str,
) {
    lines.extend(all.by_ref().take(most).map(|line| (word, line)));
    if all.len() > 0 {
        lines.push((word, format!("and {} more: {what}", all.len())));
    }
}
