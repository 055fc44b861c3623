//! `allow` and `accept`: a person's word against a finding, once or for good.

use std::time::Duration;

use aidb_cli::{Common, Ui};
use aidb_core::Error;
use aidb_core::check::{How, look};
use aidb_core::judge::{self, FindingId, Occasion, Severity, Verdict};
use aidb_core::look::Depth;
use aidb_core::look::observation::{Database, Place};
use aidb_core::look::seen::Seen;
use aidb_core::stack::Stack;
use jiff::Timestamp;

pub fn allow(
    common: &Common,
    guard: &str,
    finding: FindingId,
    reason: &str,
    ui: &mut Ui,
) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guard = stack.settings.select_one(guard)?.clone();
    stack.ledger()?.give_token(&guard.name, finding, reason)?;
    let done = format!(
        "allowed: the next hold of `{}` by {finding} passes, once",
        guard.name
    );
    ui.done(
        "aidb-precheck",
        &done,
        &serde_json::json!({ "allowed": { "guard": guard.name, "finding": finding } }),
    );
    aidb_cli::units::start_again(&stack, &guard, ui);
    Ok(Verdict::Pass)
}

pub fn accept(common: &Common, guard: &str, reason: &str, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let mut stack = Stack::open(common.config.as_deref())?;
    let guard = stack.settings.select_one(guard)?.clone();
    let how = How {
        occasion: Occasion::Report,
        depth: Depth::Full,
        deadline: Duration::from_secs(600),
    };
    let seen = look(&stack, &guard, how, None);
    // Only damage speaks against it: what is not there, or other than before, is what is being accepted.
    let findings = judge::guard(
        &guard,
        &seen,
        &aidb_core::memory::Memory::default(),
        Occasion::Report,
    );
    let damage = findings.iter().find(|f| {
        let could_not = f.verdict() == Verdict::Unknown;
        could_not
            || f.id == FindingId::SpaceLow
            || (f.severity == Severity::Hold && f.id != FindingId::ContractTableMissing)
    });
    if let Some(finding) = damage {
        let what = format!(
            "`{}` cannot be accepted: {} [{}]",
            guard.name, finding.what, finding.id
        );
        return Err(Error::CouldNot {
            what,
            hint: Some("a baseline is a state that can be read whole".into()),
        }
        .into());
    }
    let now = Timestamp::now();
    let absent = matches!(seen.folder, Place::Absent);
    for (i, store) in guard.stores.iter().enumerate() {
        let of_store = seen.stores.get(i).filter(|_| !absent);
        let state = of_store
            .and_then(|s| s.database.as_ref())
            .map_or_else(Seen::default, Database::seen);
        stack
            .ledger()?
            .accept(&guard.name, &store.name, state, now)?;
    }
    stack.ledger()?.note_event(&guard.name, "accept", reason)?;
    stack.ledger()?.note_guard(&guard)?;
    let done = format!(
        "accepted: the present state of `{}` is its new baseline",
        guard.name
    );
    ui.done(
        "aidb-precheck",
        &done,
        &serde_json::json!({ "accepted": { "guard": guard.name } }),
    );
    aidb_cli::units::start_again(&stack, &guard, ui);
    Ok(Verdict::Pass)
}
