//! A database's files as they lie on disk, as one observation.

use std::fs::File;
use std::io;
use std::path::Path;

use super::{Facts, Files, Fits, JournalState, MainFile, Problem, ReadAt, WalState};
use crate::capture::pin::sidecar;
use crate::look::observation::{Database, Form, Journal, Log};
use crate::look::seen::Counters;

/// Reads a private copy and its companions.
pub fn read(path: &Path) -> io::Result<Database> {
    let main = File::open(path)?;
    let wal = open_if_there(&sidecar(path, "-wal"))?;
    let journal = open_if_there(&sidecar(path, "-journal"))?;
    read_files(&main, wal.as_ref(), journal.as_ref())
}

/// Reads open files of which nobody writes to the main one.
pub fn read_files(main: &File, wal: Option<&File>, journal: Option<&File>) -> io::Result<Database> {
    let facts = super::read(&Files {
        main: Some(main),
        wal: wal.map(|f| f as &dyn ReadAt),
        journal: journal.map(|f| f as &dyn ReadAt),
    });
    if let MainFile::Unreadable { why } = &facts.main {
        return Err(io::Error::other(why.clone()));
    }
    Ok(observation(&facts))
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Puts what the files say into the words that judging knows.
fn observation(facts: &Facts) -> Database {
    let header = match &facts.main {
        MainFile::Sqlite(header) => Some(header.as_ref()),
        _ => None,
    };
    let tables = match &facts.schema {
        Ok(schema) if schema.complete => {
            Some(facts.tables().into_iter().map(str::to_owned).collect())
        }
        Err(Problem::NoDatabase) => Some(Vec::new()),
        _ => None,
    };
    Database {
        form: form(facts),
        size_bytes: facts.size_bytes + facts.wal.size_bytes + facts.journal.size_bytes,
        pages: facts.expected_pages,
        missing_pages: facts.missing_pages,
        trailing_bytes: facts.trailing_bytes,
        is_wal: header.is_some_and(super::Header::is_wal),
        change_counter: header.map_or(0, |h| h.change_counter),
        schema_cookie: header.map_or(0, |h| h.schema_cookie),
        last_commit: facts.current.as_ref().map(|h| Counters {
            change: h.change_counter,
            schema: h.schema_cookie,
        }),
        written_ns: None,
        boot: None,
        blake3: None,
        main_blake3: None,
        folded_blake3: None,
        tables,
        never_initialised: facts.never_initialised() && !facts.was_emptied(),
        was_emptied: facts.was_emptied(),
        schema_problem: schema_problem(facts),
        unsafe_schema: facts
            .schema
            .iter()
            .flat_map(|s| s.unsafe_schema.iter().chain(&s.missing_modules))
            .cloned()
            .collect(),
        log: log(facts),
        journal: journal(facts),
        opened: None,
    }
}

fn form(facts: &Facts) -> Form {
    match &facts.main {
        MainFile::Absent | MainFile::Empty | MainFile::Unreadable { .. } => Form::Empty,
        MainFile::NotSqlite(not) => Form::Other(not.looks.word().to_owned()),
        MainFile::Sqlite(header) => {
            if let Some(why) = header.unsupported() {
                Form::Unsupported(why)
            } else if let Some(why) = header.damaged() {
                Form::BadHeader(why)
            } else {
                Form::Database
            }
        }
    }
}

fn schema_problem(facts: &Facts) -> Option<String> {
    match &facts.schema {
        Err(problem @ (Problem::Damaged { .. } | Problem::TooBig { .. })) => {
            Some(problem.to_string())
        }
        Err(_) => None,
        Ok(schema) => {
            let root = schema
                .bad_roots
                .first()
                .map(|bad| format!("`{}`: {}", bad.name, bad.why));
            schema.malformed.first().cloned().or(root)
        }
    }
}

fn log(facts: &Facts) -> Log {
    let wal = &facts.wal;
    let torn = match &wal.state {
        WalState::BadHeader { why } | WalState::Unreadable { why } => Some(why.clone()),
        WalState::Unsupported { version } => {
            Some(format!("expected version 3007000, found {version}"))
        }
        WalState::Absent | WalState::Empty | WalState::Ok if wal.is_torn() => Some(format!(
            "{} behind the first frame that is not whole",
            if wal.lost_commits > 0 {
                format!("{} commits", wal.lost_commits)
            } else {
                "a commit".to_owned()
            }
        )),
        WalState::Absent | WalState::Empty | WalState::Ok => None,
    };
    Log {
        committed_frames: wal.committed_frames,
        salts: wal.salts,
        waits: wal.waits,
        foreign: no(&wal.fits),
        torn,
    }
}

fn journal(facts: &Facts) -> Journal {
    let journal = &facts.journal;
    let bad = match &journal.state {
        JournalState::BadHeader { why } | JournalState::Unreadable { why } => Some(why.clone()),
        _ => None,
    };
    let torn = journal.torn.then(|| {
        let promised = journal
            .promised_records
            .map_or_else(|| "all".to_owned(), |n| n.to_string());
        format!(
            "{} of {promised} pages can be rolled back",
            journal.valid_records
        )
    });
    Journal {
        is_hot: journal.hot && journal.state == JournalState::Ok,
        foreign: no(&journal.fits).filter(|_| journal.hot),
        torn: torn.or(bad),
        super_journal: journal
            .super_journal
            .as_ref()
            .map(|s| (s.name.clone(), s.begins_at)),
    }
}

fn no(fits: &Fits) -> Option<String> {
    match fits {
        Fits::No { why } => Some(why.clone()),
        Fits::Yes | Fits::CannotTell => None,
    }
}
