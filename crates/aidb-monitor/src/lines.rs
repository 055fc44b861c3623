//! Guards as a table, which is as wide as the terminal allows.

use aidb_cli::table::widest;

/// A guard, told.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// Its name.
    pub guard: String,
    /// Its verdict, in one word.
    pub state: String,
    /// How large its data is.
    pub size: String,
    /// How many rows it holds.
    pub rows: String,
    /// The course of the rows, or of the size.
    pub curve: String,
    /// How long ago its newest proven snapshot was taken.
    pub proven: String,
    /// Why that was taken.
    pub reason: String,
    /// How often the container began within a week.
    pub starts: String,
    /// Why the runs before ended.
    pub causes: String,
}

/// A column: its head, and what stands in it.
type Column = (&'static str, fn(&Line) -> String);

const GUARD: Column = ("GUARD", |line| line.guard.clone());
const STATE: Column = ("STATE", |line| line.state.clone());
const SIZE: Column = ("SIZE", |line| line.size.clone());
const ROWS: Column = ("ROWS", |line| line.rows.clone());
const COURSE: Column = ("ROWS", |line| joined(&line.rows, &line.curve));
const PROVEN: Column = ("LAST PROVEN", |line| line.proven.clone());
const REASON: Column = ("LAST PROVEN", |line| joined(&line.proven, &line.reason));
const STARTS: Column = ("STARTS (7 D)", |line| line.starts.clone());
const CAUSES: Column = ("STARTS (7 D)", |line| joined(&line.starts, &line.causes));

/// From the widest form to the narrowest.
const FORMS: [&[Column]; 6] = [
    &[GUARD, STATE, SIZE, COURSE, REASON, CAUSES],
    &[GUARD, STATE, SIZE, COURSE, PROVEN, CAUSES],
    &[GUARD, STATE, SIZE, COURSE, PROVEN, STARTS],
    &[GUARD, STATE, SIZE, ROWS, PROVEN, STARTS],
    &[GUARD, STATE, SIZE, ROWS, PROVEN],
    &[GUARD, STATE, ROWS, PROVEN],
];

/// Returns the widest form of the table that a terminal of `at_most` characters has room for, see [`widest`].
pub fn table(lines: &[Line], at_most: Option<usize>) -> String {
    // Without a container that anybody has seen there is nothing to say about starts.
    let has_runs = lines.iter().any(|l| !l.starts.is_empty());
    let forms = FORMS.iter().map(|form| {
        let shown = form
            .iter()
            .filter(|(head, _)| has_runs || *head != STARTS.0);
        let shown: Vec<&Column> = shown.collect();
        let head = shown.iter().map(|(head, _)| (*head).to_owned()).collect();
        let row = |line: &Line| shown.iter().map(|(_, cell)| cell(line)).collect();
        std::iter::once(head).chain(lines.iter().map(row)).collect()
    });
    widest(forms, at_most)
}

fn joined(first: &str, second: &str) -> String {
    format!("{first} {second}").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        let web = Line {
            guard: "local-ai-open-webui".into(),
            state: "ok".into(),
            size: "9.7 MiB".into(),
            rows: "260 chat, 4 user".into(),
            curve: "▁▂▃▄▅▆▇█".into(),
            proven: "3 h ago".into(),
            reason: "(stop)".into(),
            starts: "3".into(),
            causes: "(2 stopped)".into(),
        };
        let other = Line {
            guard: "ollama".into(),
            state: "warn".into(),
            size: "0 B".into(),
            proven: "never".into(),
            ..Line::default()
        };
        vec![web, other]
    }

    #[test]
    fn what_matters_least_goes_first_where_the_terminal_is_narrow() {
        insta::assert_snapshot!(table(&lines(), Some(98)), @r"
        GUARD                STATE  SIZE     ROWS                       LAST PROVEN     STARTS (7 D)
        local-ai-open-webui  ok     9.7 MiB  260 chat, 4 user ▁▂▃▄▅▆▇█  3 h ago (stop)  3 (2 stopped)
        ollama               warn   0 B                                 never
        ");
        insta::assert_snapshot!(table(&lines(), Some(80)), @r"
        GUARD                STATE  SIZE     ROWS              LAST PROVEN  STARTS (7 D)
        local-ai-open-webui  ok     9.7 MiB  260 chat, 4 user  3 h ago      3
        ollama               warn   0 B                        never
        ");
        insta::assert_snapshot!(table(&lines(), Some(58)), @r"
        GUARD                STATE  ROWS              LAST PROVEN
        local-ai-open-webui  ok     260 chat, 4 user  3 h ago
        ollama               warn                     never
        ");
        insta::assert_snapshot!(table(&lines(), Some(12)), @r"
        GUARD      …
        local-ai-op…
        ollama     …
        ");
    }

    #[test]
    fn no_terminal_is_as_wide_as_it_takes_and_no_width_is_exceeded() {
        let whole = table(&lines(), None);
        assert!(
            whole.contains("(stop)") && whole.contains("(2 stopped)"),
            "{whole}"
        );
        for width in 1..100 {
            let table = table(&lines(), Some(width));
            assert!(
                table.lines().all(|l| l.chars().count() <= width),
                "{width}:\n{table}"
            );
        }
    }

    #[test]
    fn where_no_container_was_seen_there_is_no_column_of_starts() {
        let mut lines = lines();
        lines[0].starts.clear();
        lines[0].causes.clear();
        assert!(!table(&lines, None).contains("STARTS"));
    }
}
