//! What is healthy, however odd it looks.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Label::Forbidden;
use super::{OwnCase, backed_up, beside, insert, instance, main, patch, read_at, small, sql};

pub(super) const CASES: &[OwnCase] = &[
    OwnCase::new("journal-zeroed-header", Forbidden, small, |data| {
        sql(
            &main(data),
            "PRAGMA journal_mode=PERSIST; UPDATE chat SET title = title || '!'",
        );
        assert!(beside(data, "-journal").exists());
    }),
    OwnCase::new("page-size-65536", Forbidden, small, |data| {
        sql(&main(data), "PRAGMA page_size=65536; VACUUM");
    }),
    OwnCase::new("page-size-1024", Forbidden, small, |data| {
        sql(&main(data), "PRAGMA page_size=1024; VACUUM");
    }),
    OwnCase::new("auto-vacuum-full", Forbidden, small, |data| {
        sql(&main(data), "PRAGMA auto_vacuum=FULL; VACUUM");
    }),
    OwnCase::new("auto-vacuum-incremental", Forbidden, small, |data| {
        sql(
            &main(data),
            "PRAGMA auto_vacuum=INCREMENTAL; VACUUM; DELETE FROM tag; PRAGMA incremental_vacuum(2)",
        );
    }),
    OwnCase::new("reserved-bytes", Forbidden, small, |data| {
        rebuild(
            data,
            "PRAGMA page_size=4096; PRAGMA user_version=0",
            |new| {
                // An empty page 1 that leaves 32 bytes at its end to somebody else, as an encryption does.
                patch(new, 20, &[32]);
                patch(new, 105, &4064_u16.to_be_bytes());
            },
        );
        assert_eq!(std::fs::read(main(data)).unwrap()[20], 32);
    }),
    OwnCase::new("utf-16be", Forbidden, small, |data| {
        rebuild(data, "PRAGMA encoding='UTF-16be'", |_| {});
        assert_eq!(std::fs::read(main(data)).unwrap()[59], 3);
    }),
    OwnCase::new("without-rowid-added", Forbidden, small, |data| {
        sql(
            &main(data),
            "CREATE TABLE k(a, b, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO k VALUES (1, 2), (3, 4)",
        );
    }),
    OwnCase::new("generated-columns-added", Forbidden, small, |data| {
        sql(
            &main(data),
            "CREATE TABLE g(a INT, b AS (a * 2), c AS (a + 1) STORED); CREATE INDEX gb ON g(b); INSERT INTO g(a) VALUES (4)",
        );
    }),
    OwnCase::new("twelve-thousand-tables-added", Forbidden, small, |data| {
        let tables: Vec<String> = (0..12_000)
            .map(|n| format!("CREATE TABLE many_{n}(a);"))
            .collect();
        let tables = tables.concat();
        sql(&main(data), &format!("BEGIN; {tables} COMMIT"));
    }),
    OwnCase::new("strict-table-added", Forbidden, small, |data| {
        sql(
            &main(data),
            "CREATE TABLE s(a INT, b ANY) STRICT; INSERT INTO s VALUES (1, 'x')",
        );
    }),
    OwnCase::new("fts5-added", Forbidden, small, |data| {
        sql(
            &main(data),
            "CREATE VIRTUAL TABLE f USING fts5(title); INSERT INTO f SELECT title FROM chat",
        );
    }),
    OwnCase::new("rtree-and-partial-index", Forbidden, small, |data| {
        sql(
            &main(data),
            "CREATE INDEX part ON chat(title) WHERE archived = 1; CREATE INDEX expr ON chat(lower(title))",
        );
    }),
    OwnCase::new("free-pages-only", Forbidden, small, |data| {
        sql(
            &main(data),
            "CREATE TABLE b(x); INSERT INTO b VALUES (zeroblob(2000000)); DROP TABLE b",
        );
    }),
    OwnCase::new(
        "upgraded",
        Forbidden,
        |data| {
            std::fs::create_dir_all(data).unwrap();
            instance("webui-0.6.38", &main(data), "alice", 5, 30);
        },
        |data| {
            std::fs::remove_file(main(data)).unwrap();
            // The migrations keep the rows; `config` becomes `config_old` beside a new `config`.
            instance("webui-0.12.4", &main(data), "alice", 5, 30);
        },
    ),
    OwnCase::new("vacuum-into-put-in-place", Forbidden, small, |data| {
        compacted(data);
    }),
    OwnCase::new(
        "vacuum-into-every-night",
        Forbidden,
        |data| {
            small(data);
            compacted(data);
        },
        |data| {
            // Both copies have the same change counter: it begins anew in each.
            sql(&main(data), "UPDATE chat SET title = title || ' (read)'");
            compacted(data);
        },
    ),
    OwnCase::new("backup-put-in-place", Forbidden, small, |data| {
        backed_up(data, "copy.db");
        std::fs::rename(data.join("copy.db"), main(data)).unwrap();
    }),
    OwnCase::new(
        "installed-once-more",
        Forbidden,
        |data| {
            std::fs::create_dir_all(data).unwrap();
            instance("webui-0.6.38", &main(data), "nobody", 0, 0);
        },
        |data| {
            // Other names, times and passwords under the same counters, and nothing of anybody's.
            let counted = read_at(&main(data), 24, 4);
            let statement = "CREATE TABLE later(x); DROP TABLE later; PRAGMA user_version = 1";
            sql(&main(data), statement);
            patch(&main(data), 24, &counted);
            patch(&main(data), 92, &counted);
        },
    ),
    OwnCase::new("schema-cookie-counted-up", Forbidden, small, |data| {
        let now: i64 = Connection::open(main(data))
            .unwrap()
            .pragma_query_value(None, "schema_version", |r| r.get(0))
            .unwrap();
        sql(&main(data), &format!("PRAGMA schema_version={}", now + 1));
    }),
    OwnCase::new("log-mode-and-back", Forbidden, small, |data| {
        sql(&main(data), "PRAGMA journal_mode=WAL; DELETE FROM tag");
        sql(&main(data), "PRAGMA journal_mode=DELETE");
    }),
    OwnCase::new(
        "three-of-fourteen-chats-deleted",
        Forbidden,
        small,
        |data| {
            sql(
                &main(data),
                "DELETE FROM chat WHERE id IN (SELECT id FROM chat ORDER BY created_at LIMIT 3)",
            );
        },
    ),
    OwnCase::new("forty-chats-more", Forbidden, small, |data| {
        let db = Connection::open(main(data)).unwrap();
        for n in 0..40 {
            insert(&db, "chat", &format!("later-{n}"), 50_000_000 + n);
        }
    }),
    OwnCase::new("oldest-account-renamed", Forbidden, small, |data| {
        sql(
            &main(data),
            "UPDATE user SET name = 'new', email = 'new@example.org' WHERE rowid = 1",
        );
    }),
    OwnCase::new("indexes-made-anew", Forbidden, small, |data| {
        sql(&main(data), "REINDEX; ANALYZE");
    }),
    OwnCase::new("hard-linked-by-a-backup", Forbidden, small, |data| {
        std::fs::hard_link(main(data), data.join("webui.db.bak")).unwrap();
    }),
    OwnCase::new("in-a-symlinked-folder", Forbidden, small, |data| {
        let real = data.with_file_name("elsewhere");
        std::fs::rename(data, &real).unwrap();
        std::os::unix::fs::symlink(&real, data).unwrap();
    }),
];

