//! Is an image older than the schema of the data? Snapshots know which image ran on which schema.
//!
//! It is asked of the image that a switch brings, of the one that a start runs, and of the one that is there when a
//! snapshot comes back. An image is told from others by its digest, because an update gives its name to another one; where a
//! digest is not known, by its name. All of it is read from files: Podman is not called.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::Timestamp;

use crate::generation::Generation;
use crate::guard::Guard;
use crate::image::Image;
use crate::judge::{Finding, FindingId, Severity, Step, allow};
use crate::look::observation::GuardObservation;
use crate::manifest::short_digest;
use crate::podman::Storage;
use crate::settings::Environment;
use crate::stack::Stack;
use crate::vault::Snapshot;

/// How many of a guard's newest snapshots are asked: a start must not open ten thousand. Most of the time the first one
/// answers, and no other is opened.
const MOST_ASKED: usize = 400;

/// An image: the name under which a unit or a person knows it, and what tells it from others of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    digest: Option<String>,
}

impl Known {
    /// Returns the image that has this name now.
    fn now(stack: &Stack, name: String) -> Self {
        let digest = Storage::of(&stack.environment).digest_of_name(&name);
        Self { name, digest }
    }

    /// Returns whether both are the same image. An update may give a name to another image: the digest tells, where it is
    /// known of both.
    fn is(&self, other: &Self) -> bool {
        match (&self.digest, &other.digest) {
            (Some(one), Some(other)) => one == other,
            _ => self.name == other.name,
        }
    }

