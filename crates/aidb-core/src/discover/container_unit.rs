//! Unit files as systemd and Podman's quadlets write them: sections, repeated keys, continued lines, quoting.
//!
//! Reading never fails: what is odd is told beside what was understood.

use std::collections::BTreeMap;

use crate::settings::Environment;

/// A unit file's assignments, in order, by section. Drop-ins are read into the same value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitFile {
    sections: BTreeMap<String, Vec<(String, String)>>,
}

impl UnitFile {
    /// Reads a file's text after what was read before, and returns the lines that are no assignments, by number.
    pub fn read(&mut self, text: &str) -> Vec<(usize, String)> {
        let mut odd = Vec::new();
        let mut section: Option<String> = None;
        let mut pending = String::new();
        let mut started = 0;
        for (index, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            // A comment within a continued line is left out, the line goes on after it.
            if trimmed.starts_with(['#', ';']) {
                continue;
            }
            if pending.is_empty() {
                started = index + 1;
            }
            let (part, goes_on) = match line.trim_end().strip_suffix('\\') {
                Some(part) => (part, true),
                None => (line, false),
            };
            pending.push_str(part);
            if goes_on {
                pending.push(' ');
                continue;
            }
            self.line(
                &std::mem::take(&mut pending),
                started,
                &mut section,
                &mut odd,
            );
        }
        self.line(&pending, started, &mut section, &mut odd);
        odd
    }

    fn line(
        &mut self,
        line: &str,
        number: usize,
        section: &mut Option<String>,
        odd: &mut Vec<(usize, String)>,
    ) {
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            self.sections.entry(name.to_owned()).or_default();
            *section = Some(name.to_owned());
            return;
        }
        match (section.as_ref(), line.split_once('=')) {
            (Some(section), Some((key, value))) if !key.trim().is_empty() => {
                self.sections
                    .entry(section.clone())
                    .or_default()
                    .push((key.trim().to_owned(), value.trim().to_owned()));
            }
            _ => odd.push((number, line.to_owned())),
        }
    }

    /// Returns whether the file has that section.
    #[must_use]
    pub fn has(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// Returns the unit without some keys, given as section and key.
    #[must_use]
    pub fn without(mut self, keys: &[(&str, &str)]) -> Self {
        for (section, key) in keys {
            if let Some(assignments) = self.sections.get_mut(*section) {
                assignments.retain(|(k, _)| k != key);
            }
        }
        self.sections
            .retain(|_, assignments| !assignments.is_empty());
        self
    }

    /// Returns the values of a key that may be repeated; an empty one forgets those before it.
    #[must_use]
    pub fn all(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for (_, value) in self
            .sections
            .get(section)
            .into_iter()
            .flatten()
            .filter(|(k, _)| k == key)
        {
            if value.is_empty() {
                values.clear();
            } else {
                values.push(value.as_str());
            }
        }
        values
    }

    /// Returns the last value of a key, if it is not empty.
    #[must_use]
    pub fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).last().copied()
    }

    /// Returns the words of all values of a key that may be repeated.
    #[must_use]
    pub fn words(&self, section: &str, key: &str) -> Vec<String> {
        self.all(section, key).into_iter().flat_map(words).collect()
    }
}

/// Returns the words of a value: separated by white space, quoted by `"` or `'`, with C-like escapes.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', _) => {
                let word = word.get_or_insert_default();
                match rest.next() {
                    Some('n') => word.push('\n'),
                    Some('t') => word.push('\t'),
                    Some('s') => word.push(' '),
                    Some(c @ ('\\' | '"' | '\'' | ' ')) => word.push(c),
                    Some('x') => {
                        let digits: String = rest.by_ref().take(2).collect();
                        match u8::from_str_radix(&digits, 16) {
                            Ok(byte) if byte.is_ascii() && byte != 0 => word.push(char::from(byte)),
                            _ => {
                                word.push_str("\\x");
                                word.push_str(&digits);
                            }
                        }
                    }
                    Some(other) => {
                        word.push('\\');
                        word.push(other);
                    }
                    None => word.push('\\'),
                }
            }
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_ascii_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns a text in which `%h`, `%S`, `%C`, `%E` are the folders they stand for in a user's units, and `%%` is `%`.
///
/// # Errors
/// The letter of a specifier whose value is only known to a running manager (systemd.unit(5), Specifiers).
pub fn expand(text: &str, environment: &Environment) -> Result<String, char> {
    let mut expanded = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        let folder = match rest.next() {
            Some('h') => &environment.home,
            Some('S') => &environment.state_home,
            Some('C') => &environment.cache_home,
            Some('E') => &environment.config_home,
            Some('%') | None => {
                expanded.push('%');
                continue;
            }
            Some(other) => return Err(other),
        };
        expanded.push_str(&folder.to_string_lossy());
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn unit(text: &str) -> (UnitFile, Vec<(usize, String)>) {
        let mut unit = UnitFile::default();
        let odd = unit.read(text);
        (unit, odd)
    }

    #[test]
    fn keys_repeat_and_an_empty_one_resets() {
        let (unit, odd) = unit(
            "# comment\n[Container]\nVolume=a:/a\n; comment\nVolume = b:/b \n[Service]\nVolume=no:/no\n[Container]\nVolume=\nVolume=c:/c\nVolume=d:/d\n",
        );
        assert_eq!(odd, []);
        assert_eq!(unit.all("Container", "Volume"), ["c:/c", "d:/d"]);
        assert_eq!(unit.last("Container", "Volume"), Some("d:/d"));
        assert_eq!(unit.last("Container", "Image"), None);
        assert!(unit.has("Service") && !unit.has("X-Container"));
    }

    #[test]
    fn lines_go_on_over_comments() {
        let (unit, odd) = unit("[C]\nA=one \\\n# not part\n  two\\\nthree\nB=x\\");
        assert_eq!(odd, []);
        assert_eq!(unit.last("C", "A"), Some("one    two three"));
        assert_eq!(unit.words("C", "A"), ["one", "two", "three"]);
        assert_eq!(unit.last("C", "B"), Some("x"));
    }

    #[test]
    fn odd_lines_are_told_by_number() {
        let (unit, odd) = unit("Image=early\n[C]\nnonsense\n=x\nImage=late");
        assert_eq!(
            odd,
            [
                (1, "Image=early".to_owned()),
                (3, "nonsense".to_owned()),
                (4, "=x".to_owned())
            ]
        );
        assert_eq!(unit.last("C", "Image"), Some("late"));
    }

    #[test]
    fn words_are_quoted_as_systemd_does() {
        for (text, expected) in [
            ("a b", &["a", "b"][..]),
            (r#""A=b c" D='e "f"'"#, &["A=b c", "D=e \"f\""]),
            (r#"A="b c""#, &["A=b c"]),
            (r"a\x20b \sq \\ \q", &["a b", " q", "\\", "\\q"]),
            (r#""" x"#, &["", "x"]),
            ("\"open", &["open"]),
            (r"\xé", &["\\xé"]),
            ("", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn specifiers_stand_for_folders() {
        let environment = Environment::of_home(Path::new("/home/alice"));
        for (text, expected) in [
            ("%h/ai", Ok("/home/alice/ai")),
            ("%S/x", Ok("/home/alice/.local/state/x")),
            ("%C/x", Ok("/home/alice/.cache/x")),
            ("%E/x", Ok("/home/alice/.config/x")),
            ("/50%%", Ok("/50%")),
            ("/50%", Ok("/50%")),
            ("%t/x", Err('t')),
        ] {
            assert_eq!(
                expand(text, &environment),
                expected.map(str::to_owned),
                "{text}"
            );
        }
    }
}
