//! Ids as the container numbers them, and as the host does.

use std::path::Path;

use rustix::process::{getegid, geteuid};

use crate::error::{Error, IoContext, Result};

/// What the kernel shows in place of an id that has no number here (`/proc/sys/kernel/overflowuid`).
const NOBODY: u32 = 65534;

/// How users and groups are numbered in the containers of this user, against how this process sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    users: Ids,
    groups: Ids,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ids {
    /// This process sees the container's own numbers.
    Same,
    /// An ordinary user on the host: they are the container's 0, and its 1 and above are their sub-ids.
    Below { own: u32, sub: Vec<Range> },
}

/// A block of ids that belongs to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first id, as the host numbers it.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl IdMap {
    /// Returns the numbering as this process sees it: inside the namespace, and for the system's root (whose
    /// containers are not mapped), the container's own.
    #[must_use]
    pub fn of_this_process() -> Self {
        if geteuid().is_root() {
            return Self {
                users: Ids::Same,
                groups: Ids::Same,
            };
        }
        let uid = geteuid().as_raw();
        // Without ranges, rootless Podman maps the user alone.
        let below = |own, file| Ids::Below {
            own,
            sub: subordinate(Path::new(file), uid).unwrap_or_default(),
        };
        Self {
            users: below(uid, "/etc/subuid"),
            groups: below(getegid().as_raw(), "/etc/subgid"),
        }
    }

    /// Returns the container's numbers of an owner and a group as this process sees them. One that the container
    /// has no number for is `nobody` there.
    #[must_use]
    pub fn to_container(&self, uid: u32, gid: u32) -> (u32, u32) {
        (self.users.to_container(uid), self.groups.to_container(gid))
    }

    /// Returns the numbers by which this process sees an owner and a group of the container; `None` for one that has
    /// none here.
    #[must_use]
    pub fn to_host(&self, uid: u32, gid: u32) -> (Option<u32>, Option<u32>) {
        (self.users.to_host(uid), self.groups.to_host(gid))
    }
}

impl Ids {
    fn to_container(&self, id: u32) -> u32 {
        let Self::Below { own, sub } = self else {
            return id;
        };
        if id == *own {
            return 0;
        }
        // The container's 1 is the first id of the first range, and each range follows the one before.
        let mut inside = 1;
        for range in sub {
            if let Some(nth) = id.checked_sub(range.first).filter(|n| *n < range.count) {
                return inside + nth;
            }
            inside += range.count;
        }
        NOBODY
    }

    fn to_host(&self, id: u32) -> Option<u32> {
        let Self::Below { own, sub } = self else {
            return Some(id);
        };
        let Some(mut nth) = id.checked_sub(1) else {
            return Some(*own);
        };
        for range in sub {
            if nth < range.count {
                return Some(range.first + nth);
            }
            nth -= range.count;
        }
        None
    }
}

/// Returns a user's ranges in `/etc/subuid` or `/etc/subgid` (subuid(5)), in their order.
///
/// # Errors
/// [`Error::CouldNot`] if the user has none, [`Error::Io`] if the file cannot be read.
pub fn subordinate(file: &Path, uid: u32) -> Result<Vec<Range>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e).doing("read", file),
    };
    let name = user_name(uid);
    let ranges = ranges(&text, uid, name.as_deref());
    if ranges.is_empty() {
        let user = name.unwrap_or_else(|| uid.to_string());
        return Err(Error::CouldNot {
            what: format!(
                "the container's user namespace cannot be entered: `{}` has no range for the user `{user}`",
                file.display()
            ),
            hint: Some(format!(
                "an administrator can add one: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
            )),
        });
    }
    Ok(ranges)
}

fn ranges(text: &str, uid: u32, name: Option<&str>) -> Vec<Range> {
    let is_user = |word: &str| Some(word) == name || word.parse() == Ok(uid);
    text.lines()
        .filter_map(|line| {
            let mut words = line.trim().split(':');
            words.next().filter(|w| is_user(w))?;
            let (first, count) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            // A range that leaves the numbers there are is none.
            u32::checked_add(first, count)?;
            (count > 0).then_some(Range { first, count })
        })
        .collect()
}

/// Returns a user's name as the system's own list has it; for others (a directory service) as the environment says.
fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let listed = passwd.lines().find_map(|line| {
        let mut words = line.split(':');
        let name = words.next()?;
        (words.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    listed.or_else(|| std::env::var("USER").ok().filter(|n| !n.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBUID: &str = "\
        root:1:2\n\
        bob:200000:65536\n\
        alice:100000:65536\n\
        # a note\n\
        1000:300000:10\n\
        alice:broken\n\
        alice:4294967290:100\n\
        alice:7:0\n";

    fn map() -> IdMap {
        let ids = Ids::Below {
            own: 1000,
            sub: ranges(SUBUID, 1000, Some("alice")),
        };
        IdMap {
            users: ids.clone(),
            groups: ids,
        }
    }

    #[test]
    fn ranges_are_found_by_name_and_by_number_and_nonsense_is_passed_over() {
        let range = |first, count| Range { first, count };
        assert_eq!(
            ranges(SUBUID, 1000, Some("alice")),
            [range(100_000, 65536), range(300_000, 10)]
        );
        assert_eq!(ranges(SUBUID, 1000, None), [range(300_000, 10)]);
        assert_eq!(ranges(SUBUID, 1001, Some("carol")), []);
    }

    #[test]
    fn ids_are_the_containers_and_come_back_as_the_hosts() {
        // Seen with Podman 5.4: user 999 of the container is 100998 on the host.
        for (host, container) in [
            (1000, 0),
            (100_000, 1),
            (100_998, 999),
            (165_535, 65536),
            (300_000, 65537),
        ] {
            assert_eq!(map().to_container(host, host), (container, container));
            assert_eq!(
                map().to_host(container, container),
                (Some(host), Some(host))
            );
        }
        assert_eq!(map().to_container(0, 200_000), (NOBODY, NOBODY));
        assert_eq!(map().to_host(65547, 70000), (None, None));
    }
}
