//! Every finding that a look can raise becomes an alert, seen once for its real cause: the damaged folders of the corpus and of
//! our own cases, and the causes that they lack, here; what needs a container, a unit, a disk or a clock where
//! [`ELSEWHERE`] says.

mod causes;

use std::collections::BTreeSet;

use aidb_testkit::corpus::{Case, Corpus, copy_tree};
use aidb_testkit::own_cases::{self, Label, OwnCase};
use aidb_testkit::{Stack, is_root, left_out, on_every_core};
use serde_json::{Value, json};

use self::causes::{Cause, ONE_LOOK};
use crate::AIDB;
use crate::monitor::{told, with_ears};

/// Lists every finding; a test of aidb-core holds it to that.
const README: &str = include_str!("../../../../README.md");
const MONITOR: &str = include_str!("monitor.rs");
const ON_THE_MACHINE: &str = include_str!("../../../../tests/e2e/scenarios/18-monitor.sh");

/// What is seen as an alert in another test, and in which.
const ELSEWHERE: &[(&str, &str)] = &[
    ("mount.absent", ON_THE_MACHINE),
    ("mount.other", ON_THE_MACHINE),
    ("layer.writes", ON_THE_MACHINE),
    ("layer.database", ON_THE_MACHINE),
    ("container.recreated", ON_THE_MACHINE),
    ("container.crash-loop", ON_THE_MACHINE),
    ("container.missing", MONITOR),
    ("unit.failed", MONITOR),
    ("snapshot.none-proven", MONITOR),
    ("snapshot.stale", ON_THE_MACHINE),
    ("space.low", ON_THE_MACHINE),
    ("space.growth", ON_THE_MACHINE),
    ("check.could-not", MONITOR),
];

/// What is no alert, and why.
const NEVER: &[(&str, &str)] = &[
    (
        "sqlite.journal-hot",
        "the application's next start heals it",
    ),
    (
        "ollama.blob-hash",
        "no look by the way reads models: `check --depth full`, a proof and `verify` say it",
    ),
    (
        "image.older-than-data",
        "a start, a switch and a restore say it",
    ),
    (
        "snapshot.no-second-copy",
        "worth knowing, and nothing happened",
    ),
];

/// Lays out a stack that is healthy, has it looked at, makes the case of it, and has it looked at; returns which alerts open.
fn opened(
    stack: Stack,
    plain_user: bool,
    base: impl Fn(&Stack) -> bool,
    happens: impl Fn(&Stack),
    looks: &[&str],
) -> Vec<String> {
    with_ears(&stack);
    let has_base = base(&stack);
    let stack = if plain_user {
        stack.as_plain_user()
    } else {
        stack
    };
    if has_base {
        let _ = stack.run("aidb-monitor check");
        let _ = told(&stack);
    }
    happens(&stack);
    for look in looks {
        let _ = stack.run(look);
    }
    let told = told(&stack).into_iter();
    told.filter_map(|t| t.strip_prefix("opened ").map(str::to_owned))
        .collect()
}

fn of_own(case: &OwnCase) -> Vec<String> {
    if case.plain_user && !is_root() {
        left_out(case.name, "only root can see what a plain user may not");
        return Vec::new();
    }
    let base = |stack: &Stack| {
        (case.base)(&stack.data());
        true
    };
    let happens = |stack: &Stack| (case.happens)(&stack.data());
    opened(Stack::new(AIDB), case.plain_user, base, happens, ONE_LOOK)
}

fn of_corpus(corpus: &Corpus, case: &Case) -> Vec<String> {
    let stack = Stack::new(AIDB);
    stack.write_settings(&json!({ "preset": case.app, "mount": Value::Null }));
    let base = |stack: &Stack| corpus.put_base(case, &stack.data());
    let happens = |stack: &Stack| {
        let _ = std::fs::remove_dir_all(stack.data());
        copy_tree(&corpus.folder(&case.id), &stack.data());
    };
    opened(stack, false, base, happens, ONE_LOOK)
}

/// A cause has to be told of itself, whatever else is.
fn of_cause(cause: &Cause) -> Vec<String> {
    let stack = Stack::new(AIDB);
    stack.write_settings(&cause.guard);
    let base = |stack: &Stack| {
        (cause.base)(stack);
        true
    };
    let told = opened(stack, false, base, &cause.happens, cause.looks);
    assert!(
        told.iter().any(|id| id == cause.id),
        "{}: {told:?}",
        cause.id
    );
    told
}

#[test]
fn every_finding_of_a_look_is_told_for_its_real_cause() {
    let corpus = Corpus::unpack();
    let whole = |case: &&Case| {
        case.alarm.starts_with("required") && (corpus.is_whole(case) || case.app != "chroma")
    };
    let of_the_corpus: Vec<&Case> = corpus.cases.iter().filter(whole).collect();
    let own: Vec<OwnCase> = own_cases::all()
        .into_iter()
        .filter(|c| matches!(c.label, Label::Required(_) | Label::WithBaseline(_)))
        .collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    seen.extend(on_every_core(&own, of_own).into_iter().flatten());
    seen.extend(
        on_every_core(&of_the_corpus, |case| of_corpus(&corpus, case))
            .into_iter()
            .flatten(),
    );
    let causes = causes::all();
    seen.extend(on_every_core(&causes, of_cause).into_iter().flatten());
    for (id, test) in ELSEWHERE {
        assert!(
            test.contains(&format!("opened {id}")) || test.contains(&format!("\"{id}\"")),
            "{id}"
        );
        seen.insert((*id).to_owned());
    }
    let never = NEVER.iter().map(|(id, _)| *id);
    let ids = README
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once("` |"))
        .map(|(id, _)| id)
        .filter(|id| id.contains('.') && !id.contains([' ', '/', '<']));
    let unseen: Vec<&str> = ids.filter(|id| !seen.contains(*id)).collect();
    assert_eq!(unseen, never.collect::<Vec<_>>());
}
