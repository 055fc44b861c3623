//! Is there a copy that survives the disk? Pure: what is known of the copies comes from `vault::copies`.

use jiff::Timestamp;

use super::{Finding, FindingId, Severity, Step};

/// What is known of a guard's copies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copies {
    /// When the state of the newest sound archive was captured, if there is one.
    pub archived_at: Option<Timestamp>,
    /// Whether the vault or the archive lies on another disk than the data, as far as it can be told.
    pub on_other_disk: bool,
    /// Whether proven snapshots are handed to a backup elsewhere.
    pub off_site: bool,
}

/// Returns `snapshot.no-second-copy` unless a copy lies on another disk or elsewhere.
///
/// Snapshots share their blocks with the data, so one bad sector can hit both; an archive on the same disk outlives
/// that, and not the disk. It is worth knowing at every look, and never a reason to stop.
#[must_use]
pub fn second_copy(guard: &str, copies: &Copies) -> Option<Finding> {
    if copies.on_other_disk || copies.off_site {
        return None;
    }
    let id = FindingId::SnapshotNoSecondCopy;
    let (evidence, next) = match copies.archived_at {
        Some(at) => (
            format!(
                "the archive of {} lies there too; `services.aidb.offsite`, or another disk mounted at the vault's `{guard}/archive`, ends this",
                at.strftime("%Y-%m-%d")
            ),
            Vec::new(),
        ),
        None => (
            "and no archive of its own blocks exists yet".to_owned(),
            vec![Step::new("write one", &["archive", guard])],
        ),
    };
    Some(Finding {
        evidence: Some(evidence),
        next,
        ..Finding::of_guard(id, Severity::Info, id.meaning())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_until_a_copy_lies_elsewhere() {
        let archived_at = Some(Timestamp::UNIX_EPOCH);
        for (archived_at, on_other_disk, off_site, said, with_step) in [
            (None, false, false, true, true),
            (archived_at, false, false, true, false),
            (None, true, false, false, false),
            (archived_at, false, true, false, false),
        ] {
            let copies = Copies {
                archived_at,
                on_other_disk,
                off_site,
            };
            let finding = second_copy("webui", &copies);
            assert_eq!(finding.is_some(), said, "{copies:?}");
            let steps = finding.map_or(0, |f| f.next.len());
            assert_eq!(steps == 1, with_step, "{copies:?}");
        }
    }
}
