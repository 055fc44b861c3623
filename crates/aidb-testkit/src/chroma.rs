//! A folder as Chroma keeps it, and what can happen to it.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::variant::{Variant, cut, link, pipe, put, variant};

/// A segment with 1000 of 1100 vectors in its index, the rest in the queue.
const PERSISTED: &str = "9863473c-d5a6-4f6f-958c-7330a781265b";
/// One below the threshold: its folder has room, and no vector.
const QUEUED: &str = "36239361-cb26-4669-9ad6-f194a4ec85c1";
/// One whose folder was never made.
const FRESH: &str = "2e1624f3-82e4-4c58-ac81-efde2bc71291";

const CAPACITY: u64 = 2000;
const ELEMENT: u64 = 332;

/// Writes three collections.
pub fn build(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let db = database(folder);
    db.execute_batch(
        "create table migrations(x); create table collections(id text primary key);
         create table segments(id text primary key, type text, scope text, collection text references collection(id));
         create table max_seq_id(segment_id text primary key, seq_id integer);
         create table embeddings(id integer primary key, segment_id text, seq_id integer);
         create table embeddings_queue(seq_id integer primary key, topic text, vector blob);",
    )
    .unwrap();
    let collections = [(PERSISTED, 1100, 101), (QUEUED, 60, 60), (FRESH, 5, 5)];
    for (n, (segment, rows, queued)) in collections.into_iter().enumerate() {
        db.execute_batch(&format!(
            "insert into collections values ('collection-{n}');
             insert into segments values ('{segment}', 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', 'collection-{n}');
             insert into segments values ('metadata-{n}', 'urn:chroma:segment/metadata/sqlite', 'METADATA', 'collection-{n}');
             insert into max_seq_id values ('metadata-{n}', 7);
             with recursive r(i) as (select 1 union all select i + 1 from r limit {rows}) insert into embeddings(segment_id) select 'metadata-{n}' from r;
             with recursive r(i) as (select 1 union all select i + 1 from r limit {queued})
             insert into embeddings_queue(topic) select 'persistent://default/default/collection-{n}' from r;"
        ))
        .unwrap();
    }
    db.execute("insert into max_seq_id values (?1, 1000)", [PERSISTED])
        .unwrap();
    index(&folder.join(PERSISTED), 1000);
    put(
        &folder.join(PERSISTED).join("index_metadata.pickle"),
        [1; 500],
    );
    index(&folder.join(QUEUED), 0);
}

fn database(folder: &Path) -> Connection {
    let db = Connection::open(folder.join("chroma.sqlite3")).unwrap();
    // Chroma's own schema refers to a table that does not exist.
    db.pragma_update(None, "foreign_keys", false).unwrap();
    db
}

/// Writes the files of an index as chroma-hnswlib lays them out.
fn index(folder: &Path, count: u64) {
    put(&folder.join("header.bin"), header(CAPACITY, count));
    let upper_levels = 68 * (count / 16);
    let sizes = [
        ("data_level0.bin", CAPACITY * ELEMENT),
        ("length.bin", CAPACITY * 4),
        ("link_lists.bin", count * 4 + upper_levels),
    ];
    for (name, size) in sizes {
        put(&folder.join(name), "");
        cut(&folder.join(name), size);
    }
}

fn header(capacity: u64, count: u64) -> Vec<u8> {
    let mut header = 1_u32.to_le_bytes().to_vec();
    for field in [0, capacity, count, ELEMENT, 324, 132] {
        header.extend(field.to_le_bytes());
    }
    header.extend([2, 0, 0, 0, 140, 0, 0, 0]);
    for field in [16_u64, 32, 16] {
        header.extend(field.to_le_bytes());
    }
    header.extend(0.36_f64.to_le_bytes());
    header.extend(100_u64.to_le_bytes());
    header
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(PERSISTED).join(name)
}

fn sql(folder: &Path, sql: &str) {
    database(folder).execute_batch(sql).unwrap();
}

/// Everything that can happen to it.
pub const VARIANTS: &[Variant] = &[
    variant("healthy", &[], |_| {}),
    variant("a folder that no segment names", &[], |f| {
        index(&f.join("00000000-0000-4000-8000-000000000000"), 9);
    }),
    variant("the room that no vector uses is cut off", &[], |f| {
        cut(&file(f, "data_level0.bin"), 1000 * ELEMENT);
        cut(&file(f, "length.bin"), 4000);
    }),
    variant("a folder without vectors is gone", &[], |f| {
        fs::remove_dir_all(f.join(QUEUED)).unwrap();
    }),
    variant("a segment of another kind", &[], |f| {
        sql(
            f,
            "update segments set type = 'urn:chroma:segment/vector/hnsw-local-memory' where scope = 'VECTOR'",
        );
        fs::remove_dir_all(f.join(PERSISTED)).unwrap();
    }),
    variant("an id that is a path", &[], |f| {
        sql(f, "insert into segments values ('../../../../etc/passwd/aaaaaaaaaaaaaa', 'urn:chroma:segment/vector/hnsw-local-persisted', 'VECTOR', 'x');
                insert into max_seq_id values ('../../../../etc/passwd/aaaaaaaaaaaaaa', 1)");
    }),
    variant("a header of a later format", &[], |f| {
        put(&file(f, "header.bin"), [2, 0, 0, 0, 9, 9]);
    }),
    variant("an empty database", &[], |f| {
        sql(
            f,
            "delete from segments; delete from embeddings; delete from embeddings_queue; delete from max_seq_id",
        );
    }),
    variant(
        "a persisted folder is gone",
        &["chroma.index-missing hold"],
        |f| {
            fs::remove_dir_all(f.join(PERSISTED)).unwrap();
        },
    ),
    variant(
        "a persisted folder of an older version is gone",
        &["chroma.index-missing hold"],
        |f| {
            // It wrote the vector segment's place in the queue into the pickle alone.
            sql(
                f,
                &format!("delete from max_seq_id where segment_id = '{PERSISTED}'"),
            );
            fs::remove_dir_all(f.join(PERSISTED)).unwrap();
        },
    ),
    variant("the pickle is gone", &["chroma.index-missing hold"], |f| {
        fs::remove_file(file(f, "index_metadata.pickle")).unwrap();
    }),
    variant(
        "the pickle has 0 bytes",
        &["chroma.index-missing hold"],
        |f| {
            cut(&file(f, "index_metadata.pickle"), 0);
        },
    ),
    variant("the header is gone", &["chroma.index-missing hold"], |f| {
        fs::remove_file(file(f, "header.bin")).unwrap();
    }),
    variant(
        "the vectors are gone",
        &["chroma.index-missing hold"],
        |f| {
            fs::remove_file(file(f, "data_level0.bin")).unwrap();
        },
    ),
    variant(
        "the folder is a file",
        &["chroma.index-missing hold"],
        |f| {
            fs::remove_dir_all(f.join(PERSISTED)).unwrap();
            put(&f.join(PERSISTED), "x");
        },
    ),
    variant(
        "the header is cut off",
        &["chroma.index-truncated hold"],
        |f| {
            cut(&file(f, "header.bin"), 60);
        },
    ),
    variant(
        "the header is zeroes",
        &["chroma.index-truncated hold"],
        |f| {
            put(&file(f, "header.bin"), [0; 100]);
        },
    ),
    variant(
        "the header contradicts itself",
        &["chroma.index-truncated hold"],
        |f| {
            put(&file(f, "header.bin"), header(10, u64::MAX));
        },
    ),
    variant(
        "the header is a pipe",
        &["chroma.index-truncated hold"],
        |f| {
            fs::remove_file(file(f, "header.bin")).unwrap();
            pipe(&file(f, "header.bin"));
        },
    ),
    variant(
        "the vectors are cut off",
        &["chroma.index-truncated hold"],
        |f| {
            cut(&file(f, "data_level0.bin"), 1000 * ELEMENT - 1);
        },
    ),
    variant(
        "the lengths are cut off",
        &["chroma.index-truncated hold"],
        |f| {
            cut(&file(f, "length.bin"), 3999);
        },
    ),
    variant(
        "the links are cut off",
        &["chroma.index-truncated hold"],
        |f| {
            cut(&file(f, "link_lists.bin"), 0);
        },
    ),
    variant(
        "the links end within a record",
        &["chroma.index-truncated hold"],
        |f| {
            cut(&file(f, "link_lists.bin"), 4000 + 68 + 7);
        },
    ),
    variant("the folder is a link", &["check.could-not warn"], |f| {
        link(&f.join(PERSISTED));
    }),
    variant("the vectors are a link", &["check.could-not warn"], |f| {
        link(&file(f, "data_level0.bin"));
    }),
];
