//! Chroma in its own terms: vector segments as the database knows them against index folders.
//!
//! Vectors reach the index files in batches; until the first, they are in the database's queue and a segment may lack
//! its index. Afterwards Chroma opens without the index, counts as before and leaves the vectors out of every answer.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::sqlite::values::{ByTable, Wanted};
use super::tour::{Content, Kind, Several, Tour};

/// Bytes of `header.bin` as chroma-hnswlib writes it (`persistence_version` 1, packed, little-endian).
const HEADER_BYTES: usize = 100;
/// More than any element of an index: 65,536 dimensions of 4 bytes, and its links.
const MOST_ELEMENT_BYTES: u64 = 1 << 24;

/// What was found of the vector segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chroma {
    /// Vector segments that live in files.
    pub segments: u64,
    /// Those that were persisted.
    pub persisted: u64,
    /// Persisted segments whose index, or a part of it, is gone.
    pub missing: Several,
    /// Index files that are shorter than their vectors need, or whose header makes no sense.
    pub truncated: Several,
}

/// Returns what must be known of the database.
pub(super) fn wanted() -> Vec<Wanted> {
    [
        ("segments", &["id", "type", "scope", "collection"][..]),
        ("max_seq_id", &["segment_id"]),
        ("embeddings", &["segment_id"]),
        ("embeddings_queue", &["topic"]),
    ]
    .map(|(table, columns)| Wanted {
        table: table.to_owned(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
    })
    .into()
}

/// Looks at the index folders beside a database.
pub(super) fn look(tour: &mut Tour, folder: &Path, values: &ByTable) -> Option<Chroma> {
    let segments = values.get("segments")?;
    let flushed: HashSet<&str> = values
        .get("max_seq_id")
        .into_iter()
        .flat_map(|v| &v.rows)
        .filter_map(|(row, _)| row.first().map(String::as_str))
        .collect();
    let unqueued = unqueued(values);
    let mut found = Chroma::default();
    for (row, _) in &segments.rows {
        let [id, kind, scope, collection] = row.as_slice() else {
            continue;
        };
        // Other kinds of segments (in memory, of the distributed server) have no folder here.
        if scope != "VECTOR" || !kind.ends_with("/hnsw-local-persisted") || !is_uuid(id) {
            continue;
        }
        found.segments += 1;
        let known = flushed.contains(id.as_str()) || unqueued.contains(collection.as_str());
        segment(tour, folder, id, known, &mut found);
        if tour.ended.is_some() {
            break;
        }
    }
    Some(found)
}

/// Returns the collections that have more rows than wait in the queue: the vectors of the rest are in an index only.
fn unqueued(values: &ByTable) -> HashSet<&str> {
    let tables = ["segments", "embeddings", "embeddings_queue"].map(|t| values.get(t));
    let [Some(segments), Some(embeddings), Some(queue)] = tables else {
        return HashSet::new();
    };
    if !queue.complete {
        return HashSet::new();
    }
    let collections: HashMap<&str, &str> = segments
        .rows
        .iter()
        .filter(|(row, _)| row.get(2).is_some_and(|scope| scope == "METADATA"))
        .filter_map(|(row, _)| Some((row.first()?.as_str(), row.get(3)?.as_str())))
        .collect();
    let mut rows: HashMap<&str, u64> = HashMap::new();
    for (row, count) in &embeddings.rows {
        if let Some(collection) = row.first().and_then(|s| collections.get(s.as_str())) {
            *rows.entry(collection).or_default() += count;
        }
    }
    let mut queued: HashMap<&str, u64> = HashMap::new();
    for (row, count) in &queue.rows {
        // `persistent://TENANT/NAMESPACE/COLLECTION`
        if let Some(collection) = row.first().and_then(|topic| topic.rsplit('/').next()) {
            *queued.entry(collection).or_default() += count;
        }
    }
    rows.into_iter()
        .filter(|(collection, count)| *count > queued.get(collection).copied().unwrap_or(0))
        .map(|(collection, _)| collection)
        .collect()
}

/// Compares one segment with its folder. `known` tells whether the database says that it was persisted.
fn segment(tour: &mut Tour, folder: &Path, id: &str, known: bool, found: &mut Chroma) {
    let path = folder.join(id);
    let mut missing = |what: &str| found.missing.add(format!("`{id}`: {what}"));
    match tour.kind(&path) {
        None => return,
        Some(Kind::Folder) => {}
        Some(Kind::Symlink | Kind::Special(_)) => {
            tour.blocked(&path, "no folder, and not followed");
            return;
        }
        Some(Kind::Absent | Kind::File(_)) => {
            if known {
                found.persisted += 1;
                missing("its folder is gone");
            }
            return;
        }
    }
    let header = match tour.read(&path.join("header.bin"), 4096) {
        Content::Bytes(bytes) => Some(Header::parse(&bytes)),
        Content::Absent => None,
        Content::Other(why) | Content::TooLong(why) => Some(Err(why)),
        Content::Blocked => return,
    };
    let pickle = match tour.kind(&path.join("index_metadata.pickle")) {
        None => return,
        Some(Kind::File(size)) => Some(size),
        Some(Kind::Symlink | Kind::Special(_)) => {
            tour.blocked(&path.join("index_metadata.pickle"), "no regular file");
            return;
        }
        Some(Kind::Absent | Kind::Folder) => None,
    };
    let holds_vectors = matches!(&header, Some(Ok(Some(h))) if h.count > 0);
    if !known && !holds_vectors && pickle.is_none() {
        return;
    }
    found.persisted += 1;
    match pickle {
        None => missing("`index_metadata.pickle` is gone"),
        Some(0) => missing("`index_metadata.pickle` has 0 bytes"),
        Some(_) => {}
    }
    match header {
        None => missing("`header.bin` is gone"),
        Some(Err(why)) => found.truncated.add(format!("`{id}/header.bin` {why}")),
        // A later format: nothing can be said of its sizes.
        Some(Ok(None)) => {}
        Some(Ok(Some(header))) => sizes(tour, &path, id, &header, found),
    }
}

/// Compares sizes with what the header needs. Capacity that no vector uses yet may be missing.
fn sizes(tour: &mut Tour, path: &Path, id: &str, header: &Header, found: &mut Chroma) {
    let count = header.count;
    let needs = [
        ("data_level0.bin", count * header.element_bytes),
        ("length.bin", count * 4),
        ("link_lists.bin", count * 4),
    ];
    for (name, needed) in needs.into_iter().filter(|(_, needed)| *needed > 0) {
        let size = match tour.kind(&path.join(name)) {
            None => return,
            Some(Kind::File(size)) => size,
            Some(Kind::Absent | Kind::Folder) => {
                found.missing.add(format!("`{id}`: `{name}` is gone"));
                continue;
            }
            Some(Kind::Symlink | Kind::Special(_)) => {
                tour.blocked(&path.join(name), "no regular file");
                continue;
            }
        };
        // Each vector has its number of upper levels (4 bytes), then as many equal records.
        let is_odd = name == "link_lists.bin"
            && size >= needed
            && !(size - needed).is_multiple_of(header.link_bytes);
        if size < needed || is_odd {
            let told = if is_odd {
                "which is no whole number of records".to_owned()
            } else {
                format!("{needed} needed")
            };
            found.truncated.add(format!(
                "`{id}/{name}` has {size} bytes, {told} for {count} vectors"
            ));
        }
    }
}

/// What `header.bin` says.
#[derive(Debug)]
struct Header {
    count: u64,
    element_bytes: u64,
    link_bytes: u64,
}

impl Header {
    /// Returns the header; `None` if it is of a later version.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, String> {
        let at = |offset: usize| {
            let bytes = bytes.get(offset..offset + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let version = bytes
            .get(..4)
            .and_then(|b| Some(u32::from_le_bytes(b.try_into().ok()?)));
        if version.is_some_and(|v| v > 1 && v < 256) {
            return Ok(None);
        }
        if bytes.len() < HEADER_BYTES {
            return Err(format!("has {} of {HEADER_BYTES} bytes", bytes.len()));
        }
        let fields = [12, 20, 28, 60].map(at);
        let (
            Some(1),
            [
                Some(capacity),
                Some(count),
                Some(element_bytes),
                Some(links),
            ],
        ) = (version, fields)
        else {
            return Err("is no header of an index".to_owned());
        };
        // 4 bytes for each link and 4 for their number.
        let is_sane = count <= capacity
            && (1..=MOST_ELEMENT_BYTES).contains(&element_bytes)
            && links < MOST_ELEMENT_BYTES
            && capacity.checked_mul(element_bytes).is_some();
        if !is_sane {
            return Err("contradicts itself".to_owned());
        }
        Ok(Some(Self {
            count,
            element_bytes,
            link_bytes: links * 4 + 4,
        }))
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
