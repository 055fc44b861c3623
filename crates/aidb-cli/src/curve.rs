//! A small curve for a line of text: `▁▂▃▅`.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Returns the course of values, oldest first, in `width` signs at most. Of the values that fall on one sign, the last is
/// shown; the lowest of all is the bottom, and a course without ups and downs is a line. Empty with fewer than two values.
#[must_use]
pub fn curve(values: &[u64], width: usize) -> String {
    let (Some(least), Some(most)) = (values.iter().min(), values.iter().max()) else {
        return String::new();
    };
    if values.len() < 2 || width == 0 {
        return String::new();
    }
    let signs = width.min(values.len());
    let top = (BLOCKS.len() - 1) as u64;
    (0..signs)
        .map(|n| {
            let value = values[(n + 1) * values.len() / signs - 1];
            let above = u128::from(value - least) * u128::from(top);
            let height = above.checked_div(u128::from(most - least)).unwrap_or(1);
            BLOCKS[usize::try_from(height).unwrap_or(0)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_is_drawn_between_its_lowest_and_its_highest() {
        for (values, width, drawn) in [
            (&[][..], 8, ""),
            (&[5], 8, ""),
            (&[5, 5, 5], 8, "▂▂▂"),
            (&[0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
            (&[0, 1, 2, 3, 4, 5, 6, 7], 4, "▂▄▆█"),
            (&[10, 20, 0], 8, "▄█▁"),
            (&[u64::MAX, 0], 2, "█▁"),
        ] {
            assert_eq!(curve(values, width), drawn, "{values:?}");
        }
    }
}
