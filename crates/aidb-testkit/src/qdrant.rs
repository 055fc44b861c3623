//! A storage folder as Qdrant keeps it, and what can happen to it. The mapped files are small; their sizes are in
//! the settings beside them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::variant::{Variant, cut, link, pipe, put, variant};

const SEGMENT: &str = "527b3c72-03ea-457c-abc4-1e16c5737210";
const CHUNK: u64 = 8192;

/// Writes two collections: `docs` with points, `young` that never held one.
pub fn build(folder: &Path) {
    put(&folder.join("raft_state.json"), r#"{"state":{}}"#);
    put(&folder.join("aliases/data.json"), "{}");
    for (name, points) in [("docs", 300), ("young", 0)] {
        let collection = folder.join("collections").join(name);
        put(&collection.join("config.json"), r#"{"params":{}}"#);
        put(&collection.join("version.info"), "1.15.0");
        shard(&collection.join("0"), points);
        put(
            &collection.join("0/shard_config.json"),
            r#"{"type":"ReplicaSet"}"#,
        );
        put(
            &collection.join("0/replica_state.json"),
            r#"{"is_local":true,"this_peer_id":1,"peers":{"1":"Active"}}"#,
        );
    }
}

/// Writes one shard; 128 vectors fill a chunk.
pub fn shard(folder: &Path, points: u64) {
    put(&folder.join("newest_clocks.json"), "[]");
    put(&folder.join("wal/open-1"), b"wal\0 and then some");
    if points > 0 {
        put(&folder.join("wal/first-index"), r#"{"ack_index":5}"#);
    }
    segment(&folder.join("segments").join(SEGMENT), points);
}

fn segment(folder: &Path, points: u64) {
    let state = json!({ "version": 5, "config": {
        "vector_data": { "": { "size": 16, "storage_type": "InRamChunkedMmap" } },
        "payload_storage_type": { "type": "mmap" },
    } });
    put(&folder.join("segment.json"), state.to_string());
    put(&folder.join("version.info"), "0.6.0");
    if points > 0 {
        put(&folder.join("mutable_id_tracker.mappings"), [1; 99]);
        put(&folder.join("mutable_id_tracker.versions"), [1; 99]);
    }
    put(
        &folder.join("payload_index/config.json"),
        r#"{"indexed_fields":{}}"#,
    );
    let vectors = folder.join("vector_storage/vectors");
    let sizes = json!({ "chunk_size_bytes": CHUNK, "chunk_size_vectors": 128, "dim": 16 });
    put(&vectors.join("config.json"), sizes.to_string());
    put(&vectors.join("status.dat"), points.to_le_bytes());
    for chunk in 0..points.div_ceil(128).max(1) {
        let path = vectors.join(format!("chunk_{chunk}.mmap"));
        put(&path, "");
        cut(&path, CHUNK);
    }
    let payload = folder.join("payload_storage");
    put(
        &payload.join("config.json"),
        json!({ "page_size_bytes": CHUNK }).to_string(),
    );
    put(&payload.join("page_0.dat"), "");
    cut(&payload.join("page_0.dat"), CHUNK);
    put(&payload.join("tracker.dat"), [0; 64]);
}

fn docs(folder: &Path) -> PathBuf {
    folder.join("collections/docs/0")
}

fn seg(folder: &Path) -> PathBuf {
    docs(folder).join("segments").join(SEGMENT)
}

fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

/// Everything that can happen to it.
pub const VARIANTS: &[Variant] = &[
    variant("healthy", &[], |_| {}),
    variant("a single shard", &[], |f| {
        remove(f);
        shard(f, 300);
        put(&f.join("edge_config.json"), "{}");
    }),
    variant("nothing yet", &[], |f| {
        remove(f);
        fs::create_dir(f).unwrap();
    }),
    variant("a segment that is being deleted", &[], |f| {
        let deleted = docs(f).join("segments").join(format!("{SEGMENT}.deleted"));
        put(&deleted.join("segment.json"), "");
    }),
    variant("a segment that a crash left half made", &[], |f| {
        let young = f.join("collections/young/0/segments/11111111-0000-4000-8000-000000000000");
        segment(&young, 0);
        remove(&young.join("version.info"));
        cut(&young.join("segment.json"), 0);
    }),
    variant("a segment of an old version", &[], |f| {
        for part in ["mappings", "versions"] {
            remove(&seg(f).join(format!("mutable_id_tracker.{part}")));
        }
        remove(&seg(f).join("vector_storage"));
        remove(&seg(f).join("payload_storage"));
        put(
            &seg(f).join("segment.json"),
            r#"{"version":5,"config":{"vector_data":{"":{"size":16}},"payload_storage_type":{"type":"on_disk"}}}"#,
        );
        put(&seg(f).join("CURRENT"), "MANIFEST-000004\n");
        put(&seg(f).join("000012.sst"), [7; 64]);
    }),
    variant("JSON that is deep", &[], |f| {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        put(&f.join("collections/docs/config.json"), deep);
    }),
    variant("a mapped file that is longer", &[], |f| {
        cut(&seg(f).join("payload_storage/page_0.dat"), CHUNK * 2);
    }),
    variant("segment.json has 0 bytes", &["qdrant.json-bad hold"], |f| {
        cut(&seg(f).join("segment.json"), 0);
    }),
    variant(
        "replica_state.json has 0 bytes",
        &["qdrant.json-bad hold"],
        |f| {
            cut(&docs(f).join("replica_state.json"), 0);
        },
    ),
    variant(
        "raft_state.json is cut off",
        &["qdrant.json-bad hold"],
        |f| {
            cut(&f.join("raft_state.json"), 5);
        },
    ),
    variant("aliases are no JSON", &["qdrant.json-bad hold"], |f| {
        put(&f.join("aliases/data.json"), "\0\0\0\0");
    }),
    variant("JSON is a pipe", &["qdrant.json-bad hold"], |f| {
        remove(&docs(f).join("newest_clocks.json"));
        pipe(&docs(f).join("newest_clocks.json"));
    }),
    variant(
        "a collection lost its config.json",
        &["qdrant.json-bad hold"],
        |f| {
            remove(&f.join("collections/docs/config.json"));
        },
    ),
    variant(
        "version.info is missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("version.info"));
        },
    ),
    variant(
        "version.info has 0 bytes",
        &["qdrant.segment-bad hold"],
        |f| {
            cut(&seg(f).join("version.info"), 0);
        },
    ),
    variant(
        "segment.json is missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("segment.json"));
        },
    ),
    variant(
        "the points' names are missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("mutable_id_tracker.mappings"));
        },
    ),
    variant(
        "the points' versions are missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("mutable_id_tracker.versions"));
        },
    ),
    variant(
        "the whole id tracker is missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("mutable_id_tracker.mappings"));
            remove(&seg(f).join("mutable_id_tracker.versions"));
        },
    ),
    variant(
        "the vectors are missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("vector_storage"));
        },
    ),
    variant(
        "the payload is missing",
        &["qdrant.segment-bad hold"],
        |f| {
            remove(&seg(f).join("payload_storage"));
        },
    ),
    variant("a chunk is cut off", &["qdrant.segment-bad hold"], |f| {
        cut(
            &seg(f).join("vector_storage/vectors/chunk_0.mmap"),
            CHUNK - 1,
        );
    }),
    variant("a chunk is missing", &["qdrant.segment-bad hold"], |f| {
        remove(&seg(f).join("vector_storage/vectors/chunk_1.mmap"));
    }),
    variant("a chunk is a pipe", &["qdrant.segment-bad hold"], |f| {
        let chunk = seg(f).join("vector_storage/vectors/chunk_1.mmap");
        remove(&chunk);
        pipe(&chunk);
    }),
    variant(
        "the vectors' count makes no sense",
        &["qdrant.segment-bad hold"],
        |f| {
            put(&seg(f).join("vector_storage/vectors/status.dat"), [0xff; 8]);
        },
    ),
    variant(
        "the vectors' count has 0 bytes",
        &["qdrant.segment-bad hold"],
        |f| {
            cut(&seg(f).join("vector_storage/vectors/status.dat"), 0);
        },
    ),
    variant("a page is cut off", &["qdrant.segment-bad hold"], |f| {
        cut(&seg(f).join("payload_storage/page_0.dat"), 4096);
    }),
    variant("a page is missing", &["qdrant.segment-bad hold"], |f| {
        remove(&seg(f).join("payload_storage/page_0.dat"));
    }),
    variant("the segments are gone", &["qdrant.segment-bad hold"], |f| {
        remove(&docs(f).join("segments"));
    }),
    variant("the segment is gone", &["qdrant.segment-bad hold"], |f| {
        remove(&seg(f));
    }),
    variant("the log is gone", &["qdrant.wal-bad hold"], |f| {
        remove(&docs(f).join("wal"));
    }),
    variant("the log is empty", &["qdrant.wal-bad hold"], |f| {
        remove(&docs(f).join("wal/open-1"));
    }),
    variant("the log is zeroes", &["qdrant.wal-bad hold"], |f| {
        put(&docs(f).join("wal/open-1"), [0; 4096]);
    }),
    variant(
        "the log's mark has 0 bytes",
        &["qdrant.wal-bad hold"],
        |f| {
            cut(&docs(f).join("wal/first-index"), 0);
        },
    ),
    variant("the log's mark is gone", &["qdrant.wal-bad warn"], |f| {
        remove(&docs(f).join("wal/first-index"));
    }),
    variant("a segment is a link", &["check.could-not warn"], |f| {
        link(&seg(f));
    }),
    variant(
        "the collections are a link",
        &["check.could-not warn"],
        |f| {
            link(&f.join("collections"));
        },
    ),
];
