//! The matrix of the generated cases: what was raised, what was expected. One miss or one false alarm fails it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aidb_testkit::own_cases::{self, Label, OwnCase};
use aidb_testkit::{Stack, is_root, left_out, on_every_core, tree_state};
use serde_json::Value;

const TOOL: &str = env!("CARGO_BIN_EXE_aidb-precheck");

/// No case may take longer, on whatever machine: a pipe or a loop would take for ever.
const SOON: Duration = Duration::from_secs(60);

/// What a check raised: ids of findings that are more than information, and the verdict.
#[derive(Debug)]
struct Raised {
    alarms: Vec<String>,
    verdict: String,
    status: i32,
}

fn check(case: &OwnCase, with_baseline: bool) -> Raised {
    let mut stack = Stack::new(TOOL);
    (case.base)(&stack.data());
    if case.plain_user {
        stack = stack.as_plain_user();
    }
    if with_baseline {
        let healthy = stack.run("aidb-precheck check");
        assert_eq!(
            healthy.status, 0,
            "{}: its base is not healthy:\n{healthy}",
            case.name
        );
    }
    (case.happens)(&stack.data());
    // What lies beside the data is to stay as it is, too.
    let around = stack.data().parent().unwrap().to_owned();
    let before = tree_state(&around);
    let began = Instant::now();
    let ran = stack.run("aidb-precheck check --json");
    assert!(
        began.elapsed() < SOON,
        "{}: {:?}",
        case.name,
        began.elapsed()
    );
    assert_eq!(
        before,
        tree_state(&around),
        "{}: looking changed the data",
        case.name
    );
    let document: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{}: {e}:\n{ran}", case.name));
    let findings = document["guards"][0]["findings"].as_array().unwrap();
    let alarms = findings
        .iter()
        .filter(|f| f["severity"] != "info")
        .map(|f| f["id"].as_str().unwrap().to_owned());
    Raised {
        alarms: alarms.collect(),
        verdict: document["verdict"].as_str().unwrap().to_owned(),
        status: ran.status,
    }
}

/// Returns what is wrong with what was raised, if anything.
fn miss(case: &OwnCase, raised: &Raised, with_baseline: bool) -> Option<&'static str> {
    let one_of = |ids: &[&str]| raised.alarms.iter().any(|id| ids.contains(&id.as_str()));
    let expected = match raised.verdict.as_str() {
        "hold" => 1,
        "unknown" => 3,
        _ => 0,
    };
    match case.label {
        _ if raised.status != expected => Some("STATUS"),
        Label::Forbidden if !raised.alarms.is_empty() => Some("FALSE ALARM"),
        Label::Required(ids) if !one_of(ids) => Some("MISSED"),
        Label::WithBaseline(ids) if with_baseline && !one_of(ids) => Some("MISSED"),
        _ => None,
    }
}

#[test]
fn every_damage_beyond_the_corpus_is_found_without_a_false_alarm_and_without_touching_it() {
    let cases = own_cases::all();
    let mut matrix = String::new();
    let (mut wrong, mut checks) = (0, 0);
    let found = on_every_core(&cases, |case| {
        if case.plain_user && !is_root() {
            // Whoever may not read a file cannot tell that it was not changed.
            left_out(case.name, "only root can see what a plain user may not");
            return None;
        }
        Some([false, true].map(|with_baseline| check(case, with_baseline)))
    });
    for (case, found) in cases.iter().zip(found) {
        for (with_baseline, raised) in [false, true].into_iter().zip(found.into_iter().flatten()) {
            checks += 1;
            let miss = miss(case, &raised, with_baseline);
            wrong += usize::from(miss.is_some());
            let label = match case.label {
                Label::Required(_) => "required",
                Label::WithBaseline(_) => "with baseline",
                Label::Optional => "optional",
                Label::Forbidden => "forbidden",
            };
            let known = if with_baseline { "known before" } else { "-" };
            writeln!(
                matrix,
                "{:<34} {label:<14} {known:<13} {:<8} {:<60} {}",
                case.name,
                raised.verdict,
                raised.alarms.join(" "),
                miss.unwrap_or("ok")
            )
            .unwrap();
        }
    }
    println!(
        "{matrix}{} cases, {checks} checks, {wrong} wrong",
        cases.len()
    );
    assert!(cases.len() >= 30);
    let bad: Vec<&str> = matrix.lines().filter(|l| !l.ends_with("ok")).collect();
    assert!(bad.is_empty(), "\n{}", bad.join("\n"));
}