    /// Returns it for people: its name, and where another image has the same name, the beginning of its digest.
    fn told(&self, beside: &Self) -> String {
        let digest = self.digest.as_deref().filter(|_| self.name == beside.name);
        match digest.map(short_digest) {
            Some(digest) => format!("`{}` ({digest})", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// What ran when a snapshot was taken, and the schema's revision that it held.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    id: String,
    taken_at: Timestamp,
    image: Known,
    revision: Vec<String>,
}

/// Returns the image that a guard's unit runs, as the generation says.
pub(crate) fn of_unit(generation: &Generation, guard: &Guard) -> Option<String> {
    let unit = generation.unit(guard.unit.as_ref()?).ok()??;
    unit.last("X-Container", "Image").map(str::to_owned)
}

/// Returns the image that a guard's unit runs now: of the unit in the person's folder, or of what Podman's generator made
/// of a quadlet.
fn of_present_unit(environment: &Environment, guard: &Guard) -> Option<String> {
    Generation::present(environment)
        .iter()
        .find_map(|present| of_unit(present, guard))
}

/// Returns what is to be said of the image that the new generation brings.
pub(crate) fn at_switch(
    stack: &Stack,
    from: Option<&Path>,
    to: &Path,
    guard: &Guard,
    seen: &GuardObservation,
) -> Option<Finding> {
    let image_in = |folder: &Path| of_unit(&Generation::at(folder, &stack.environment), guard);
    let image = Known::now(stack, image_in(to)?);
    let old = from.and_then(image_in).map(|name| Known {
        name,
        digest: stack.pairing(guard).image_digest,
    });
    if old.is_some_and(|old| old.is(&image)) {
        return None;
    }
    let mut finding = of_data(
        stack,
        guard,
        seen,
        &image,
        "the image of this switch is older than the schema of the data",
    )?;
    finding.severity = Severity::Hold;
    finding.next.push(allow(&guard.name, finding.id));
    Some(finding)
}

/// Returns what is to be said of the image that a start runs. It holds nothing up: the application says itself that it
/// does not know the schema, and this says what belongs to it.
pub(crate) fn at_start(stack: &Stack, guard: &Guard, seen: &GuardObservation) -> Option<Finding> {
    let image = Known::now(stack, of_present_unit(&stack.environment, guard)?);
    let what = "the image that starts is older than the schema of the data";
    of_data(stack, guard, seen, &image, what)
}

/// Returns what is to be said of the image that is there when a snapshot comes back.
#[must_use]
pub fn at_restore(stack: &Stack, guard: &Guard, snapshot: &Snapshot) -> Option<Finding> {
    let present = of_present_unit(&stack.environment, guard);
    let image = Known::now(stack, present.or_else(|| stack.pairing(guard).image)?);
    let proof = snapshot.proof.as_ref()?;
    proof.stores.iter().find_map(|store| {
        let evidence = judged(
            &image,
            &store.seen.revision,
            pairs(stack, guard, &store.name),
        )?;
        let what = format!(
            "`{}` is of a newer schema than the image that is there",
            snapshot.id()
        );
        Some(finding(guard, &store.name, &evidence, &what))
    })
}

/// Judges an image by the data as it was seen.
fn of_data(
    stack: &Stack,
    guard: &Guard,
    seen: &GuardObservation,
    image: &Known,
    what: &str,
) -> Option<Finding> {
    guard
        .stores
        .iter()
        .zip(&seen.stores)
        .find_map(|(store, seen)| {
            let opened = seen.database.as_ref().and_then(|d| d.opened.as_ref());
            let now = opened.map(|o| &o.revision)?;
            let evidence = judged(image, now, pairs(stack, guard, &store.name))?;
            Some(Finding {
                path: Some(seen.path.clone()),
                ..finding(guard, &store.name, &evidence, what)
            })
        })
}

fn finding(guard: &Guard, store: &str, evidence: &Evidence, what: &str) -> Finding {
    let paired = evidence.paired.as_ref().map(|paired| {
        let name = paired.split_once('/').map_or(paired.as_str(), |(_, id)| id);
        Step::new(
            "bring back its data",
            &["restore", &guard.name, "--snapshot", name],
        )
    });
    Finding {
        store: Some(store.to_owned()),
        evidence: Some(evidence.told.clone()),
        next: paired.into_iter().collect(),
        ..Finding::of_guard(FindingId::ImageOlderThanData, Severity::Warn, what)
    }
}

/// Returns which image ran on which revision of a store, the newest first. A snapshot is opened when it is asked for.
fn pairs(stack: &Stack, guard: &Guard, store: &str) -> impl Iterator<Item = Pair> {
    let pair = move |s: Snapshot| {
        let proof = s.proof.as_ref()?;
        let of_store = proof.stores.iter().find(|p| p.name == store)?;
        let pairing = &s.summary.pairing;
        if pairing.failed {
            return None;
        }
        Some(Pair {
            id: s.id(),
            taken_at: s.summary.taken_at,
            image: Known {
                name: pairing.image.clone()?,
                digest: pairing.image_digest.clone(),
            },
            revision: of_store.seen.revision.clone(),
        })
    };
    let snapshots = stack.vault.each_snapshot(&guard.name).into_iter().flatten();
    snapshots.rev().take(MOST_ASKED).flatten().filter_map(pair)
}

/// Why an image is older.
#[derive(Debug, PartialEq, Eq)]
struct Evidence {
    told: String,
    /// The newest snapshot that the image ran on.
    paired: Option<String>,
}

/// Returns why an image is older than the data's revision, if it is known to be. Pairs come with the newest first, and no
/// more of them are asked for than are needed.
///
/// It is if it ran on other revisions only, all of which were first seen before the data's; one that never ran here is if its
/// version is lower than that of every image that ran on the data's revision.
fn judged(
    image: &Known,
    now: &[String],
    newest_first: impl IntoIterator<Item = Pair>,
) -> Option<Evidence> {
    if now.is_empty() {
        return None;
    }
    let mut age = 0;
    // How old each revision is, as the oldest snapshot of it tells.
    let mut first_seen: HashMap<Vec<String>, usize> = HashMap::new();
    let (mut first, mut last): (Option<Pair>, Option<Pair>) = (None, None);
    let mut mine: HashSet<Vec<String>> = HashSet::new();
    let mut is_lower = true;
    for pair in newest_first {
        age += 1;
        first_seen.insert(pair.revision.clone(), age);
        let is_mine = pair.image.is(image);
        if pair.revision == now {
            if is_mine {
                return None;
            }
            is_lower &= is_lower_version(&image.name, &pair.image.name);
            first = Some(pair);
        } else if is_mine {
            mine.insert(pair.revision.clone());
            last = last.or(Some(pair));
        }
    }
    let first = first?;
    // A revision that came later is no older one, whatever ran on it.
    if mine
        .iter()
        .any(|revision| first_seen[revision] < first_seen[now])
    {
        return None;
    }
    let since = format!(
        "the data has revision `{}`, first kept on {} with {}",
        now.join(", "),
        first.taken_at.strftime("%Y-%m-%d %H:%M UTC"),
        first.image.told(image)
    );
    let this = image.told(&first.image);
    if let Some(last) = last {
        return Some(Evidence {
            told: format!("{since}; {this} last ran on `{}`", last.revision.join(", ")),
            paired: Some(last.id),
        });
    }
    is_lower.then(|| Evidence {
        told: format!("{since}; {this} is a lower version"),
        paired: None,
    })
}

/// Returns whether an image is a lower version than another one of the same application.
fn is_lower_version(image: &str, than: &str) -> bool {
    let (Some(image), Some(than)) = (Image::parse(image), Image::parse(than)) else {
        return false;
    };
    let (Some(mine), Some(other)) = (version(&image), version(&than)) else {
        return false;
    };
    image.path == than.path && mine < other
}

/// Returns the numbers of a tag such as `v0.6.38` or `1.2.3-slim`; none if it does not begin with two of them.
fn version(image: &Image) -> Option<Vec<u64>> {
    let tag = image.tag.as_deref()?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let end = tag
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(tag.len());
    let numbers: Option<Vec<u64>> = tag[..end].split('.').map(|n| n.parse().ok()).collect();
    numbers.filter(|n| n.len() >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(tag: &str, digest: Option<&str>) -> Known {
        Known {
            name: format!("ghcr.io/open-webui/open-webui:{tag}"),
            digest: digest.map(|d| format!("sha256:{d}")),
        }
    }

    fn pair(n: i64, image: Known, revision: &str) -> Pair {
        Pair {
            id: format!("webui/{n}"),
            taken_at: Timestamp::from_second(n * 86_400).unwrap(),
            image,
            revision: vec![revision.to_owned()],
        }
    }

    /// Judges by a history that is told in the order in which it happened.
    fn told(image: &Known, now: &str, history: &[Pair]) -> Option<Evidence> {
        judged(image, &[now.to_owned()], history.iter().rev().cloned())
    }

    #[test]
    fn an_image_is_older_if_it_ran_before_the_revision_or_has_a_lower_version() {
        let history = [
            pair(1, image("v0.6.30", None), "aaa"),
            pair(2, image("v0.6.30", None), "aaa"),
            pair(3, image("v0.6.38", None), "bbb"),
        ];
        for (tag, now, expected) in [
            // Back to what ran before the migration: its own snapshot is named.
            ("v0.6.30", "bbb", Some(Some("webui/2"))),
            // The same, by version alone.
            ("v0.6.29", "bbb", Some(None)),
            ("v0.6.29-ollama", "bbb", Some(None)),
            // Forward, the same again, or not to be told.
            ("v0.6.39", "bbb", None),
            ("v0.6.38", "bbb", None),
            ("v0.10.1", "bbb", None),
            ("main", "bbb", None),
            ("v0.6.30", "aaa", None),
            ("v0.6.29", "ccc", None),
        ] {
            let found = told(&image(tag, None), now, &history).map(|e| e.paired);
            assert_eq!(
                found,
                expected.map(|p| p.map(str::to_owned)),
                "{tag} on {now}"
            );
        }
    }

    /// What auto-update does: `main` is one image, then another, then the first again.
    #[test]
    fn a_name_that_goes_from_image_to_image_is_told_by_the_digest() {
        let history = [
            pair(1, image("main", Some("11")), "aaa"),
            pair(2, image("main", Some("22")), "bbb"),
        ];
        let back = told(&image("main", Some("11")), "bbb", &history).unwrap();
        assert_eq!(back.paired.as_deref(), Some("webui/1"));
        assert_eq!(
            back.told,
            "the data has revision `bbb`, first kept on 1970-01-03 00:00 UTC with \
             `ghcr.io/open-webui/open-webui:main` (22); `ghcr.io/open-webui/open-webui:main` (11) last ran on `aaa`"
        );
        for (known, why) in [
            (image("main", Some("22")), "it runs on it"),
            (image("main", Some("33")), "it is new"),
            (image("main", None), "by its name it ran on it"),
            (image("v2", Some("22")), "another name of what runs on it"),
        ] {
            assert_eq!(told(&known, "bbb", &history), None, "{why}");
        }
        // Rolled back with its data, and updated again: nothing of that makes it any newer.
        let again = [
            history[0].clone(),
            history[1].clone(),
            pair(3, image("main", Some("11")), "aaa"),
            pair(4, image("main", Some("22")), "bbb"),
        ];
        let back = told(&image("main", Some("11")), "bbb", &again).unwrap();
        assert_eq!(back.paired.as_deref(), Some("webui/3"));
        // What ran on a newer revision is at least as new, though the data went back since.
        let restored = [
            history[1].clone(),
            pair(3, image("main", Some("33")), "ccc"),
        ];
        assert_eq!(told(&image("main", Some("33")), "bbb", &restored), None);
    }

    #[test]
    fn the_newest_snapshot_answers_when_nothing_changed() {
        let newest = pair(3, image("v0.6.38", None), "bbb");
        let mut asked = 0;
        let all = std::iter::repeat(newest).inspect(|_| asked += 1);
        let found = judged(&image("v0.6.38", None), &["bbb".to_owned()], all);
        assert_eq!((found, asked), (None, 1));
    }

    #[test]
    fn another_application_of_a_lower_version_says_nothing() {
        let history = [pair(3, image("v0.6.38", None), "bbb")];
        let other = Known {
            name: "docker.io/me/fork:v0.1.0".into(),
            digest: None,
        };
        assert_eq!(told(&other, "bbb", &history), None);
    }
}
