//! Is the image that a switch brings older than the schema of the data? Snapshots know which image ran on which schema.

use std::path::Path;

use jiff::Timestamp;

use super::Generation;
use crate::discover::image::Image;
use crate::guard::Guard;
use crate::judge::{Finding, FindingId, Severity, Step, allow};
use crate::look::observation::GuardObservation;
use crate::stack::Stack;

/// What ran when a snapshot was taken, and the schema's revision that it held.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair {
    id: String,
    taken_at: Timestamp,
    image: String,
    revision: Vec<String>,
}

/// Returns the image that a guard's unit runs, as the generation says.
pub(super) fn of_unit(generation: &Generation, guard: &Guard) -> Option<String> {
    let unit = generation.unit(guard.unit.as_ref()?).ok()??;
    unit.last("X-Container", "Image").map(str::to_owned)
}

/// Returns what is to be said of the image that the new generation brings.
pub(super) fn older(
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
    let snapshots = stack.vault.snapshots(&guard.name).ok()?;
    for (store, seen) in guard.stores.iter().zip(&seen.stores) {
        let opened = seen.database.as_ref().and_then(|d| d.opened.as_ref());
        let Some(now) = opened.map(|o| &o.revision).filter(|r| !r.is_empty()) else {
            continue;
        };
        let pairs: Vec<Pair> = snapshots
            .iter()
            .filter_map(|s| {
                let proof = s.proof.as_ref()?;
                let of_store = proof.stores.iter().find(|p| p.name == store.name)?;
                Some(Pair {
                    id: s.id(),
                    taken_at: s.summary.taken_at,
                    image: s.summary.pairing.image.clone()?,
                    revision: of_store.seen.revision.clone(),
                })
            })
            .collect();
        if let Some(evidence) = judged(&image, now, &pairs) {
            let id = FindingId::ImageOlderThanData;
            let mut next = Vec::new();
            if let Some(paired) = &evidence.paired {
                let name = paired.split_once('/').map_or(paired.as_str(), |(_, id)| id);
                next.push(Step::new(
                    "bring back its data",
                    &["restore", &guard.name, "--snapshot", name],
                ));
            }
            next.push(allow(&guard.name, id));
            return Some(Finding {
                store: Some(store.name.clone()),
                path: Some(seen.path.clone()),
                evidence: Some(evidence.told),
                next,
                ..Finding::of_guard(
                    id,
                    Severity::Hold,
                    "the image of this switch is older than the schema of the data",
                )
            });
        }
    }
    None
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
