//! Ollama in its own terms: manifests against the blobs that they name.
//!
//! By names and sizes always; by content ([`verify_blobs`]) on demand, since that reads every model whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::content;
use super::tour::{Content, Kind, MOST_FILE_BYTES, Several, Tour};
use crate::capture::Root;
use crate::capture::blobs::{Blob, Blobs, blob_digest};
use crate::guard::{Guard, StoreKind};

/// Where a manifest lies below `manifests`: registry, namespace, model, tag. The server looks nowhere else.
const MANIFEST_DEPTH: usize = 4;
/// How many different blobs are compared at most.
const MOST_BLOBS: usize = 100_000;
/// How long the manifests may take to be read for a capture.
const NAMES_WITHIN: Duration = Duration::from_secs(5);

/// What was found of the models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ollama {
    /// Manifests, readable or not.
    pub manifests: u64,
    /// Manifests that can be read: models.
    pub models: u64,
    /// Whole blobs in the store.
    pub blobs: u64,
    /// Bytes of the blobs that manifests name, each counted once.
    pub named_bytes: u64,
    /// Manifests that cannot be read, and why.
    pub bad_manifests: Several,
    /// Blobs that a manifest names and that do not exist.
    pub missing: Several,
    /// Blobs that have another size than their manifest says.
    pub wrong_size: Several,
    /// Whole blobs that no manifest names; only told where every manifest was read.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Files of interrupted downloads.
    pub partial: u64,
    /// What hashing found, if that was asked for.
    pub hashed: Option<Hashed>,
}

/// What hashing the blobs found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hashed {
    /// Blobs whose content is what their name says.
    pub verified: u64,
    /// Blobs whose content is not.
    pub differing: Several,
    /// Blobs that could not be read, and why.
    pub unread: Several,
    /// Whether the time was enough for all of them.
    pub complete: bool,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    config: Option<Layer>,
    #[serde(default)]
    layers: Option<Vec<Layer>>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(default)]
    digest: String,
    #[serde(default)]
    size: u64,
}

/// Looks at a folder with `manifests` and `blobs`.
pub(super) fn look(tour: &mut Tour, folder: &Path) -> Ollama {
    let mut found = Ollama::default();
    let before = tour.unlooked.count;
    let named = manifests(tour, &folder.join("manifests"), &mut found);
    let blobs = blobs(tour, &folder.join("blobs"), &mut found);
    let all_seen = tour.ended.is_none() && tour.unlooked.count == before;
    let mut counted = HashSet::new();
    for ((digest, size), model) in &named {
        let kind = match blobs.get(digest) {
            Some(kind) => *kind,
            None if all_seen => Kind::Absent,
            None => match direct(tour, folder, digest) {
                None => continue,
                Some(kind) => kind,
            },
        };
        let short = digest.get(..12).unwrap_or(digest);
        match kind {
            Kind::File(found_size) => {
                if counted.insert(digest) {
                    found.named_bytes += found_size;
                }
                if found_size != *size {
                    found.wrong_size.add(format!(
                        "`{model}`: `sha256-{short}…` has {found_size} bytes, expected {size}"
                    ));
                }
            }
            Kind::Symlink => {
                let path = folder.join("blobs").join(format!("sha256-{digest}"));
                tour.blocked(&path, "a symbolic link, which is not followed");
            }
            other => {
                let what = match other {
                    Kind::Folder => " is a folder".to_owned(),
                    Kind::Special(what) => format!(" is a {what}"),
                    _ => String::new(),
                };
                found
                    .missing
                    .add(format!("`{model}`: `sha256-{short}…`{what}"));
            }
        }
    }
    // An unreadable manifest may name them; the server deletes nothing then.
    if all_seen && found.bad_manifests.is_empty() {
        let named: HashSet<&str> = named.keys().map(|(digest, _)| digest.as_str()).collect();
        for (digest, kind) in &blobs {
            if let Kind::File(size) = kind
                && !named.contains(digest.as_str())
            {
                found.orphans += 1;
                found.orphan_bytes += size;
            }
        }
    }
    found
}

/// Lists the blobs by digest.
fn blobs(tour: &mut Tour, folder: &Path, found: &mut Ollama) -> HashMap<String, Kind> {
    let mut blobs = HashMap::new();
    for entry in tour.list(folder).unwrap_or_default() {
        let name = entry.text();
        if let Some(digest) = blob_digest(name) {
            found.blobs += u64::from(matches!(entry.kind, Kind::File(_)));
            blobs.insert(digest, entry.kind);
        } else if name.starts_with("sha256") && name.contains("-partial") {
            found.partial += 1;
        }
    }
    blobs
}

/// Returns what lies at a blob's name where the folder could not be listed whole; `None` if it cannot be told.
fn direct(tour: &mut Tour, folder: &Path, digest: &str) -> Option<Kind> {
    for separator in ['-', ':'] {
        let path = folder
            .join("blobs")
            .join(format!("sha256{separator}{digest}"));
        let kind = tour.kind(&path)?;
        if kind != Kind::Absent {
            return Some(kind);
        }
    }
    Some(Kind::Absent)
}

/// Returns the blobs that manifests name with their sizes, each with the first model that names it.
fn manifests(tour: &mut Tour, top: &Path, found: &mut Ollama) -> BTreeMap<(String, u64), String> {
    let mut named = BTreeMap::new();
    let mut folders = vec![(PathBuf::new(), 1)];
    while let Some((below, depth)) = folders.pop() {
        let Some(entries) = tour.list(&top.join(&below)) else {
            continue;
        };
        for entry in entries {
            let path = below.join(&entry.name);
            // A name that begins with a dot is no name of a model.
            if entry.text().starts_with('.') {
                continue;
            }
            match entry.kind {
                Kind::Folder if depth < MANIFEST_DEPTH => folders.push((path, depth + 1)),
                Kind::Symlink => {
                    tour.blocked(&top.join(path), "a symbolic link, which is not followed");
                }
                Kind::File(_) | Kind::Special(_) if depth == MANIFEST_DEPTH => {
                    manifest(tour, top, &path, found, &mut named);
                }
                _ => {}
            }
        }
    }
    named
}

