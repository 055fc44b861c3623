//! Bytes of the main file that are not what they were.

use std::fs::File;

use super::Label::{Optional, Required};
use super::{OwnCase, main, number, packed, patch, read_at, small, sql};

const DAMAGED: &[&str] = &["sqlite.damaged"];
const PAGE: u64 = 4096;

/// Returns where a page begins.
const fn page(number: u64) -> u64 {
    (number - 1) * PAGE
}

fn root(data: &std::path::Path, name: &str) -> u64 {
    number(
        &main(data),
        &format!("SELECT rootpage FROM sqlite_schema WHERE name = '{name}'"),
    )
}

pub(super) const CASES: &[OwnCase] = &[
    OwnCase::new(
        "index-roots-swapped",
        Required(&["sqlite.damaged", "sqlite.index-disagrees"]),
        |data| {
            small(data);
            sql(
                &main(data),
                "CREATE INDEX i1 ON chat(title); CREATE INDEX i2 ON chat(user_id)",
            );
        },
        |data| {
            let (one, two) = (root(data, "i1"), root(data, "i2"));
            sql(
                &main(data),
                &format!(
                    "PRAGMA writable_schema=ON;
                     UPDATE sqlite_schema SET rootpage = CASE name WHEN 'i1' THEN {two} ELSE {one} END
                     WHERE name IN ('i1', 'i2')"
                ),
            );
        },
    ),
    OwnCase::new(
        "overflow-chain-loop",
        Required(DAMAGED),
        |data| {
            small(data);
            sql(
                &main(data),
                "CREATE TABLE zz(x); INSERT INTO zz VALUES (zeroblob(100000))",
            );
        },
        |data| {
            // The first cell ends in the number of its first overflow page; that page shall follow itself.
            let at = page(root(data, "zz"));
            let cell = u16::from_be_bytes(read_at(&main(data), at + 8, 2).try_into().unwrap());
            let end = read_at(&main(data), at + u64::from(cell), 4096 - usize::from(cell));
            let first = u32::from_be_bytes(end[end.len() - 4..].try_into().unwrap());
            patch(&main(data), page(first.into()), &first.to_be_bytes());
        },
    ),
    OwnCase::new(
        "tree-loop",
        Required(DAMAGED),
        |data| {
            small(data);
            sql(
                &main(data),
                "CREATE TABLE zz(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                 INSERT INTO zz SELECT randomblob(100) FROM n",
            );
        },
        |data| {
            let root = root(data, "zz");
            assert_eq!(read_at(&main(data), page(root), 1), [5], "an interior page");
            let itself = u32::try_from(root).unwrap().to_be_bytes();
            patch(&main(data), page(root) + 8, &itself);
        },
    ),
    OwnCase::new("schema-tree-loop", Required(DAMAGED), small, |data| {
        assert_eq!(read_at(&main(data), 100, 1), [5], "an interior page");
        patch(&main(data), 108, &1_u32.to_be_bytes());
    }),
    OwnCase::new(
        "ends-in-half-a-page",
        Required(&["sqlite.truncated"]),
        packed,
        |data| {
            let file = File::options().write(true).open(main(data)).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length - PAGE / 2).unwrap();
        },
    ),
    OwnCase::new("half-a-page-too-long", Optional, packed, |data| {
        let file = File::options().write(true).open(main(data)).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length + PAGE / 2).unwrap();
    }),
    OwnCase::new(
        "first-page-zeroed",
        Required(&["sqlite.not-sqlite", "sqlite.damaged"]),
        packed,
        |data| patch(&main(data), 0, &[0; 4096]),
    ),
    OwnCase::new("middle-page-zeroed", Required(DAMAGED), packed, |data| {
        let pages = number(&main(data), "PRAGMA page_count");
        patch(&main(data), page(pages / 2), &[0; 4096]);
    }),
    OwnCase::new("last-page-garbage", Required(DAMAGED), packed, |data| {
        let pages = number(&main(data), "PRAGMA page_count");
        patch(&main(data), page(pages), &[0xa7; 4096]);
    }),
    OwnCase::new(
        "free-list-count-wrong",
        Required(DAMAGED),
        |data| {
            small(data);
            sql(
                &main(data),
                "CREATE TABLE b(x); INSERT INTO b VALUES (zeroblob(200000)); DROP TABLE b",
            );
        },
        |data| patch(&main(data), 36, &7_u32.to_be_bytes()),
    ),
    OwnCase::new("encoding-flag-changed", Required(DAMAGED), small, |data| {
        patch(&main(data), 56, &2_u32.to_be_bytes());
    }),
    OwnCase::new(
        "reserved-bytes-flag-changed",
        Required(DAMAGED),
        small,
        |data| patch(&main(data), 20, &[64]),
    ),
    OwnCase::new(
        "auto-vacuum-flag-changed",
        Required(DAMAGED),
        small,
        |data| patch(&main(data), 52, &5_u32.to_be_bytes()),
    ),
    OwnCase::new(
        "a-text-made-of-nothing",
        Required(DAMAGED),
        packed,
        |data| {
            // A leaf of the largest table says that it has no cell.
            let leaf = number(
                &main(data),
                "SELECT rootpage FROM sqlite_schema WHERE name = 'user'",
            );
            patch(&main(data), page(leaf) + 3, &[0, 0]);
            patch(&main(data), page(leaf) + 5, &[0, 1]);
        },
    ),
];
