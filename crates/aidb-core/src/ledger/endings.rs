//! How a container's run ended, as far as its hooks know.

use crate::incarnation::Ending;

/// What systemd tells a stop hook in its environment (systemd.exec(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// `SERVICE_RESULT`.
    pub result: Option<String>,
    /// `EXIT_CODE`: `exited`, `killed`, …; absent while the main process lives, and where it never was.
    pub exit_code: Option<String>,
    /// `EXIT_STATUS`: a number, or the name of a signal.
    pub exit_status: Option<String>,
}

impl Left {
    /// Returns why the run ends; `before` is what its hook said already, while the application still ran.
    ///
    /// A container that is stopped says so first: the hook runs while it is up. A status of 137 counts as success in the
    /// units (a stop that is not heard ends with a kill), but without a stop before it, somebody was killed.
    #[must_use]
    pub fn ending(&self, before: Option<Ending>) -> Ending {
        let is_success = self.result.as_deref().is_none_or(|r| r == "success");
        match (before, &self.exit_code) {
            (Some(Ending::Stopped), _) => Ending::Stopped,
            (_, None) if is_success => Ending::Stopped,
            (_, None) => Ending::NeverRan,
            (_, Some(_)) if is_success && self.status() != Some(137) => Ending::Stopped,
            (_, Some(_)) => Ending::Failed,
        }
    }

    /// Returns the application's exit status, if it left one.
    #[must_use]
    pub fn status(&self) -> Option<i32> {
        self.exit_status.as_deref()?.parse().ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn left(result: &str, status: Option<&str>) -> Left {
        Left {
            result: Some(result.into()),
            exit_code: status.map(|_| "exited".into()),
            exit_status: status.map(Into::into),
        }
    }

    /// What hooks were seen to be told (facts of systemd 257 with Podman's quadlets).
    #[test]
    fn the_ending_is_read_from_what_systemd_tells() {
        use super::Ending::{Failed, NeverRan, Stopped};
        for (result, status, before, ending) in [
            // The container is up, and systemd stops it; then it is at rest, whatever status it left.
            ("success", None, None, Stopped),
            ("success", Some("143"), Some(Stopped), Stopped),
            ("success", Some("137"), Some(Stopped), Stopped),
            ("timeout", Some("137"), Some(Stopped), Stopped),
            // It ended by itself.
            ("success", Some("0"), None, Stopped),
            ("exit-code", Some("1"), None, Failed),
            ("success", Some("137"), None, Failed),
            ("oom-kill", Some("KILL"), None, Failed),
            ("signal", Some("KILL"), None, Failed),
            // The start was held, or failed before it.
            ("exit-code", None, None, NeverRan),
            ("signal", None, None, NeverRan),
        ] {
            assert_eq!(
                left(result, status).ending(before),
                ending,
                "{result} {status:?} {before:?}"
            );
        }
        assert_eq!(left("signal", Some("KILL")).status(), None);
    }
}
