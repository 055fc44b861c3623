//! Which snapshot, archive or rescue a person means by an id.
//!
//! A number alone is a sequence, with or without its zeros: `4` never stands for `000042-…`, nor `0` for every one of
//! them. Anything longer is the beginning of a name, and has to fit one only.

use super::name::SnapshotName;
use crate::error::{Error, Result};
use crate::words::first_few;

/// How many names an error lists.
const NEAREST: usize = 3;

/// Returns the one of `all`, things of `guard` called `noun`, that is meant by `id`.
///
/// # Errors
/// [`Error::Usage`] if none is meant, with the nearest ones, or if several are.
pub fn meant<T>(
    all: Vec<T>,
    name: impl Fn(&T) -> &SnapshotName,
    id: &str,
    guard: &str,
    noun: &str,
) -> Result<T> {
    let (mut fitting, others): (Vec<T>, Vec<T>) = all.into_iter().partition(|t| fits(name(t), id));
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 => Err(Error::Usage {
            what: format!(
                "`{guard}` has no {noun} `{}`{}",
                id.escape_debug(),
                nearest(others.iter().map(name), id)
            ),
            hint: Some(format!("`aidb list {guard}` shows what there is")),
        }),
        several => Err(Error::Usage {
            what: format!(
                "`{id}` fits {several} {noun}s of `{guard}`: {}",
                list(fitting.iter().map(name))
            ),
            hint: Some("write more of it".into()),
        }),
    }
}

/// Returns whether an id may mean this name.
fn fits(name: &SnapshotName, id: &str) -> bool {
    if let Some(number) = number(id) {
        return name.sequence == number;
    }
    let text = name.to_string();
    !id.is_empty() && (text.starts_with(id) || text.trim_start_matches('0').starts_with(id))
}

/// Returns the number that an id is, if it is nothing else.
fn number(id: &str) -> Option<u64> {
    let all_digits = id.bytes().all(|b| b.is_ascii_digit());
    id.parse().ok().filter(|_| all_digits)
}

/// Returns the words for the names that are nearest to what was asked for, of which there may be none.
fn nearest<'n>(names: impl Iterator<Item = &'n SnapshotName>, id: &str) -> String {
    let asked = number(id.split('-').next().unwrap_or_default()).unwrap_or(u64::MAX);
    let mut names: Vec<&SnapshotName> = names.collect();
    // The newest first, of those that are as near.
    names.sort_by(|a, b| b.cmp(a));
    names.sort_by_key(|n| n.sequence.abs_diff(asked));
    if names.is_empty() {
        return String::new();
    }
    names.truncate(NEAREST);
    format!("; nearest: {}", list(names.into_iter()))
}

fn list<'n>(names: impl Iterator<Item = &'n SnapshotName>) -> String {
    first_few(names.map(|n| format!("`{n}`")), ", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<SnapshotName> {
        [
            "000007-20261120T060000Z-stop",
            "000041-20261121T060000Z-stop",
            "000042-20261122T060000Z-stop",
            "000042-20261122T070000Z-timer",
            "000420-20261123T060000Z-stop",
            "1000000-20261124T060000Z-stop",
        ]
        .map(|n| SnapshotName::parse(n).unwrap())
        .to_vec()
    }

    fn of(id: &str) -> Result<String> {
        meant(names(), |n| n, id, "webui", "snapshot").map(|n| n.to_string())
    }

    #[test]
    fn an_id_is_a_number_or_the_beginning_of_one_name() {
        for (id, name) in [
            ("7", "000007-20261120T060000Z-stop"),
            ("07", "000007-20261120T060000Z-stop"),
            ("000007", "000007-20261120T060000Z-stop"),
            ("7-", "000007-20261120T060000Z-stop"),
            ("420", "000420-20261123T060000Z-stop"),
            ("1000000", "1000000-20261124T060000Z-stop"),
            ("42-20261122T06", "000042-20261122T060000Z-stop"),
            (
                "000042-20261122T070000Z-timer",
                "000042-20261122T070000Z-timer",
            ),
        ] {
            assert_eq!(of(id).unwrap(), name, "{id}");
        }
    }

    /// `0` once was the beginning of every name, and so the only snapshot of a young vault.
    #[test]
    fn what_is_no_number_of_any_or_the_beginning_of_several_is_an_error_that_names_the_nearest() {
        let told = |id: &str| of(id).unwrap_err().to_string();
        insta::assert_snapshot!(told("0"), @"`webui` has no snapshot `0`; nearest: `000007-20261120T060000Z-stop`, `000041-20261121T060000Z-stop`, `000042-20261122T070000Z-timer`");
        insta::assert_snapshot!(told("43"), @"`webui` has no snapshot `43`; nearest: `000042-20261122T070000Z-timer`, `000042-20261122T060000Z-stop`, `000041-20261121T060000Z-stop`");
        insta::assert_snapshot!(told("42"), @"`42` fits 2 snapshots of `webui`: `000042-20261122T060000Z-stop`, `000042-20261122T070000Z-timer`");
        for id in [
            "",
            "00",
            "00000",
            "4",
            "1",
            "99999999999999999999",
            "7-2027",
            "-7",
            "stop",
            "\u{1b}[2J",
        ] {
            assert!(told(id).starts_with("`webui` has no snapshot `"), "{id}");
        }
        let none = meant(Vec::new(), |n| n, "1", "webui", "archive").unwrap_err();
        insta::assert_snapshot!(none, @"`webui` has no archive `1`");
    }
}
