//! Columns for people.

/// Returns rows as lines with aligned columns. The last column is not padded.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|r| r.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Returns the first of these forms of a table, widest first, that a terminal of `at_most` characters has room for; what even
/// the last one has no room for is cut off. Without a terminal it is the first one.
#[must_use]
pub fn widest(forms: impl Iterator<Item = Vec<Vec<String>>>, at_most: Option<usize>) -> String {
    let mut table = String::new();
    for form in forms {
        table = columns(&form);
        let fits = |most| table.lines().all(|line| line.chars().count() <= most);
        if at_most.is_none_or(fits) {
            return table;
        }
    }
    let at_most = at_most.unwrap_or(usize::MAX);
    table
        .lines()
        .map(|line| cut(line, at_most) + "\n")
        .collect()
}

fn cut(line: &str, at_most: usize) -> String {
    if line.chars().count() <= at_most {
        return line.to_owned();
    }
    let kept: String = line.chars().take(at_most.saturating_sub(1)).collect();
    format!("{kept}…")
}
