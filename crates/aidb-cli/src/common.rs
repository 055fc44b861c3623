//! The flags that every tool has.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// The flags that every tool has.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// Settings to use instead of the usual place
    ///
    /// The usual place is `$XDG_CONFIG_HOME/aidb/stack.json`. Without it, guards are discovered from the quadlets in
    /// `$XDG_CONFIG_HOME/containers/systemd` and from Home Manager's `podman-*.service` units.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,

    /// Print errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Say each step, with sizes and times
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,

    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Reads a length of time such as `10s`, `500ms`, `2min`, `1h`; a bare number is seconds.
///
/// # Errors
/// What was expected and what was found.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let milliseconds = match unit.trim() {
        "ms" => Some(1),
        "" | "s" | "sec" => Some(1000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    number
        .parse::<u64>()
        .ok()
        .zip(milliseconds)
        .and_then(|(n, unit)| n.checked_mul(unit))
        .map(Duration::from_millis)
        .ok_or_else(|| {
            format!("expected a length of time such as 10s, 500ms or 2min, found `{text}`")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_with_their_units() {
        for (text, ms) in [
            ("10s", 10_000),
            ("500ms", 500),
            ("2min", 120_000),
            ("2m", 120_000),
            ("7", 7000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "s",
            "-1s",
            "1 day",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
