//! What a tool printed, and the form of it that is the same in every run.

/// What a tool printed, and its exit status. Its `Display` is for transcripts: times and what a filesystem
/// decides (how much was written anew) are replaced by words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub status: i32,
}

impl Ran {
    /// Returns the JSON document on standard output.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self}"))
    }

    /// Returns this, if the status is the expected one.
    #[must_use]
    #[track_caller]
    pub fn with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Returns the commands that are printed after `purpose:`.
    #[must_use]
    pub fn commands(&self, purpose: &str) -> Vec<String> {
        let head = format!("{purpose}:");
        let lines = self.stdout.lines();
        lines
            .filter_map(|l| Some(l.trim_start().strip_prefix(&head)?.trim().to_owned()))
            .collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", steady(&self.stdout))?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr\n{}", steady(&self.stderr))?;
        }
        write!(f, "--- status {}", self.status)
    }
}

/// Replaces what differs from run to run. In the patterns, `9` stands for any digit and `+` for more of them.
#[must_use]
pub fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, word) in [
        ("99999999T999999999Z", "TIME"),
        ("99999999T999999Z", "TIME"),
        ("9999-99-99T99:99:99", "TIME"),
        ("9999-99-99 99:99", "DATE"),
        ("in 9+.9 s", "in TIME"),
        ("in 9+ ms", "in TIME"),
        ("waited 9+ ms", "waited TIME"),
        ("9+ min ago", "just now"),
        ("9+.9 MiB written", "SIZE written"),
        ("9+.9 KiB written", "SIZE written"),
        ("9+ KiB written", "SIZE written"),
        ("9+ B written", "SIZE written"),
        ("found 9+ MiB free", "found N MiB free"),
    ] {
        text = replaced(&text, pattern, word);
    }
    text
}

fn replaced(text: &str, pattern: &str, word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // A number is matched from its first digit on, or not at all.
    let mut after_digit = false;
    while let Some(c) = rest.chars().next() {
        let starts_inside = after_digit && c.is_ascii_digit();
        if let Some(length) = matched(rest, pattern).filter(|_| !starts_inside) {
            out.push_str(word);
            rest = &rest[length..];
            after_digit = false;
        } else {
            out.push(c);
            after_digit = c.is_ascii_digit();
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Returns the length of what matches at the beginning.
fn matched(text: &str, pattern: &str) -> Option<usize> {
    let (bytes, mut at) = (text.as_bytes(), 0);
    for p in pattern.bytes() {
        let digit = bytes.get(at).is_some_and(u8::is_ascii_digit);
        match p {
            b'9' if digit => at += 1,
            b'9' => return None,
            b'+' => {
                let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit());
                at += digits.count();
            }
            _ if bytes.get(at) == Some(&p) => at += 1,
            _ => return None,
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_run_to_run_is_replaced() {
        let printed = "kept open-webui/000001-20261124T185125Z-manual  13 files, 13.6 MiB, 9.5 MiB written, in 1.2 s";
        let expected =
            "kept open-webui/000001-TIME-manual  13 files, 13.6 MiB, SIZE written, in TIME";
        assert_eq!(steady(printed), expected);
        assert_eq!(
            steady("on 2026-11-24 18:51 UTC it had 260 chat"),
            "on DATE UTC it had 260 chat"
        );
        assert_eq!(steady("is busy (waited 50 ms)"), "is busy (waited TIME)");
    }
}
