//! What is said of a container, of its layer and of how it ended.

use std::path::PathBuf;

use super::*;

fn guard() -> Guard {
    serde_json::from_value(serde_json::json!({
        "name": "web", "container": "web", "unit": "podman-web.service", "data": "/home/a/web", "mount": "/data",
        "preset": null, "exclude": [], "stores": [],
        "policy": { "uninitialised": "quarantine", "missing": "hold", "damaged": "hold", "shrunken": "warn",
                    "mount": "hold" } }))
    .unwrap()
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + minute * 60).unwrap()
}

fn run(id: i64, minute: i64, announced: bool, ending: Option<Ending>) -> Incarnation {
    Incarnation {
        id,
        container: "web".into(),
        invocation: None,
        boot: "b".into(),
        announced_at: announced.then(|| at(minute)),
        container_id: Some(format!("{id:064}")),
        image: None,
        image_digest: None,
        layer: None,
        started_at: Some(at(minute)),
        seen_at: at(minute),
        ended_at: ending.map(|_| at(minute + 1)),
        ending,
        exit_status: None,
    }
}

fn unit(active: &str) -> UnitState {
    UnitState {
        active: active.into(),
        is_loaded: true,
        ..UnitState::default()
    }
}

fn ids(facts: &Facts, minute: i64) -> Vec<(&'static str, Severity)> {
    judge(&guard(), facts, at(minute))
        .iter()
        .map(|f| (f.id.as_str(), f.severity))
        .collect()
}

#[test]
fn a_container_is_missing_only_if_its_unit_is_up() {
    for (active, presence, expected) in [
        (
            "active",
            Presence::Absent,
            vec![("container.missing", Severity::Warn)],
        ),
        (
            "active",
            Presence::Stopped,
            vec![("container.missing", Severity::Warn)],
        ),
        ("active", Presence::Running, vec![]),
        ("inactive", Presence::Absent, vec![]),
        ("activating", Presence::Absent, vec![]),
        ("deactivating", Presence::Absent, vec![]),
        (
            "failed",
            Presence::Absent,
            vec![("unit.failed", Severity::Warn)],
        ),
        (
            "active",
            Presence::Unknown("slow".into()),
            vec![("check.could-not", Severity::Warn)],
        ),
    ] {
        let facts = Facts {
            unit: Some(unit(active)),
            presence: presence.clone(),
            ..Facts::default()
        };
        assert_eq!(ids(&facts, 0), expected, "{active} {presence:?}");
    }
    assert_eq!(ids(&Facts::default(), 0), []);
}

#[test]
fn only_a_recreation_that_no_hook_saw_is_said_and_only_for_a_day() {
    use Ending::{Failed, PowerCut, Stopped, Unseen};
    for (before, after_announced, expected) in [
        ((true, Some(Unseen)), false, true),
        // Its hooks never said anything: silence tells nothing.
        ((false, Some(Unseen)), false, false),
        ((true, Some(Stopped)), false, false),
        ((true, Some(Failed)), true, false),
        ((true, Some(Unseen)), true, false),
        ((true, Some(PowerCut)), false, false),
    ] {
        let facts = Facts {
            runs: vec![
                run(1, 0, before.0, before.1),
                run(2, 60, after_announced, None),
            ],
            ..Facts::default()
        };
        let said = |minute| {
            ids(&facts, minute)
                .iter()
                .any(|(id, _)| *id == "container.recreated")
        };
        assert_eq!(said(61), expected, "{before:?} {after_announced}");
        assert!(!said(60 + 24 * 60));
    }
}

#[test]
fn three_failures_within_an_hour_are_a_loop() {
    let failures = |minutes: &[i64]| Facts {
        runs: minutes
            .iter()
            .enumerate()
            .map(|(n, m)| run(i64::try_from(n).unwrap(), *m, true, Some(Ending::Failed)))
            .chain([run(99, *minutes.last().unwrap() + 1, true, None)])
            .collect(),
        ..Facts::default()
    };
    assert_eq!(ids(&failures(&[0, 1]), 5), []);
    assert_eq!(
        ids(&failures(&[0, 1, 2]), 5),
        [("container.crash-loop", Severity::Warn)]
    );
    assert_eq!(ids(&failures(&[0, 1, 2]), 70), []);
    assert_eq!(ids(&failures(&[0, 100, 200]), 201), []);
    // Stops are no failures, however many.
    let mut stops = failures(&[0, 1, 2, 3]);
    for run in &mut stops.runs {
        run.ending = run.ending.map(|_| Ending::Stopped);
    }
    assert_eq!(ids(&stops, 5), []);
}

#[test]
fn a_data_path_that_is_not_the_folder_holds_as_the_policy_says() {
    for (proof, expected) in [
        (MountProof::Same, vec![]),
        (MountProof::InLayer, vec![("mount.absent", Severity::Hold)]),
        (
            MountProof::Other("`/x`".into()),
            vec![("mount.other", Severity::Hold)],
        ),
        (
            MountProof::Unknown("no".into()),
            vec![("check.could-not", Severity::Warn)],
        ),
    ] {
        let facts = Facts {
            mount: Some(proof.clone()),
            ..Facts::default()
        };
        assert_eq!(ids(&facts, 0), expected, "{proof:?}");
    }
}

#[test]
fn each_way_to_write_past_the_folder_has_a_next_step() {
    let next = |guard: &Guard, proof| {
        let steps = mount(guard, &proof).unwrap().next;
        let told = |s: &Step| format!("{} {}", s.purpose, s.arguments.join(" "));
        steps.iter().map(told).collect::<Vec<_>>()
    };
    let by_hand = Guard {
        unit: None,
        ..guard()
    };
    for (guard, proof, expected) in [
        (
            guard(),
            MountProof::InLayer,
            "keep what it wrote rescue web",
        ),
        (
            guard(),
            MountProof::Exchanged,
            "have it use the folder that is there now: `systemctl --user restart podman-web.service`",
        ),
        (
            by_hand,
            MountProof::Exchanged,
            "have it use the folder that is there now: `podman restart web`",
        ),
        (
            guard(),
            MountProof::Other("`/x`".into()),
            "mount `/home/a/web` at `/data`, or guard the folder that it has",
        ),
    ] {
        assert_eq!(next(&guard, proof)[0].trim_end(), expected);
    }
}

#[test]
fn a_database_in_the_layer_is_said_and_other_writes_only_when_they_are_many() {
    let layer = |databases: &[&str], size| Facts {
        layer: Some(Layer {
            files: 2,
            size_bytes: size,
            databases: databases.iter().map(PathBuf::from).collect(),
            ..Layer::default()
        }),
        ..Facts::default()
    };
    assert_eq!(
        ids(&layer(&[], 1000), 0),
        [("layer.writes", Severity::Info)]
    );
    assert_eq!(
        ids(&layer(&[], MUCH), 0),
        [("layer.writes", Severity::Warn)]
    );
    assert_eq!(
        ids(&layer(&["/app/webui.db"], 1000), 0),
        [
            ("layer.database", Severity::Warn),
            ("layer.writes", Severity::Info)
        ]
    );
    let clean = Facts {
        layer: Some(Layer::default()),
        ..Facts::default()
    };
    assert_eq!(ids(&clean, 0), []);
}
