//! Is it there at all, and is it what it should be: a file, a folder, a database that was ever initialised?

use super::words::{file_name, told_log};
use super::{Case, Occasion, allow, bring_rescue_back, former_path, former_told};
use crate::finding::{Finding, FindingId, Severity, Step};
use crate::guard::{Guard, StoreKind, Uninitialised};
use crate::look::observation::{Form, GuardObservation, Place};
use crate::look::scan::database_file;
use crate::memory::Memory;

/// Judges the data folder itself.
pub(super) fn folder(
    guard: &Guard,
    seen: &GuardObservation,
    memory: &Memory,
    occasion: Occasion,
) -> Option<Finding> {
    let known = guard.stores.iter().any(|s| memory.knows_data(&s.name))
        || (guard.stores.is_empty() && memory.proven.is_some());
    let (id, what) = match &seen.folder {
        Place::Folder => return None,
        Place::Absent if !known => return never_was(guard, occasion),
        Place::Absent => (
            FindingId::StoreMissing,
            "the data folder is gone".to_owned(),
        ),
        Place::File(_) => (
            FindingId::StoreSpecialFile,
            "the data folder is a file".to_owned(),
        ),
        Place::Special(what) => (
            FindingId::StoreSpecialFile,
            format!("the data folder is a {what}"),
        ),
        Place::Symlink(to) => (
            FindingId::StoreSymlink,
            format!("the data folder is a link to `{}`", to.display()),
        ),
        Place::Unreadable(why) => {
            let what = format!("the data folder may not be looked at: {why}");
            let finding = Finding::of_guard(FindingId::StoreUnreadable, Severity::Warn, &what);
            return Some(Finding {
                path: Some(guard.data.clone()),
                ..finding
            });
        }
    };
    let mut next: Vec<Step> = former_path(memory).into_iter().collect();
    if memory.proven.is_some() {
        next.push(Step::new("bring it back", &["restore", &guard.name]));
    }
    let rescued = guard.stores.iter().find_map(|s| memory.rescued_of(&s.name));
    next.extend(rescued.map(|rescued| bring_rescue_back(&guard.name, rescued)));
    next.push(allow(&guard.name, id));
    let evidence = memory
        .proven
        .as_ref()
        .map(|s| format!("the newest proven snapshot is `{}`", s.id))
        .or_else(|| rescued.map(|r| format!("what the container wrote was rescued: `{}`", r.id)));
    let evidence: Vec<String> = former_told(memory).into_iter().chain(evidence).collect();
    let evidence = (!evidence.is_empty()).then(|| evidence.join("; "));
    let finding = Finding::of_guard(id, guard.policy.missing.into(), &what);
    Some(Finding {
        path: Some(guard.data.clone()),
        evidence,
        next,
        ..finding
    })
}

/// No history: the first start makes the folder. Somebody who asks is told; the path may be mistyped.
fn never_was(guard: &Guard, occasion: Occasion) -> Option<Finding> {
    let what = "the data folder does not exist, and nothing is known of earlier data";
    let finding = Finding::of_guard(FindingId::StoreMissing, Severity::Warn, what);
    (occasion == Occasion::Report).then(|| Finding {
        path: Some(guard.data.clone()),
        evidence: Some(format!("looked for `{}`", guard.data.display())),
        ..finding
    })
}

/// Judges what lies at the store's path. With a finding from here there is nothing to check further.
pub(super) fn store(case: &Case) -> Option<Finding> {
    // A store that is a folder is judged by its database, where the folder is there and that is not.
    let database = database_file(case.store);
    let wants_file = database.is_some_and(|d| d.file_name() == case.seen.path.file_name());
    let noun = if wants_file { "a database" } else { "a folder" };
    match &case.seen.place {
        Place::Absent => missing(case),
        Place::Symlink(to) => {
            let what = format!(
                "a symbolic link to `{}` stands where {noun} belongs; it is not followed",
                to.display()
            );
            Some(unusable(case, FindingId::StoreSymlink, what))
        }
        Place::Special(kind) => Some(unusable(
            case,
            FindingId::StoreSpecialFile,
            format!("a {kind} stands where {noun} belongs"),
        )),
        Place::Folder if wants_file => Some(unusable(
            case,
            FindingId::StoreSpecialFile,
            "a folder stands where a database belongs".to_owned(),
        )),
        Place::File(_) if !wants_file && case.store.kind != StoreKind::Files => Some(unusable(
            case,
            FindingId::StoreSpecialFile,
            "a file stands where a folder belongs".to_owned(),
        )),
        Place::Unreadable(why) => {
            let what = format!("it may not be read: {why}");
            Some(case.finding(FindingId::StoreUnreadable, Severity::Warn, what))
        }
        Place::File(_) | Place::Folder => companion(case).or_else(|| never_initialised(case)),
    }
}

