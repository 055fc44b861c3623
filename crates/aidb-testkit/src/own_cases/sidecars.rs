//! Logs and journals that do not belong where they lie, or cannot be used.

use std::io::Write as _;
use std::path::Path;

use super::Label::{Forbidden, Optional, Required, WithBaseline};
use super::{
    OwnCase, beside, crash, killed_after, killed_after_unwritten, main, patch, read_at, small, sql,
};

/// SQLite file format, 3.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

const SPECIAL: &[&str] = &["store.special-file", "store.symlink"];

/// A log that holds commits beside a main file that knows nothing of them.
fn with_log(data: &Path) {
    small(data);
    sql(&main(data), "PRAGMA journal_mode=WAL");
    killed_after(
        &main(data),
        "PRAGMA wal_autocheckpoint=0; UPDATE chat SET title = title || ' 1'; CREATE TABLE g1(x); INSERT INTO g1 VALUES (1)",
    );
}

pub(super) const CASES: &[OwnCase] = &[
    OwnCase::new(
        "log-of-a-killed-application",
        Forbidden,
        small,
        with_log_here,
    ),
    OwnCase::new(
        "log-of-an-older-generation",
        WithBaseline(&[
            "sqlite.wal-foreign",
            "sqlite.damaged",
            "sqlite.index-disagrees",
        ]),
        |data| {
            with_log(data);
            std::fs::copy(beside(data, "-wal"), data.join("older")).unwrap();
            killed_after(
                &main(data),
                "PRAGMA wal_autocheckpoint=0; PRAGMA wal_checkpoint(RESTART);
                 CREATE TABLE g2(x UNIQUE, y UNIQUE); INSERT INTO g2 VALUES (zeroblob(9000), 2), (3, zeroblob(9001));
                 DROP TABLE g1; PRAGMA wal_checkpoint(RESTART); INSERT INTO g2 VALUES (5, 6)",
            );
        },
        |data| std::fs::rename(data.join("older"), beside(data, "-wal")).unwrap(),
    ),
    OwnCase::new(
        "log-with-commits-deleted",
        WithBaseline(&["sqlite.wal-missing"]),
        with_log,
        |data| std::fs::remove_file(beside(data, "-wal")).unwrap(),
    ),
    OwnCase::new(
        "log-with-commits-emptied",
        WithBaseline(&["sqlite.wal-missing"]),
        with_log,
        |data| {
            std::fs::File::create(beside(data, "-wal")).unwrap();
        },
    ),
    OwnCase::new(
        "log-deleted-and-a-new-one-begun",
        WithBaseline(&["sqlite.wal-missing"]),
        with_log,
        |data| {
            std::fs::remove_file(beside(data, "-wal")).unwrap();
            killed_after_unwritten(&main(data), "UPDATE chat SET title = title || ' 2'");
        },
    ),
    OwnCase::new(
        "log-deleted-and-the-application-ran",
        WithBaseline(&["contract.older-copy", "sqlite.wal-missing"]),
        |data| {
            with_log(data);
            killed_after(
                &main(data),
                "PRAGMA wal_autocheckpoint=0; INSERT INTO g1 SELECT zeroblob(5000) FROM chat",
            );
        },
        |data| {
            std::fs::remove_file(beside(data, "-wal")).unwrap();
            sql(&main(data), "UPDATE chat SET title = title || ' 2'");
        },
    ),
    OwnCase::new(
        "log-checkpointed-when-it-was-closed",
        Forbidden,
        with_log,
        |data| sql(&main(data), "SELECT count(*) FROM chat"),
    ),
    OwnCase::new(
        "log-without-anything-new-deleted",
        Forbidden,
        |data| {
            small(data);
            sql(&main(data), "PRAGMA journal_mode=WAL");
            killed_after(
                &main(data),
                "UPDATE chat SET title = title || ' 1'; PRAGMA wal_checkpoint(PASSIVE)",
            );
            assert!(beside(data, "-wal").exists());
        },
        |data| std::fs::remove_file(beside(data, "-wal")).unwrap(),
    ),
    OwnCase::new(
        "log-of-another-page-size",
        Required(&["sqlite.wal-foreign", "sqlite.damaged"]),
        |data| {
            small(data);
            sql(&main(data), "PRAGMA journal_mode=WAL");
        },
        |data| {
            let other = data.join("other");
            std::fs::create_dir(&other).unwrap();
            sql(
                &main(&other),
                "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE a(x)",
            );
            killed_after(&main(&other), "INSERT INTO a VALUES (zeroblob(5000))");
            std::fs::copy(beside(&other, "-wal"), beside(data, "-wal")).unwrap();
            std::fs::remove_dir_all(other).unwrap();
        },
    ),
    OwnCase::new(
        "bit-flipped-in-the-log-header",
        Required(&["sqlite.wal-torn", "sqlite.wal-foreign", "sqlite.damaged"]),
        crash,
        |data| {
            let byte = read_at(&beside(data, "-wal"), 17, 1)[0];
            patch(&beside(data, "-wal"), 17, &[byte ^ 1]);
        },
    ),
    OwnCase::new(
        "journal-of-a-smaller-database",
        Required(&["sqlite.journal-foreign"]),
        small,
        |data| journal_of_another(data, 400),
    ),
    OwnCase::new(
        "journal-of-a-larger-database",
        Required(&["sqlite.journal-foreign"]),
        small,
        |data| journal_of_another(data, 4000),
    ),
    OwnCase::new("journal-of-a-killed-transaction", Optional, small, |data| {
        killed_after(
            &main(data),
            "PRAGMA cache_size=2; BEGIN; UPDATE chat SET title = zeroblob(3000); DELETE FROM user",
        );
    }),
    OwnCase::new(
        "journal-of-a-commit-over-two-databases",
        Required(&["sqlite.journal-super"]),
        small,
        killed_in_a_commit_over_two,
    ),
    OwnCase::new(
        "journal-of-a-gibibyte-of-nothing",
        Forbidden,
        small,
        |data| {
            let file = std::fs::File::create(beside(data, "-journal")).unwrap();
            file.set_len(1 << 30).unwrap();
        },
    ),
    OwnCase::new("log-is-a-folder", Required(SPECIAL), small, |data| {
        std::fs::create_dir(beside(data, "-wal")).unwrap();
    }),
    OwnCase::new("log-is-a-link", Required(SPECIAL), small, |data| {
        std::fs::write(data.join("real-wal"), b"").unwrap();
        std::os::unix::fs::symlink("real-wal", beside(data, "-wal")).unwrap();
    }),
    OwnCase::new("log-is-a-dangling-link", Required(SPECIAL), small, |data| {
        std::os::unix::fs::symlink("nowhere", beside(data, "-wal")).unwrap();
    }),
    OwnCase::new("log-is-a-pipe", Required(SPECIAL), small, |data| {
        pipe(&beside(data, "-wal"));
    }),
    OwnCase::new("journal-is-a-folder", Required(SPECIAL), small, |data| {
        std::fs::create_dir(beside(data, "-journal")).unwrap();
    }),
    OwnCase::new("journal-is-a-pipe", Required(SPECIAL), small, |data| {
        pipe(&beside(data, "-journal"));
    }),
    OwnCase::new(
        "no-bytes-beside-a-live-log",
        Required(&["sqlite.empty-file"]),
        crash,
        |data| {
            std::fs::File::create(main(data)).unwrap();
        },
    ),
];

