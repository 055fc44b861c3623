//! What is kept as a table, which is as wide as the terminal allows.

use std::collections::{BTreeMap, BTreeSet};

use aidb_cli::table::widest;
use aidb_cli::text::plain;
use aidb_core::manifest::Pairing;

/// A snapshot or an archive, told.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// `GUARD/NAME`, whole.
    pub id: String,
    /// `GUARD/NUMBER`, which means the same on a command line.
    pub number: String,
    /// Why it was taken.
    pub reason: String,
    /// When.
    pub taken: String,
    /// How long ago that is.
    pub ago: String,
    /// What it is worth, in one word.
    pub state: String,
    /// How large.
    pub size: String,
    /// How many rows its proof counted.
    pub rows: String,
    /// Its image.
    pub pairing: Pairing,
}

/// A column: its head, and what stands in it, of a line and its image as it is told.
type Column = (&'static str, fn(&Line, &str) -> String);

const ID: Column = ("SNAPSHOT", |line, _| line.id.clone());
const NUMBER: Column = ("SNAPSHOT", |line, _| line.number.clone());
const REASON: Column = ("WHY", |line, _| line.reason.clone());
const TAKEN: Column = ("TAKEN", |line, _| line.taken.clone());
const AGO: Column = ("", |line, _| line.ago.clone());
const STATE: Column = ("STATE", |line, _| line.state.clone());
const SIZE: Column = ("SIZE", |line, _| line.size.clone());
const ROWS: Column = ("ROWS", |line, _| line.rows.clone());
const IMAGE: Column = ("IMAGE", |_, image| image.to_owned());

/// From the widest form to the narrowest. A whole id has the reason and the time in it.
const FORMS: [&[Column]; 6] = [
    &[ID, TAKEN, AGO, STATE, SIZE, ROWS, IMAGE],
    &[NUMBER, REASON, TAKEN, AGO, STATE, SIZE, ROWS, IMAGE],
    &[NUMBER, REASON, TAKEN, STATE, SIZE, ROWS, IMAGE],
    &[NUMBER, TAKEN, STATE, SIZE, ROWS, IMAGE],
    &[NUMBER, TAKEN, STATE, SIZE, ROWS],
    &[NUMBER, TAKEN, STATE, SIZE],
];

/// Returns the widest form of the table that a terminal of `at_most` characters has room for, see [`widest`].
pub fn table(lines: &[Line], at_most: Option<usize>) -> String {
    let images = images(lines);
    let forms = FORMS.iter().map(|form| rows(lines, &images, form));
    widest(forms, at_most)
}

/// Returns rows under their heads. A column in which nothing stands is left out.
fn rows(lines: &[Line], images: &[String], form: &[Column]) -> Vec<Vec<String>> {
    let mut rows = vec![Vec::new(); lines.len() + 1];
    for (head, cell) in form {
        let cells = lines
            .iter()
            .zip(images)
            .map(|(line, image)| plain(&cell(line, image)));
        let cells: Vec<String> = cells.collect();
        if cells.iter().all(String::is_empty) {
            continue;
        }
        let column = std::iter::once((*head).to_owned()).chain(cells);
        for (row, cell) in rows.iter_mut().zip(column) {
            row.push(cell);
        }
    }
    rows
}

/// Returns the images as they are told: the last part of the name, with its tag; where an update gave the name to another
/// image, with the beginning of its digest.
fn images(lines: &[Line]) -> Vec<String> {
    let mut digests: BTreeMap<Option<&str>, BTreeSet<Option<&str>>> = BTreeMap::new();
    for Line { pairing, .. } in lines {
        let of_name = digests.entry(pairing.image.as_deref()).or_default();
        of_name.insert(pairing.image_digest.as_deref());
    }
    let told = |Line { pairing, .. }: &Line| {
        let Some(image) = &pairing.image else {
            return String::new();
        };
        let short = image.rsplit('/').next().unwrap_or(image);
        let is_ambiguous = digests[&Some(image.as_str())].len() > 1;
        match pairing.short_digest().filter(|_| is_ambiguous) {
            Some(digest) => format!("{short} ({digest})"),
            None => short.to_owned(),
        }
    };
    lines.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, image: &str) -> Line {
        Line {
            id: format!("open-webui/{number:06}-20261129T011817Z-manual"),
            number: format!("open-webui/{number}"),
            reason: "manual".into(),
            taken: "2026-11-29 01:18".into(),
            ago: "2 h ago".into(),
            state: "proven".into(),
            size: "9.9 MiB".into(),
            rows: "260 chat, 4 user".into(),
            pairing: Pairing {
                image: (!image.is_empty()).then(|| image.to_owned()),
                ..Pairing::default()
            },
        }
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal_and_whole_where_there_is_none() {
        let lines = [
            line(1, "ghcr.io/open-webui/open-webui:v0.12.4"),
            line(12, ""),
        ];
        for at_most in 1..200 {
            let table = table(&lines, Some(at_most));
            let widest = table.lines().map(|l| l.chars().count()).max();
            assert!(widest <= Some(at_most), "{at_most}: {table}");
            assert_eq!(table.lines().count(), 3);
        }
        assert!(table(&lines, Some(200)) == table(&lines, None));
        insta::assert_snapshot!(table(&lines, Some(120)), @r"
        SNAPSHOT       WHY     TAKEN                      STATE   SIZE     ROWS              IMAGE
        open-webui/1   manual  2026-11-29 01:18  2 h ago  proven  9.9 MiB  260 chat, 4 user  open-webui:v0.12.4
        open-webui/12  manual  2026-11-29 01:18  2 h ago  proven  9.9 MiB  260 chat, 4 user
        ");
        insta::assert_snapshot!(table(&lines, Some(80)), @r"
        SNAPSHOT       TAKEN             STATE   SIZE     ROWS
        open-webui/1   2026-11-29 01:18  proven  9.9 MiB  260 chat, 4 user
        open-webui/12  2026-11-29 01:18  proven  9.9 MiB  260 chat, 4 user
        ");
        insta::assert_snapshot!(table(&lines[1..], Some(80)), @r"
        SNAPSHOT       WHY     TAKEN             STATE   SIZE     ROWS
        open-webui/12  manual  2026-11-29 01:18  proven  9.9 MiB  260 chat, 4 user
        ");
        insta::assert_snapshot!(table(&lines, Some(40)), @r"
        SNAPSHOT       TAKEN             STATE …
        open-webui/1   2026-11-29 01:18  proven…
        open-webui/12  2026-11-29 01:18  proven…
        ");
    }
}