/// Puts a `VACUUM INTO` copy in the place of the database.
fn compacted(data: &Path) {
    let copy = data.join("copy.db");
    sql(&main(data), &format!("VACUUM INTO '{}'", copy.display()));
    std::fs::rename(copy, main(data)).unwrap();
}

/// Copies every table and index into a new database with other settings, put in the place of the old one.
fn rebuild(data: &Path, settings: &str, prepare: fn(&Path)) {
    let new = data.join("new.db");
    sql(
        &new,
        &format!("{settings}; CREATE TABLE first(x); DROP TABLE first; VACUUM"),
    );
    prepare(&new);
    // Databases of two encodings cannot be attached to each other.
    let old = Connection::open(main(data)).unwrap();
    let mut target = Connection::open(&new).unwrap();
    target.pragma_update(None, "foreign_keys", false).unwrap();
    let target = target.transaction().unwrap();
    let mut parts = old
        .prepare(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
             ORDER BY type = 'index'",
        )
        .unwrap();
    let parts = parts.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)));
    for part in parts.unwrap() {
        let (kind, name, made_by): (String, String, String) = part.unwrap();
        target.execute_batch(&made_by).unwrap();
        if kind == "table" {
            copy_rows(&old, &target, &name);
        }
    }
    target.commit().unwrap();
    std::fs::rename(new, main(data)).unwrap();
}

fn copy_rows(old: &Connection, new: &Connection, table: &str) {
    let mut all = old.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
    let columns = all.column_count();
    let places = vec!["?"; columns].join(", ");
    let insert = format!("INSERT INTO \"{table}\" VALUES ({places})");
    let mut rows = all.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let values = (0..columns).map(|c| row.get::<_, Value>(c).unwrap());
        new.execute(&insert, rusqlite::params_from_iter(values))
            .unwrap();
    }
}
