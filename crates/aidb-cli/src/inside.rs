//! Looking once more inside the containers' user namespace, where files of sub-uids can be read.

use aidb_core::error::told;
use aidb_core::judge::{Finding, Verdict};
use aidb_core::report::GuardReport;
use aidb_core::stack::Stack;
use aidb_core::userns::{self, UserNamespace};

use crate::Ui;

/// Runs this very command again inside if something may not be read here and could be there. It prints what it finds;
/// what it answers is returned. `None` if what was found here is all that there is to say.
#[must_use]
pub fn look_again(stack: &Stack, reports: &[GuardReport], ui: &Ui) -> Option<Verdict> {
    let mut findings = reports.iter().flat_map(|r| &r.findings);
    if !userns::could_help() || !findings.any(Finding::is_denied) {
        return None;
    }
    let again = UserNamespace::find(&stack.settings.programs, &stack.environment)
        .and_then(|namespace| namespace.run_again());
    match again {
        Ok(0) => Some(Verdict::Pass),
        Ok(1) => Some(Verdict::Hold),
        Ok(_) => Some(Verdict::Unknown),
        Err(e) => {
            ui.step(format!("not looked at inside: {}", told(&e)));
            None
        }
    }
}
