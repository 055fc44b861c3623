//! Words for people: which one was meant, and the first few of many.

use std::path::PathBuf;

/// Returns the known name that is nearest to one, if any is near enough to be meant.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase()),
                k,
            )
        })
        .filter(|(likeness, _)| *likeness >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// How many of many are named.
const FEW: usize = 3;

/// Returns the first few words, and how many more there are: `a, b, c, and 4 more`.
#[must_use]
pub fn first_few(words: impl IntoIterator<Item = String>, separator: &str) -> String {
    let mut words = words.into_iter();
    let mut few: Vec<String> = words.by_ref().take(FEW).collect();
    match words.count() {
        0 => {}
        more => few.push(format!("and {more} more")),
    }
    few.join(separator)
}

/// Returns the first few paths, and how many more there are.
#[must_use]
pub fn first_paths(paths: &[PathBuf]) -> String {
    first_few(paths.iter().map(|p| format!("`{}`", p.display())), ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_few_are_named_and_the_others_counted() {
        let words = |n: usize| (0..n).map(|i| i.to_string());
        assert_eq!(first_few(words(0), ", "), "");
        assert_eq!(first_few(words(3), ", "), "0, 1, 2");
        assert_eq!(first_few(words(5), "; "), "0; 1; 2; and 2 more");
    }
}