/// Judges what stands where a log or journal belongs.
fn companion(case: &Case) -> Option<Finding> {
    let (path, place) = case.seen.odd_companion.as_ref()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (id, what) = match place {
        Place::Symlink(to) => (
            FindingId::StoreSymlink,
            format!(
                "a symbolic link to `{}` stands where `{name}` belongs; it is not followed",
                to.display()
            ),
        ),
        Place::Special(kind) => (
            FindingId::StoreSpecialFile,
            format!("a {kind} stands where `{name}` belongs"),
        ),
        _ => (
            FindingId::StoreSpecialFile,
            format!("a folder stands where `{name}` belongs"),
        ),
    };
    let finding = unusable(case, id, what);
    Some(Finding {
        path: Some(case.guard.data.join(path)),
        ..finding
    })
}

fn unusable(case: &Case, id: FindingId, what: String) -> Finding {
    let next = case.ways_out(id);
    Finding {
        next,
        evidence: case.known_before(),
        ..case.finding(id, super::words::damaged(case.guard), what)
    }
}

fn missing(case: &Case) -> Option<Finding> {
    let id = FindingId::StoreMissing;
    let name = &case.store.name;
    if case.memory.knows_data(name) {
        let finding = case.finding(
            id,
            case.guard.policy.missing.into(),
            format!("`{}` is gone", file_name(case)),
        );
        return Some(Finding {
            evidence: case.known_before(),
            next: case.ways_out(id),
            ..finding
        });
    }
    if case.occasion == Occasion::Proof && !case.store.optional {
        return Some(case.finding(
            id,
            Severity::Hold,
            format!("`{}` is not in the snapshot", file_name(case)),
        ));
    }
    // Never existed and no history: the application's first start makes it. Somebody who asks is told.
    if case.occasion == Occasion::Report && !case.store.optional {
        let what = format!(
            "`{}` does not exist, and nothing is known of earlier data",
            file_name(case)
        );
        return Some(case.finding(id, Severity::Warn, what));
    }
    None
}

fn never_initialised(case: &Case) -> Option<Finding> {
    let database = case.seen.database.as_ref()?;
    let file = file_name(case);
    if database.form == Form::Empty && database.log.committed_frames > 0 {
        // SQLite would discard the log at the next open, and with it every commit in it.
        let what = format!(
            "`{file}` has 0 bytes beside a log with commits; the next open would discard them"
        );
        let finding = unusable(case, FindingId::SqliteEmptyFile, what);
        return Some(Finding {
            evidence: Some(told_log(database.log.committed_frames)),
            ..finding
        });
    }
    if database.was_emptied {
        let id = FindingId::SqliteNoTables;
        let what = format!("`{file}` holds no table any more");
        let finding = case.finding(id, case.guard.policy.missing.into(), what);
        let known = case
            .known_before()
            .or_else(|| Some("its header tells that it held some once".to_owned()));
        return Some(Finding {
            evidence: known,
            next: case.ways_out(id),
            ..finding
        });
    }
    if !database.never_initialised {
        return None;
    }
    let (id, what) = if database.form == Form::Empty {
        (FindingId::SqliteEmptyFile, format!("`{file}` has 0 bytes"))
    } else {
        (
            FindingId::SqliteNoTables,
            format!("`{file}` is a valid database without a single table"),
        )
    };
    if case.memory.knows_data(&case.store.name) {
        let finding = case.finding(id, case.guard.policy.missing.into(), what);
        return Some(Finding {
            evidence: case.known_before(),
            next: case.ways_out(id),
            ..finding
        });
    }
    if case.occasion == Occasion::Proof {
        return Some(case.finding(id, Severity::Hold, what));
    }
    let policy = case.guard.policy.uninitialised;
    let severity = if policy == Uninitialised::Hold {
        Severity::Hold
    } else {
        Severity::Warn
    };
    let evidence = match policy {
        _ if case.memory.unknown.is_some() => {
            "whether it ever held data cannot be found out: it is left as it is"
        }
        Uninitialised::Quarantine if case.occasion == Occasion::Start => {
            "nothing is known of earlier data"
        }
        Uninitialised::Quarantine => {
            "nothing is known of earlier data; the next start moves it aside"
        }
        Uninitialised::Hold | Uninitialised::Warn => {
            "nothing is known of earlier data; the policy leaves it as it is"
        }
    };
    let next = if severity == Severity::Hold {
        case.ways_out(id)
    } else {
        Vec::new()
    };
    Some(Finding {
        evidence: Some(evidence.to_owned()),
        next,
        ..case.finding(id, severity, what)
    })
}

/// Judges a file that Open WebUI renames over its database when it starts.
pub(super) fn legacy_database(guard: &Guard, seen: &GuardObservation) -> Option<Finding> {
    let path = seen.legacy_database.as_ref()?;
    let has_data = seen
        .stores
        .iter()
        .filter_map(|s| s.database.as_ref())
        .any(|d| !d.table_names().is_empty());
    has_data.then(|| {
        let what = "Open WebUI would rename `ollama.db` over its database at the next start, and all chats with it";
        let finding = Finding::of_guard(FindingId::OpenwebuiLegacyDb, super::words::damaged(guard), what);
        let evidence = Some(format!("move `{}` away", path.display()));
        let next = vec![allow(&guard.name, FindingId::OpenwebuiLegacyDb)];
        Finding { path: Some(path.clone()), evidence, next, ..finding }
    })
}
