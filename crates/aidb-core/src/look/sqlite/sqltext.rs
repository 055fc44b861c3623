//! As much of SQL as it takes to see what a schema would run. No parser: a tokenizer that knows quotes and comments.

use serde::Serialize;

/// The kind of a schema entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A table with rows of its own.
    Table,
    /// A table that a module answers for.
    Virtual,
    /// An index.
    Index,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// None that SQLite makes.
    Unknown,
}

/// Functions that reach outside the database, in SQLite, its shell or common extensions. Nobody calls a table or a
/// column so.
const DANGEROUS: &[&str] = &[
    "fts3_tokenizer",
    "load_extension",
    "readfile",
    "sqlite_load_extension",
    "writefile",
];

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A bare word, number, or quoted identifier, in lower case.
    Word { text: String, quoted: bool },
    /// A string literal.
    Literal,
    /// Anything else, character by character.
    Mark(char),
}

/// Returns whether the text begins as SQLite stores all of its statements.
pub(super) fn is_create(sql: &str) -> bool {
    matches!(tokens(sql).next(), Some(Token::Word { text, quoted: false }) if text == "create")
}

/// Returns the module if this is `CREATE VIRTUAL TABLE … USING module`.
pub(super) fn module(sql: &str) -> Option<String> {
    let mut tokens = tokens(sql);
    for expected in ["create", "virtual", "table"] {
        if !matches!(tokens.next(), Some(Token::Word { text, quoted: false }) if text == expected) {
            return None;
        }
    }
    // The name may itself be `using`, so it is skipped first.
    tokens.next();
    while let Some(token) = tokens.next() {
        if matches!(&token, Token::Word { text, quoted: false } if text == "using") {
            return match tokens.next() {
                Some(Token::Word { text, .. }) => Some(text),
                _ => Some(String::new()),
            };
        }
    }
    Some(String::new())
}

/// Returns why no check may run this.
pub(super) fn unsafe_code(kind: Kind, sql: &str) -> Option<String> {
    let mut tokens = tokens(sql).peekable();
    let mut after_with = false;
    while let Some(token) = tokens.next() {
        let Token::Word { text, quoted } = token else {
            after_with = false;
            continue;
        };
        // A quoted name calls a function as well.
        if DANGEROUS.contains(&text.as_str()) && tokens.peek() == Some(&Token::Mark('(')) {
            return Some(format!("calls `{text}`"));
        }
        if after_with
            && text == "recursive"
            && !quoted
            && matches!(kind, Kind::View | Kind::Trigger)
        {
            return Some("is a recursive query".to_owned());
        }
        after_with = text == "with" && !quoted;
    }
    None
}

/// Returns the first statement of a script that begins with one of these words. What stands in the body of a trigger, in
/// a string or in a comment is none.
pub(crate) fn statement_of(sql: &str, words: &[&str]) -> Option<String> {
    let mut head: Vec<String> = Vec::new();
    let mut before = [None, None];
    for token in tokens(sql) {
        let is_word = |t: &Option<Token>, w: &str| matches!(t, Some(Token::Word { text, quoted: false }) if text == w);
        if token == Token::Mark(';') {
            let head_is = |n: usize, w: &str| head.get(n).is_some_and(|h| h == w);
            let makes_trigger =
                head_is(0, "create") && (head_is(1, "trigger") || head_is(2, "trigger"));
            // A trigger's body ends with `; END ;`.
            if !makes_trigger || (is_word(&before[1], "end") && before[0] == Some(Token::Mark(';')))
            {
                head.clear();
            }
        } else if let Token::Word {
            text,
            quoted: false,
        } = &token
        {
            if head.is_empty() && words.contains(&text.as_str()) {
                return Some(text.to_uppercase());
            }
            head.push(text.clone());
        } else {
            head.push(String::new());
        }
        before = [before[1].take(), Some(token)];
    }
    None
}

fn tokens(sql: &str) -> impl Iterator<Item = Token> + '_ {
    let mut rest = sql;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start();
            if let Some(comment) = rest.strip_prefix("--") {
                rest = comment.split_once('\n').map_or("", |(_, after)| after);
            } else if let Some(comment) = rest.strip_prefix("/*") {
                rest = comment.split_once("*/").map_or("", |(_, after)| after);
            } else {
                break;
            }
        }
        let first = rest.chars().next()?;
        let token;
        (token, rest) = match first {
            '\'' => (Token::Literal, quoted(rest, '\'').1),
            '"' | '`' => {
                let (text, after) = quoted(rest, first);
                (word(text, true), after)
            }
            '[' => {
                let (text, after) = rest[1..].split_once(']').unwrap_or((&rest[1..], ""));
                (word(text, true), after)
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                    .unwrap_or(rest.len());
                (word(&rest[..end], false), &rest[end..])
            }
            c => (Token::Mark(c), &rest[c.len_utf8()..]),
        };
        Some(token)
    })
}

fn word(text: &str, quoted: bool) -> Token {
    Token::Word {
        text: text.to_ascii_lowercase(),
        quoted,
    }
}

/// Returns what stands between quotes, and what follows; a doubled quote does not end it.
fn quoted(text: &str, quote: char) -> (&str, &str) {
    let mut from = 1;
    while let Some(found) = text.get(from..).and_then(|rest| rest.find(quote)) {
        let at = from + found;
        if text[at + 1..].starts_with(quote) {
            from = at + 2;
        } else {
            return (&text[1..at], &text[at + 1..]);
        }
    }
    (&text[1..], "")
}
