//! What a private copy shows: read by our own reader and hashed whole, then examined by SQLite.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::observation::{Checked, Database, Form, Opened, StoreObservation};
use super::sqlite::{self, Class, Examination, ExamineError, Request, disk};
use super::way::{Depth, Way, Where};
use super::{application, content, super_journal};
use crate::capture::pin::{companions, sidecar};
use crate::guard::Store;

/// From this size on a kept main file is folded first and hashed while SQLite checks it; below that one more process
/// costs more than reading it twice.
const LONG_BYTES: u64 = 16 << 20;

/// Reads a private copy: first by our own reader, then, if that makes sense, by SQLite.
pub(super) fn observe(
    path: &Path,
    store: &Store,
    way: &Way,
    seen: &mut StoreObservation,
) -> io::Result<Database> {
    let mut found = disk::read(path)?;
    let quiet = found.log.committed_frames == 0 && !found.journal.is_hot;
    if found.form != Form::Database || way.depth == Depth::Bytes || found.log.foreign.is_some() {
        return Ok(found);
    }
    if let (true, Some((name, begins_at))) = (found.journal.is_hot, &found.journal.super_journal)
        && let Err(why) = super_journal::settle(path, name, *begins_at, way.mount)
    {
        seen.could_not = Some(why);
        return Ok(found);
    }
    let deadline = way.deadline;
    let hash = || content::main_file(path, quiet, deadline);
    let examine = || {
        let left = deadline.saturating_duration_since(Instant::now());
        way.examiner.examine(path, &request(store, way), left)
    };
    // A copy's page cache is cold, and SQLite reads it in no order: the hash reads ahead of it, in order.
    let (hashed, examined) = if is_left_alone(path, is_folded(way)) {
        let (hashed, examined) = beside(hash, examine);
        (hashed?, Some(examined))
    } else {
        (hash()?, None)
    };
    let Some(content::MainFile { blake3, live }) = hashed else {
        seen.deadline_hit = true;
        return Ok(found);
    };
    // What a rolled back transaction left in free pages is no change of what the database holds.
    found.blake3 = quiet.then(|| live.unwrap_or_else(|| blake3.clone()));
    found.main_blake3 = Some(blake3);
    let examined = examined.unwrap_or_else(|| {
        let folds = !quiet && is_folded(way) && found.size_bytes >= LONG_BYTES;
        if !(folds && fold(path, way)) {
            return examine();
        }
        // What is kept is another file than what was read, and has to be hashed again.
        let (folded, examined) = beside(|| hash_at_rest(path, deadline), examine);
        let stands = |(then, hash)| (at_rest(path)? == then).then_some(hash);
        found.folded_blake3 = folded.and_then(stands);
        examined
    });
    let examination = match examined {
        Ok(examination) => examination,
        Err(ExamineError::Deadline { .. }) => {
            seen.deadline_hit = true;
            return Ok(found);
        }
        Err(e) => {
            seen.could_not = Some(e.to_string());
            return Ok(found);
        }
    };
    seen.deadline_hit = examination.deadline_hit;
    match examination.checked {
        sqlite::Depth::Full => seen.checked = Checked::Full,
        sqlite::Depth::Quick => seen.checked = Checked::Quick,
        sqlite::Depth::Bytes => {}
    }
    seen.could_not = not_found_out(&examination);
    if seen.could_not.is_none()
        && !examination.deadline_hit
        && examination.opened == sqlite::Opened::Yes
    {
        let names = examination.tables.keys().chain(&examination.virtual_tables);
        found.tables = Some(names.cloned().collect());
    }
    found.opened = Some(opened(examination));
    Ok(found)
}

/// Returns whether a log is folded into the main file that it belongs to.
fn is_folded(way: &Way) -> bool {
    matches!(way.place, Where::Ours)
}

/// Returns whether SQLite, opening a main file, finds nothing beside it that it would write into it.
fn is_left_alone(main: &Path, is_folded: bool) -> bool {
    let waits = |suffix| holds_bytes(&sidecar(main, suffix));
    !(waits("-journal") || is_folded && waits("-wal"))
}

/// Returns whether a companion holds anything: an empty one stands for nothing.
pub(crate) fn holds_bytes(companion: &Path) -> bool {
    std::fs::metadata(companion).is_ok_and(|m| m.len() > 0)
}

