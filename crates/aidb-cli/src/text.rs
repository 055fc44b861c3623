//! Numbers, times and names as people read them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// Returns a size such as `1.2 GiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}

/// Returns a length of time such as `340 ms`, `2.1 s`, `3 min`.
#[must_use]
pub fn took(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..100_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min", ms / 60_000),
    }
}

/// Returns a count with its noun, such as `1 file`, `12 files`.
#[must_use]
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

/// Returns the local time of day and date to the minute, such as `2026-11-23 23:10`.
#[must_use]
pub fn when(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}

/// Returns how long ago something was, such as `2 h ago`; a time ahead of now is said as such.
#[must_use]
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = (now - at).as_secs_f64();
    let (value, unit) = match seconds.abs() {
        s if s < 60.0 => {
            return if seconds < -1.0 {
                "ahead of now".into()
            } else {
                "just now".into()
            };
        }
        s if s < 3600.0 => (s / 60.0, "min"),
        s if s < 48.0 * 3600.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "days"),
    };
    let direction = if seconds < 0.0 { "ahead of now" } else { "ago" };
    format!("{value:.0} {unit} {direction}")
}

/// Returns text that cannot steer a terminal: control characters are escaped.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns text in lines of at most so many characters, broken between words; further lines begin with so many spaces. What
/// gives colour has no width; without a width it stays one line.
#[must_use]
pub fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else {
        return text.to_owned();
    };
    let mut out = String::with_capacity(text.len());
    let (mut used, mut has_word) = (0, false);
    for (n, word) in text.split(' ').enumerate() {
        let length = shown_length(word);
        if has_word && used + 1 + length > width {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            (used, has_word) = (indent, false);
        } else if n > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
        has_word |= !word.is_empty();
    }
    out
}

/// Returns how many characters of a word a terminal shows: from an escape to its `m` it sets a colour.
fn shown_length(word: &str) -> usize {
    let mut is_color = false;
    let shown = |c: &char| match c {
        '\x1b' => {
            is_color = true;
            false
        }
        'm' if is_color => {
            is_color = false;
            false
        }
        _ => !is_color,
    };
    word.chars().filter(shown).count()
}

/// Returns an argument as a shell takes it back.
#[must_use]
pub fn quoted(argument: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+…".contains(c);
    if !argument.is_empty() && argument.chars().all(safe) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_rounded_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (12_288_000, "11.7 MiB"),
            (1 << 30, "1.0 GiB"),
            (1_048_570, "1.0 MiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(took(Duration::from_millis(42)), "42 ms");
        assert_eq!(took(Duration::from_millis(2100)), "2.1 s");
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        assert_eq!(ago("2026-11-23T10:00:00Z".parse().unwrap(), now), "2 h ago");
        assert_eq!(
            ago("2038-01-01T00:00:00Z".parse().unwrap(), now),
            "4056 days ahead of now"
        );
    }

    #[test]
    fn a_line_is_broken_between_words_where_the_terminal_ends() {
        let text = "warn  web  the folder `/a/b` does not exist";
        assert_eq!(wrapped(text, None, 6), text);
        assert_eq!(wrapped(text, Some(80), 6), text);
        assert_eq!(
            wrapped(text, Some(20), 6),
            "warn  web  the\n      folder `/a/b`\n      does not exist"
        );
        assert_eq!(
            wrapped("\x1b[33mwarn\x1b[0m  web  the folder", Some(21), 6),
            "\x1b[33mwarn\x1b[0m  web  the folder"
        );
        // A word that has no room is not cut.
        assert_eq!(
            wrapped("a /very/long/path", Some(8), 2),
            "a\n  /very/long/path"
        );
    }

    #[test]
    fn names_cannot_steer_the_terminal_and_arguments_come_back_whole() {
        assert_eq!(plain("a\x1b[31mb\nc"), "a\\u{1b}[31mb\\nc");
        assert_eq!(quoted("open-webui"), "open-webui");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
