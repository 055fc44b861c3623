//! Text as HTML takes it.

/// Returns text that is only text, in an element or in a quoted attribute. What could not be seen is written out.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in aidb_cli::text::plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Returns text in which what stands between backticks is code.
pub fn sentence(sentence: &str) -> String {
    let parts: Vec<&str> = sentence.split('`').collect();
    // An odd backtick is one that somebody's file is named with.
    if parts.len().is_multiple_of(2) {
        return text(sentence);
    }
    let told = parts.iter().enumerate().map(|(n, part)| {
        if n % 2 == 1 {
            format!("<code>{}</code>", text(part))
        } else {
            text(part)
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_becomes_markup() {
        assert_eq!(text("<b>&\"'"), "&lt;b&gt;&amp;&quot;&#39;");
        assert_eq!(text("a\u{202e}b\n"), "a\\u{202e}b\\n");
        assert_eq!(sentence("`a<b` is gone"), "<code>a&lt;b</code> is gone");
        assert_eq!(sentence("odd ` one"), "odd ` one");
    }
}