/// Has a file hashed while SQLite examines it.
fn beside<H: Send>(
    hash: impl FnOnce() -> H + Send,
    examine: impl FnOnce() -> Result<Examination, ExamineError>,
) -> (H, Result<Examination, ExamineError>) {
    thread::scope(|scope| {
        let hashing = scope.spawn(hash);
        let examined = examine();
        match hashing.join() {
            Ok(hashed) => (hashed, examined),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// What tells that nothing wrote to a file: inode, size, time of the last write.
pub(crate) type AtRest = (u64, u64, i64, i64);

/// Returns it for a main file beside which nothing waits.
pub(crate) fn at_rest(main: &Path) -> Option<AtRest> {
    let waits = companions(main).iter().any(|c| holds_bytes(c));
    let m = std::fs::metadata(main).ok().filter(|_| !waits)?;
    Some((m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
}

fn hash_at_rest(main: &Path, deadline: Instant) -> Option<(AtRest, String)> {
    let before = at_rest(main)?;
    let hashed = content::main_file(main, false, deadline).ok().flatten()?;
    Some((before, hashed.blake3))
}

/// Has the log of a kept copy folded into it, and returns whether nothing waits beside it any more. What stands against
/// that, the examination meets again and says.
fn fold(main: &Path, way: &Way) -> bool {
    let request = Request {
        depth: sqlite::Depth::Bytes,
        fold: true,
        foreign_keys: false,
        count_rows: false,
        revision: None,
        identity: None,
        wanted: Vec::new(),
    };
    let left = way.deadline.saturating_duration_since(Instant::now());
    way.examiner.examine(main, &request, left).is_ok() && at_rest(main).is_some()
}

/// Returns why a part of the examination could not be made. What only the application knows (a function, a collation,
/// a module) is no such reason: the rest was checked.
fn not_found_out(examination: &Examination) -> Option<String> {
    match &examination.opened {
        sqlite::Opened::CouldNot { message } => Some(message.clone()),
        _ if examination.checked == sqlite::Depth::Bytes
            && !examination.deadline_hit
            && !examination.is_damaged() =>
        {
            let why = examination.problems().find(|p| p.class == Class::CouldNot);
            why.map(|p| p.message.clone())
        }
        _ => None,
    }
}

fn request(store: &Store, way: &Way) -> Request {
    let contract = &store.contract;
    Request {
        depth: if way.depth >= Depth::Full {
            sqlite::Depth::Full
        } else {
            sqlite::Depth::Quick
        },
        fold: is_folded(way),
        foreign_keys: contract.foreign_keys,
        count_rows: true,
        revision: contract.revision.clone(),
        identity: contract.identity.clone(),
        wanted: application::wanted(store),
    }
}

fn opened(examination: Examination) -> Opened {
    let refused = match &examination.opened {
        sqlite::Opened::Damaged { message } => Some(message.clone()),
        sqlite::Opened::Yes | sqlite::Opened::CouldNot { .. } => None,
    };
    let of = |class| {
        examination
            .problems()
            .filter(|p| p.class == class)
            .map(|p| p.message.clone())
            .collect()
    };
    let (damaged, disagrees) = (of(Class::Damaged), of(Class::IndexDisagrees));
    let foreign_keys = examination.foreign_keys;
    let first = foreign_keys.first.first().cloned().unwrap_or_default();
    Opened {
        refused,
        damaged,
        disagrees,
        foreign_keys: foreign_keys.violations.map(|n| (n, first)),
        rows: examination
            .tables
            .into_iter()
            .filter_map(|(table, rows)| Some((table, rows?)))
            .collect(),
        revision: examination.revision,
        identity: examination.identity,
        values: examination.values,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_main_file_is_hashed_beside_the_examination_if_that_writes_nothing_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("a.db");
        let lay = |suffix, bytes: &str| std::fs::write(sidecar(&main, suffix), bytes).unwrap();
        let both = || [false, true].map(|is_folded| is_left_alone(&main, is_folded));
        lay("", "database");
        assert_eq!(both(), [true, true]);
        lay("-wal", "");
        lay("-journal", "");
        assert_eq!(both(), [true, true]);
        lay("-wal", "commits");
        assert_eq!(both(), [true, false]);
        lay("-journal", "pages");
        assert_eq!(both(), [false, false]);
    }

    const ROWS: &str = "CREATE TABLE a(x UNIQUE, y); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 99) INSERT INTO a SELECT i, randomblob(500) FROM n; DELETE FROM a WHERE x > 70;";

    /// What SQL leaves while its connection is open, or after its end.
    fn left(is_open: bool, sql: &str) -> [Option<Vec<u8>>; 3] {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("a.db");
        let db = rusqlite::Connection::open(&main).unwrap();
        db.execute_batch(sql).unwrap();
        let kept = is_open.then_some(db);
        let read =
            ["", "-wal", "-journal"].map(|suffix| std::fs::read(sidecar(&main, suffix)).ok());
        drop(kept);
        read
    }

    /// Examines these files; returns whether the main one is hashed meanwhile, and whether SQLite wrote to it, be it the
    /// same bytes.
    fn examined(files: &[Option<Vec<u8>>; 3], is_folded: bool) -> (bool, bool) {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("a.db");
        for (suffix, bytes) in ["", "-wal", "-journal"].iter().zip(files) {
            if let Some(bytes) = bytes {
                std::fs::write(sidecar(&main, suffix), bytes).unwrap();
            }
        }
        let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let file = std::fs::File::options().write(true).open(&main).unwrap();
        file.set_modified(long_ago).unwrap();
        let is_beside = is_left_alone(&main, is_folded);
        let request = Request {
            depth: sqlite::Depth::Full,
            fold: is_folded,
            foreign_keys: true,
            count_rows: true,
            ..Request::default()
        };
        let examiner = sqlite::Examiner::Here;
        examiner
            .examine(&main, &request, Duration::from_secs(60))
            .unwrap();
        let is_same = std::fs::read(&main).ok() == files[0]
            && std::fs::metadata(&main).unwrap().modified().unwrap() == long_ago;
        (is_beside, !is_same)
    }

    /// A hash that is made beside a change is that of no state: a snapshot with it would be taken for damaged.
    #[test]
    fn sqlite_writes_to_no_main_file_that_is_hashed_meanwhile() {
        let wal = format!("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; {ROWS}");
        // Without syncs a journal is hot from its first byte on.
        let hot =
            format!("PRAGMA synchronous=OFF; {ROWS} BEGIN; UPDATE a SET y = randomblob(501);");
        let with = |files: [Option<Vec<u8>>; 3], wal: Option<&[u8]>, journal: Option<&[u8]>| {
            let [main, ..] = files;
            [main, wal.map(<[u8]>::to_vec), journal.map(<[u8]>::to_vec)]
        };
        let (rows, closed) = (left(false, ROWS), left(false, &wal));
        let mut cut = rows.clone();
        cut[0].as_mut().unwrap().truncate(10_000);
        let (meanwhile, before) = ((true, false), (false, true));
        // Without and with a fold: hashed meanwhile and left alone, or hashed before and written to.
        let cases = [
            ("closed", rows.clone(), [meanwhile, meanwhile]),
            (
                "closed, with a log's mode",
                closed.clone(),
                [meanwhile, meanwhile],
            ),
            (
                "empty companions",
                with(rows.clone(), Some(b""), Some(b"")),
                [meanwhile, meanwhile],
            ),
            (
                "an empty log",
                with(closed.clone(), Some(b""), None),
                [meanwhile, meanwhile],
            ),
            ("cut", cut, [meanwhile, meanwhile]),
            (
                "no byte",
                [Some(Vec::new()), None, None],
                [meanwhile, meanwhile],
            ),
            (
                "one page",
                left(false, "PRAGMA user_version=1"),
                [meanwhile, meanwhile],
            ),
            ("a log", left(true, &wal), [meanwhile, before]),
            (
                "a log of nothing",
                with(closed, Some(b"nothing"), None),
                [meanwhile, (false, false)],
            ),
            ("a hot journal", left(true, &hot), [before, before]),
            (
                "a finished journal",
                left(false, &format!("PRAGMA journal_mode=PERSIST; {ROWS}")),
                [(false, false); 2],
            ),
        ];
        for (name, files, expected) in cases {
            let found = [false, true].map(|is_folded| examined(&files, is_folded));
            assert_eq!(found, expected, "{name}");
        }
    }
}