/// Puts the hot journal of a database with so many rows beside the database.
fn journal_of_another(data: &Path, rows: usize) {
    let other = data.join("other");
    std::fs::create_dir(&other).unwrap();
    sql(
        &main(&other),
        &format!(
            "CREATE TABLE a(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO a SELECT zeroblob(900) FROM n"
        ),
    );
    killed_after(
        &main(&other),
        "PRAGMA cache_size=2; BEGIN; UPDATE a SET x = zeroblob(901)",
    );
    std::fs::copy(beside(&other, "-journal"), beside(data, "-journal")).unwrap();
    std::fs::remove_dir_all(other).unwrap();
}

/// The journals of both name the super-journal, which is there until both have committed: SQLite file format, 3.1; as
/// the application sees its path.
fn killed_in_a_commit_over_two(data: &Path) {
    killed_after(
        &main(data),
        "PRAGMA cache_size=2; BEGIN; UPDATE chat SET title = zeroblob(3000)",
    );
    let name = "webui.db-mj1A2B3C4D9";
    let seen = format!("/app/backend/data/{name}");
    std::fs::write(
        data.join(name),
        "/app/backend/data/webui.db-journal\0/app/backend/data/other.db-journal\0",
    )
    .unwrap();
    let page_bytes = u16::from_be_bytes(read_at(&main(data), 16, 2).try_into().unwrap());
    let locking_page = (1 << 30) / u32::from(page_bytes) + 1;
    let sum: u32 = seen.bytes().map(u32::from).sum();
    let record = [
        &locking_page.to_be_bytes(),
        seen.as_bytes(),
        &u32::try_from(seen.len()).unwrap().to_be_bytes(),
        &sum.to_be_bytes(),
        &JOURNAL_MAGIC,
    ]
    .concat();
    let journal = std::fs::File::options()
        .append(true)
        .open(beside(data, "-journal"));
    journal.unwrap().write_all(&record).unwrap();
}

fn with_log_here(data: &Path) {
    std::fs::remove_dir_all(data).unwrap();
    with_log(data);
}

fn pipe(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
}