fn manifest(
    tour: &mut Tour,
    top: &Path,
    path: &Path,
    found: &mut Ollama,
    named: &mut BTreeMap<(String, u64), String>,
) {
    let bytes = match tour.read(&top.join(path), MOST_FILE_BYTES) {
        Content::Bytes(bytes) => Ok(bytes),
        Content::Other(why) | Content::TooLong(why) => Err(why),
        Content::Absent | Content::Blocked => return,
    };
    found.manifests += 1;
    let model = model_name(path);
    match bytes.and_then(|bytes| layers(&bytes)) {
        Ok(layers) => {
            found.models += 1;
            for layer in layers {
                if named.len() >= MOST_BLOBS {
                    tour.ended = Some(super::tour::Ended::TooMuch);
                    return;
                }
                named.entry(layer).or_insert_with(|| model.clone());
            }
        }
        Err(why) => found.bad_manifests.add(format!("`{model}` {why}")),
    }
}

/// Returns digest and size of every blob that a manifest names.
fn layers(bytes: &[u8]) -> Result<Vec<(String, u64)>, String> {
    if bytes.is_empty() {
        return Err("has 0 bytes".to_owned());
    }
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|e| format!("is no manifest: {e}"))?;
    let layers = manifest
        .config
        .into_iter()
        .chain(manifest.layers.unwrap_or_default());
    let mut named = Vec::new();
    for layer in layers.filter(|l| !l.digest.is_empty()) {
        let digest = blob_digest(&layer.digest)
            .ok_or_else(|| "is no manifest: it names what is no digest".to_owned())?;
        named.push((digest, layer.size));
    }
    if named.is_empty() {
        return Err("names no blob".to_owned());
    }
    Ok(named)
}

/// Returns a model's name as `ollama list` shows it.
fn model_name(path: &Path) -> String {
    let text = path.to_string_lossy();
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        ["registry.ollama.ai", "library", model, tag] => format!("{model}:{tag}"),
        ["registry.ollama.ai", space, model, tag] => format!("{space}/{model}:{tag}"),
        [registry, space, model, tag] => format!("{registry}/{space}/{model}:{tag}"),
        _ => text.into_owned(),
    }
}

/// Hashes the blobs that the manifests below `folder` (the one with `manifests` and `blobs`) name with exactly their size,
/// and compares them with their names. One that nobody names may be on its way; another size is told without this.
///
/// It reads every model whole; `folder` is relative to the root.
#[must_use]
pub fn verify_blobs(root: &Root, folder: &Path, deadline: Instant) -> Hashed {
    let mut tour = Tour::new(root, deadline);
    let named = named(&mut tour, folder);
    let folder = folder.join("blobs");
    let mut hashed = Hashed::default();
    for entry in tour.list(&folder).unwrap_or_default() {
        let digest = blob_digest(entry.text());
        let (Kind::File(size), Some(digest)) = (entry.kind, digest) else {
            continue;
        };
        if named.get(&digest) != Some(&size) {
            continue;
        }
        let read = root
            .open_file(&folder.join(&entry.name))
            .map_err(std::io::Error::from)
            .and_then(|file| crate::hash::sha256(&file, || content::in_time(deadline)));
        match read {
            Ok(found) => hashed.compare(entry.text(), &digest, &found),
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => return hashed,
            Err(e) => hashed.unread.add(format!("`{}`: {e}", entry.text())),
        }
    }
    hashed.complete = tour.ended.is_none();
    hashed
}

impl Hashed {
    /// Adds a blob that was read: its name, the digest in it, and the one that its content has.
    pub(crate) fn compare(&mut self, name: &str, digest: &str, found: &str) {
        if found == digest {
            self.verified += 1;
        } else {
            let told = format!("`{name}`: its content has the hash `{found}`");
            self.differing.add(told);
        }
    }
}

impl Blobs {
    /// Reads the manifests of a guard's Ollama stores. Unreadable ones name nothing.
    #[must_use]
    pub fn of(root: &Root, guard: &Guard, verified: HashSet<Blob>) -> Self {
        let stores = guard.stores.iter().filter(|s| s.kind == StoreKind::Ollama);
        let stores = stores.map(|s| {
            let folder = if s.path == Path::new(".") {
                PathBuf::new()
            } else {
                s.path.clone()
            };
            let named = named_blobs(root, &folder);
            (folder.join("blobs"), named)
        });
        Self::new(stores.collect(), verified)
    }
}

/// Returns the digests of the blobs that a store's manifests name, with the sizes that they give. `folder` is the one
/// with `manifests` and `blobs`, relative to the root. A digest that is named with several sizes is left out.
fn named_blobs(root: &Root, folder: &Path) -> HashMap<String, u64> {
    named(&mut Tour::new(root, Instant::now() + NAMES_WITHIN), folder)
}

fn named(tour: &mut Tour, folder: &Path) -> HashMap<String, u64> {
    let named = manifests(tour, &folder.join("manifests"), &mut Ollama::default());
    let mut sizes: HashMap<String, u64> = HashMap::new();
    let mut doubtful = HashSet::new();
    for (digest, size) in named.into_keys() {
        if sizes
            .insert(digest.clone(), size)
            .is_some_and(|other| other != size)
        {
            doubtful.insert(digest);
        }
    }
    sizes.retain(|digest, _| !doubtful.contains(digest));
    sizes
}
