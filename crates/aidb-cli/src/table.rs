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

/// Returns how wide the widest line of rows is, in characters.
#[must_use]
pub fn width(rows: &[Vec<String>]) -> usize {
    let lines = columns(rows);
    lines.lines().map(|l| l.chars().count()).max().unwrap_or(0)
}
