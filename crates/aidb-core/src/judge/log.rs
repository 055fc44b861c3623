//! Does the write-ahead log still hold the commits that were known to be in it?
//!
//! Within one generation, which the salts in its header tell, a log only grows: a checkpoint leaves it as it is, and a log
//! that is started anew has other salts. So commits that were known and are not there were taken away.

use super::Case;
use super::words::ways_out;
use crate::finding::{Finding, FindingId, Severity};
use crate::look::observation::Database;
use crate::look::seen::LogMark;
use crate::memory::Baseline;

/// Judges the log against the baseline. Returns whether it is gone, and with it what the main file never had.
pub(super) fn judge(
    case: &Case,
    database: &Database,
    baseline: &Baseline,
    findings: &mut Vec<Finding>,
) -> bool {
    let Some(before) = &baseline.last.log else {
        return false;
    };
    let known = Known {
        case,
        database,
        baseline,
        before,
    };
    if let Some(finding) = known.cut() {
        // One cause is one finding: what the log itself told of it is what this one begins with.
        let told = findings
            .iter()
            .position(|f| f.id == finding.id && f.store == finding.store)
            .map(|at| findings.remove(at));
        let evidence = [told.and_then(|f| f.evidence), finding.evidence];
        let evidence: Vec<String> = evidence.into_iter().flatten().collect();
        findings.push(Finding {
            evidence: Some(evidence.join("; ")),
            ..finding
        });
        return false;
    }
    let gone = known.gone();
    let is_gone = gone.is_some();
    findings.extend(gone);
    is_gone
}

const CUT: &str = "the write-ahead log is shorter than it was: commits are lost";
const MAY_BE_CUT: &str = "the write-ahead log is shorter than it was: commits may be lost";

/// A log that was known, and what is there now.
struct Known<'a> {
    case: &'a Case<'a>,
    database: &'a Database,
    baseline: &'a Baseline,
    before: &'a LogMark,
}

impl Known<'_> {
    /// A log of the same generation that is shorter, or one of which nothing can be read any more.
    fn cut(&self) -> Option<Finding> {
        let (now, before) = (&self.database.log, self.before);
        let is_same = now.salts == before.salts;
        let is_unreadable = now.committed_frames == 0 && now.torn.is_some();
        let is_shorter = now.committed_frames < before.committed_frames;
        if !is_shorter || !(is_same || is_unreadable) {
            return None;
        }
        let (severity, what) = match (now.committed_frames, before.waits) {
            // A part of a log that was taken over already would be laid over later pages: it is always a loss.
            (1.., _) => (self.severity(), CUT),
            (0, Some(false)) => return None,
            // Nothing of it would not: then it matters whether the main file has the commits.
            (0, _) if self.main_is_unwritten() => (self.severity(), CUT),
            (0, _) if is_same => (Severity::Warn, MAY_BE_CUT),
            (0, _) => return None,
        };
        let evidence = format!(
            "{} of the {} committed pages that it held on {} can be read",
            now.committed_frames,
            before.committed_frames,
            self.when()
        );
        Some(self.finding(FindingId::SqliteWalTorn, severity, what, evidence))
    }

    /// A log that held what the main file did not have, and that is gone, while the main file was not written to since:
    /// no checkpoint took it over. Its bytes must agree with its time, which an archive may have set.
    fn gone(&self) -> Option<Finding> {
        let (now, before) = (&self.database.log, self.before);
        let is_there =
            now.salts == before.salts || (now.committed_frames == 0 && now.torn.is_some());
        if is_there || before.waits != Some(true) || !self.main_is_unwritten() {
            return None;
        }
        let what =
            "the write-ahead log is gone, and the commits in it never came into the database";
        let evidence = format!(
            "on {} it held {} committed pages; the database was not written to since",
            self.when(),
            before.committed_frames
        );
        Some(self.finding(FindingId::SqliteWalMissing, self.severity(), what, evidence))
    }

    /// After a crash of the machine a young log may be lost by itself; without one somebody took it away, and what the
    /// application writes next makes it useless for good.
    fn severity(&self) -> Severity {
        let memory = self.case.memory;
        let went_down = match (&self.before.boot, &memory.boot) {
            (Some(then), Some(now)) => then != now,
            _ => memory
                .booted_at
                .is_none_or(|boot| boot > self.baseline.seen_at),
        };
        if went_down {
            Severity::Warn
        } else {
            super::words::damaged(self.case.guard)
        }
    }

    fn main_is_unwritten(&self) -> bool {
        let (now, before) = (self.database, &self.baseline.last);
        let times = now.written_ns.zip(before.written_ns);
        let bytes = now.main_blake3.as_ref().zip(before.main_blake3.as_ref());
        times.is_some_and(|(now, before)| unwritten(now, before))
            && bytes.is_some_and(|(now, before)| now == before)
    }

    fn when(&self) -> String {
        let at = self.baseline.seen_at;
        at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    fn finding(&self, id: FindingId, severity: Severity, what: &str, evidence: String) -> Finding {
        Finding {
            evidence: Some(evidence),
            next: ways_out(self.case, id, severity),
            ..self.case.finding(id, severity, what.to_owned())
        }
    }
}

/// Returns whether a file has the time of its last writing still; archives keep whole seconds only.
fn unwritten(now_ns: i64, before_ns: i64) -> bool {
    const SECOND: i64 = 1_000_000_000;
    now_ns == before_ns || now_ns == before_ns - before_ns.rem_euclid(SECOND)
}
