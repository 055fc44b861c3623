//! Is an image older than the schema of the data? Snapshots know which image ran on which schema.
//!
//! It is asked of the image that a switch brings, of the one that a start runs, and of the one that is there when a
//! snapshot comes back. All of it is read from files: Podman is not called.

use std::path::Path;

use jiff::Timestamp;

use crate::discover::image::Image;
use crate::gate::Generation;
use crate::guard::Guard;
use crate::judge::{Finding, FindingId, Severity, Step, allow};
use crate::look::observation::GuardObservation;
use crate::settings::Environment;
use crate::stack::Stack;
use crate::vault::Snapshot;

/// How many of a guard's newest snapshots are asked: a start must not open ten thousand.
const MOST_ASKED: usize = 400;

/// What ran when a snapshot was taken, and the schema's revision that it held.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    id: String,
    taken_at: Timestamp,
    image: String,
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
    let image = image_in(to)?;
    if from.and_then(image_in).is_some_and(|old| old == image) {
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
    let image = of_present_unit(&stack.environment, guard)?;
    let what = "the image that starts is older than the schema of the data";
    of_data(stack, guard, seen, &image, what)
}

/// Returns what is to be said of the image that is there when a snapshot comes back.
#[must_use]
pub fn at_restore(stack: &Stack, guard: &Guard, snapshot: &Snapshot) -> Option<Finding> {
    let present = of_present_unit(&stack.environment, guard);
    let image = present.or_else(|| stack.pairing(guard).image)?;
    let proof = snapshot.proof.as_ref()?;
    proof.stores.iter().find_map(|store| {
        let evidence = judged(
            &image,
            &store.seen.revision,
            &pairs(stack, guard, &store.name),
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
    image: &str,
    what: &str,
) -> Option<Finding> {
    guard
        .stores
        .iter()
        .zip(&seen.stores)
        .find_map(|(store, seen)| {
            let opened = seen.database.as_ref().and_then(|d| d.opened.as_ref());
            let now = opened.map(|o| &o.revision)?;
            let evidence = judged(image, now, &pairs(stack, guard, &store.name))?;
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

/// Returns which image ran on which revision of a store, in order of time.
fn pairs(stack: &Stack, guard: &Guard, store: &str) -> Vec<Pair> {
    let Ok(snapshots) = stack.vault.each_snapshot(&guard.name) else {
        return Vec::new();
    };
    let pair = |s: Snapshot| {
        let proof = s.proof.as_ref()?;
        let of_store = proof.stores.iter().find(|p| p.name == store)?;
        Some(Pair {
            id: s.id(),
            taken_at: s.summary.taken_at,
            image: s.summary.pairing.image.clone()?,
            revision: of_store.seen.revision.clone(),
        })
    };
    let newest = snapshots.rev().take(MOST_ASKED).flatten();
    let mut pairs: Vec<Pair> = newest.filter_map(pair).collect();
    pairs.reverse();
    pairs
}

/// Why an image is older.
#[derive(Debug, PartialEq, Eq)]
struct Evidence {
    told: String,
    /// The newest snapshot that the image ran on.
    paired: Option<String>,
}

/// Returns why an image is older than the data's revision, if it is known to be. Pairs are in order of time.
///
/// It is if it ran on other revisions only, and before the data's revision was first seen; one that never ran here is
/// if its version is lower than that of every image that ran on the data's revision.
fn judged(image: &str, now: &[String], pairs: &[Pair]) -> Option<Evidence> {
    if now.is_empty() {
        return None;
    }
    let with_now: Vec<&Pair> = pairs.iter().filter(|p| p.revision == now).collect();
    let first = with_now.first()?;
    if with_now.iter().any(|p| p.image == image) {
        return None;
    }
    let revision = now.join(", ");
    let since = format!(
        "the data has revision `{revision}`, first kept on {} with `{}`",
        first.taken_at.strftime("%Y-%m-%d %H:%M UTC"),
        first.image
    );
    if let Some(last) = pairs.iter().rev().find(|p| p.image == image) {
        return (last.taken_at < first.taken_at).then(|| Evidence {
            told: format!(
                "{since}; `{image}` last ran on `{}`",
                last.revision.join(", ")
            ),
            paired: Some(last.id.clone()),
        });
    }
    let mine = Image::parse(image)?;
    let version = version(&mine)?;
    let is_newer = |p: &&Pair| {
        let other = Image::parse(&p.image);
        other.is_some_and(|o| {
            o.path == mine.path && self::version(&o).is_some_and(|other| other > version)
        })
    };
    with_now.iter().all(is_newer).then(|| Evidence {
        told: format!("{since}; `{image}` is a lower version"),
        paired: None,
    })
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

    fn pair(n: i64, tag: &str, revision: &str) -> Pair {
        Pair {
            id: format!("webui/{n}"),
            taken_at: Timestamp::from_second(n * 86_400).unwrap(),
            image: format!("ghcr.io/open-webui/open-webui:{tag}"),
            revision: vec![revision.to_owned()],
        }
    }

    #[test]
    fn an_image_is_older_if_it_ran_before_the_revision_or_has_a_lower_version() {
        let history = [
            pair(1, "v0.6.30", "aaa"),
            pair(2, "v0.6.30", "aaa"),
            pair(3, "v0.6.38", "bbb"),
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
            let image = format!("ghcr.io/open-webui/open-webui:{tag}");
            let found = judged(&image, &[now.to_owned()], &history);
            let found = found.map(|e| e.paired);
            assert_eq!(
                found,
                expected.map(|p| p.map(str::to_owned)),
                "{tag} on {now}"
            );
        }
    }

    #[test]
    fn another_application_of_a_lower_version_says_nothing() {
        let history = [pair(3, "v0.6.38", "bbb")];
        let found = judged("docker.io/me/fork:v0.1.0", &["bbb".to_owned()], &history);
        assert_eq!(found, None);
    }
}
