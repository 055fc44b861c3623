//! Valid databases whose rows or tables are gone, fewer, or somebody else's.

use rusqlite::Connection;

use super::Label::{Required, WithBaseline};
use super::{OwnCase, backed_up, insert, instance, main, patch, read_at, small, sql};

const SHRUNK: &[&str] = &["contract.rows-shrunk"];

pub(super) const CASES: &[OwnCase] = &[
    OwnCase::new(
        "rolled-back-to-an-older-copy",
        WithBaseline(SHRUNK),
        |data| {
            small(data);
            std::fs::copy(main(data), data.join("webui.db.old")).unwrap();
            let db = Connection::open(main(data)).unwrap();
            for n in 0..20 {
                insert(&db, "chat", &format!("later-{n}"), 50_000_000 + n);
            }
        },
        |data| std::fs::rename(data.join("webui.db.old"), main(data)).unwrap(),
    ),
    OwnCase::new(
        "an-older-copy-with-a-few-rows-less",
        WithBaseline(&["contract.older-copy"]),
        |data| {
            small(data);
            std::fs::copy(main(data), data.join("webui.db.old")).unwrap();
            let db = Connection::open(main(data)).unwrap();
            insert(&db, "chat", "later", 50_000_000);
        },
        |data| std::fs::rename(data.join("webui.db.old"), main(data)).unwrap(),
    ),
    OwnCase::new(
        "an-older-backup-with-a-few-rows-less",
        WithBaseline(&["contract.older-copy"]),
        |data| {
            small(data);
            backed_up(data, "webui.db.old");
            let db = Connection::open(main(data)).unwrap();
            insert(&db, "chat", "later", 50_000_000);
        },
        |data| std::fs::rename(data.join("webui.db.old"), main(data)).unwrap(),
    ),
    OwnCase::new(
        "another-database-that-counted-as-far",
        WithBaseline(&["contract.other-database"]),
        small,
        |data| {
            let counted = read_at(&main(data), 24, 4);
            let cookie = read_at(&main(data), 40, 4);
            std::fs::remove_file(main(data)).unwrap();
            instance("webui-0.6.38", &main(data), "bob", 50, 200);
            patch(&main(data), 24, &counted);
            patch(&main(data), 92, &counted);
            patch(&main(data), 40, &cookie);
        },
    ),
    OwnCase::new(
        "accounts-gone-chats-left",
        Required(SHRUNK),
        small,
        |data| sql(&main(data), "DELETE FROM user"),
    ),
    OwnCase::new("one-account-gone", WithBaseline(SHRUNK), small, |data| {
        sql(&main(data), "DELETE FROM user WHERE rowid = 2");
    }),
    OwnCase::new(
        "all-chats-but-one-deleted",
        WithBaseline(SHRUNK),
        small,
        |data| {
            sql(
                &main(data),
                "DELETE FROM chat WHERE rowid > (SELECT min(rowid) FROM chat)",
            );
        },
    ),
    OwnCase::new(
        "another-instance-with-more-rows",
        WithBaseline(&["contract.other-database"]),
        small,
        |data| {
            std::fs::remove_file(main(data)).unwrap();
            instance("webui-0.6.38", &main(data), "bob", 50, 200);
        },
    ),
    OwnCase::new(
        "accounts-are-a-view",
        Required(&["contract.table-missing"]),
        small,
        |data| {
            sql(
                &main(data),
                "ALTER TABLE user RENAME TO user_real; CREATE VIEW user AS SELECT * FROM user_real",
            );
        },
    ),
    OwnCase::new(
        "chats-renamed",
        Required(&["contract.table-missing"]),
        small,
        |data| sql(&main(data), "ALTER TABLE chat RENAME TO chat_old"),
    ),
    OwnCase::new(
        "accounts-are-a-search-index",
        Required(&["contract.table-missing", "contract.rows-shrunk"]),
        small,
        |data| {
            sql(
                &main(data),
                "DROP TABLE chat; DROP TABLE user; CREATE VIEW user AS SELECT 1 AS id; CREATE VIEW chat AS SELECT 1 AS id",
            );
        },
    ),
];
