//! From one declared container to its guards, by the catalog. Pure.

use std::path::{Path, PathBuf};

use super::Discovery;
use super::declared::Container;
use super::folder::{Candidate, Folder, Folders};
use super::volume::nested;
use super::volume_unit::Volumes;
use crate::catalog::{Catalog, Preset};
use crate::guard::{Guard, Policy};
use crate::image::Image;
use crate::settings::resolve::preset_stores;
use crate::settings::{DiscoverProblem, DiscoverProblemKind, Environment, NotGuarded};

/// Adds a container's guards, its folders that nobody guards, and what is wrong with them.
pub fn derive(
    container: &Container,
    volumes: &Volumes,
    catalog: &Catalog,
    environment: &Environment,
    found: &mut Discovery,
) {
    let folders = Folders {
        container,
        volumes,
        environment,
    };
    let image = container.image.as_deref().and_then(Image::parse);
    let presets = image
        .as_ref()
        .map(|i| catalog.for_image(i))
        .unwrap_or_default();
    let tag = image.as_ref().and_then(|i| i.tag.as_deref());
    let mut kept: Vec<(Candidate, Folder)> = Vec::new();
    for candidate in folders.candidates(&presets, tag) {
        match folders.folder(&candidate) {
            Ok(None) => {}
            Ok(Some(folder)) => kept.push((candidate, folder)),
            Err(problem) => found.problems.push(*problem),
        }
    }
    for (candidate, folder) in &kept {
        if let Some(ephemeral) = catalog.host_folders.ephemeral_of(&folder.data) {
            found.problems.push(folders.lost(
                &folder.mount,
                &format!(
                    "`{}`, and `{}` does not outlive a boot",
                    folder.data.display(),
                    ephemeral.display()
                ),
                Some("mount a folder below your home".to_owned()),
            ));
        }
        found.problems.extend(
            folder
                .outside
                .iter()
                .map(|part| incomplete(container, candidate, folder, part)),
        );
    }
    not_guarded(&folders, catalog, &presets, &kept, found);
    found.guards.extend(
        kept.into_iter()
            .map(|(candidate, folder)| guard(container, candidate, folder)),
    );
}

fn guard(container: &Container, candidate: Candidate, folder: Folder) -> Guard {
    Guard {
        name: candidate.name,
        container: container.name.clone(),
        unit: Some(container.unit.clone()),
        data: folder.data,
        mount: Some(folder.mount),
        preset: Some(candidate.preset_name.to_owned()),
        exclude: candidate.preset.exclude.clone(),
        stores: preset_stores(folder.stores, folder.moved.as_deref()),
        policy: Policy::default(),
        migrations: std::collections::BTreeMap::new(),
        nested: folder.nested,
    }
}

/// Returns what is said of a part of a guard's data that its snapshots lack.
fn incomplete(
    container: &Container,
    candidate: &Candidate,
    folder: &Folder,
    part: &(PathBuf, Option<PathBuf>),
) -> DiscoverProblem {
    let (at, host) = part;
    let place = match host {
        Some(host) => format!("in `{}`", host.display()),
        None => "on no volume that keeps it".to_owned(),
    };
    let alone = if candidate.preset.at_rest_only {
        ", so that none of them can be brought back alone"
    } else {
        ""
    };
    DiscoverProblem {
        container: Some(container.name.clone()),
        file: container.file.clone(),
        kind: DiscoverProblemKind::Incomplete,
        what: format!(
            "expected all data of container `{}` in `{}`, found `{}` {place}: the snapshots of guard `{}` lack it{alone}",
            container.name,
            folder.data.display(),
            at.display(),
            candidate.name
        ),
        hint: Some(match host {
            Some(host) => format!(
                "keep it below `{}`, or guard `{}`, too, in stack.json",
                folder.mount.display(),
                host.display()
            ),
            None => format!("keep it below `{}`", folder.mount.display()),
        }),
    }
}

/// Adds what a container keeps and no guard has.
fn not_guarded(
    folders: &Folders,
    catalog: &Catalog,
    presets: &[(&str, &Preset)],
    kept: &[(Candidate, Folder)],
    found: &mut Discovery,
) {
    let container = folders.container;
    let mut told: Vec<(PathBuf, String)> = Vec::new();
    for (candidate, folder) in kept {
        for inner in &folder.nested {
            let below = inner.below.display();
            let why = format!(
                "it is mounted inside the data of guard `{}`, at `{below}`, and is not part of its snapshots",
                candidate.name
            );
            told.extend(inner.host.clone().map(|host| (host, why)));
        }
        for (at, host) in &folder.outside {
            if !at.starts_with(&folder.mount) {
                let why = format!(
                    "it is part of the data of guard `{}`, at `{}`, and is not part of its snapshots",
                    candidate.name,
                    at.display()
                );
                told.extend(host.clone().map(|host| (host, why)));
            }
        }
    }
    told.retain(|(host, _)| !kept.iter().any(|(_, folder)| folder.data == *host));
    let guarded: Vec<_> = kept
        .iter()
        .flat_map(|(_, folder)| {
            std::iter::once(folder.on).chain(nested(&container.mounts, &folder.mount))
        })
        .collect();
    let others: Vec<PathBuf> = container
        .mounts
        .iter()
        .filter(|mount| folders.keeps(mount) && !guarded.contains(mount))
        .filter_map(|mount| folders.host(mount, Path::new("")))
        .filter(|host| {
            catalog.host_folders.ephemeral_of(host).is_none()
                && !catalog.host_folders.is_system(host)
                && !told.iter().any(|(part, _)| part == host)
        })
        .collect();
    let mut add = |folders: Vec<PathBuf>, why: String| {
        found.not_guarded.push(NotGuarded {
            container: container.name.clone(),
            folders,
            why,
        });
    };
    for (host, why) in told {
        add(vec![host], why);
    }
    if !others.is_empty() {
        add(others, why(container, presets));
    }
}

fn why(container: &Container, presets: &[(&str, &Preset)]) -> String {
    match (presets.first(), &container.image) {
        (Some((preset, _)), _) => format!("preset `{preset}` has no data there"),
        (None, Some(image)) => format!("no preset knows image `{}`", image.escape_debug()),
        (None, None) => "it names no image".to_owned(),
    }
}
