//! Telling people: a notification on the desktop, a command of theirs. The journal is the tools' own output.
//!
//! What no way could tell stays in the ledger and is told at the next look.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::alert::News;
use crate::error::{Error, Result, told};
use crate::judge::Severity;
use crate::ledger::{Alert, Ledger};
use crate::program::Program;
use crate::settings::{self, Settings};
use crate::stack::Stack;

/// How long a way may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many notifications at once are one that counts them.
const MOST_NOTIFICATIONS: usize = 3;

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What happened.
    pub news: News,
    /// To which alert.
    pub alert: Alert,
    /// The next steps as commands that work where they are printed, with their purposes.
    pub next: Vec<(String, String)>,
}

/// What became of messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether somebody was told: one way worked, or none but the journal is wanted.
    pub told: bool,
    /// The ways that failed, and why.
    pub failed: Vec<String>,
}

impl Message {
    /// Returns the message in one line.
    #[must_use]
    pub fn title(&self) -> String {
        let finding = &self.alert.finding;
        let place = match &finding.store {
            Some(store) => format!("{}/{store}", self.alert.guard),
            None => self.alert.guard.clone(),
        };
        match self.news {
            News::Opened => format!("{place}: {}", finding.what),
            News::Ended => format!("{place}: over: {}", finding.what),
            News::Past => format!("{place}: came and went: {}", finding.what),
        }
    }

    /// Returns what stands below the title.
    #[must_use]
    pub fn body(&self) -> String {
        let mut lines: Vec<String> = self.alert.finding.evidence.iter().cloned().collect();
        if self.news == News::Opened {
            lines.extend(
                self.next
                    .iter()
                    .map(|(purpose, command)| format!("{purpose}: {command}")),
            );
        }
        lines.join("\n")
    }

    fn document(&self) -> Value {
        let alert = &self.alert;
        json!({
            "event": self.news,
            "guard": alert.guard,
            "id": alert.finding.id,
            "severity": alert.finding.severity,
            "store": alert.finding.store,
            "path": alert.finding.path,
            "what": alert.finding.what,
            "evidence": alert.finding.evidence,
            "next": self.next.iter().map(|(_, command)| command).collect::<Vec<_>>(),
            "opened_at": alert.opened_at,
            "closed_at": alert.closed_at,
        })
    }
}

/// Returns the document that a command of the user's is given to read.
#[must_use]
pub fn document(messages: &[Message], host: &str) -> Value {
    json!({
        "schema": 1, "tool": "aidb-monitor", "host": host,
        "alerts": messages.iter().map(Message::document).collect::<Vec<_>>(),
    })
}

/// Tells messages by every way that the settings want.
#[must_use]
pub fn tell(stack: &Stack, messages: &[Message]) -> Outcome {
    let ways = &stack.settings.alert;
    let mut outcome = Outcome::default();
    let mut wanted = 0;
    let mut tried = |done: Option<Result<()>>, outcome: &mut Outcome| match done {
        None => {}
        Some(Ok(())) => {
            wanted += 1;
            outcome.told = true;
        }
        Some(Err(e)) => {
            wanted += 1;
            outcome.failed.push(told(&e));
        }
    };
    if let Some(command) = &ways.command {
        tried(Some(by_command(command, messages)), &mut outcome);
    }
    if ways.desktop {
        tried(on_desktop(&stack.settings, stack, messages), &mut outcome);
    }
    // Where there is neither a command nor a desktop, the journal is the way that was chosen.
    outcome.told |= wanted == 0;
    outcome
}

fn by_command(command: &[String], messages: &[Message]) -> Result<()> {
    let [program, arguments @ ..] = command else {
        return Err(Error::CouldNot {
            what: "the command for alerts is empty".into(),
            hint: None,
        });
    };
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let document = format!("{:#}\n", document(messages, &host));
    Program::new(Path::new(program), PATIENCE)
        .args(arguments)
        .input(document)
        .answer()
        .map(|_| ())
}

/// Shows notifications; `None` where there is no program for it and the settings name none: this machine has no desktop.
fn on_desktop(settings: &Settings, stack: &Stack, messages: &[Message]) -> Option<Result<()>> {
    let program = settings
        .programs
        .locate(settings::Program::NotifySend, &stack.environment)?;
    let show = |title: &str, body: &str, is_critical: bool| {
        Program::new(&program, PATIENCE)
            .args(["--app-name=aidb", "--icon=dialog-warning"])
            .args([if is_critical {
                "--urgency=critical"
            } else {
                "--urgency=normal"
            }])
            .args(["--", title])
            .args((!body.is_empty()).then_some(escaped(body)))
            .answer()
            .map(|_| ())
    };
    let is_critical =
        |m: &Message| m.news != News::Ended && m.alert.finding.severity == Severity::Hold;
    if messages.len() > MOST_NOTIFICATIONS {
        let titles: Vec<String> = messages.iter().map(Message::title).collect();
        let title = format!("aidb: {} news", messages.len());
        return Some(show(
            &title,
            &titles.join("\n"),
            messages.iter().any(is_critical),
        ));
    }
    let shown = messages
        .iter()
        .map(|m| show(&m.title(), &m.body(), is_critical(m)));
    Some(shown.collect())
}

/// The body of a notification may hold markup (Desktop Notifications Specification).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Returns what there is to tell, of all guards and units that alerts are about.
pub fn due(ledger: &Ledger, now: Timestamp, quiet: Duration) -> Result<Vec<(News, Alert)>> {
    let mut due = Vec::new();
    for guard in ledger.alerted()? {
        let alerts = ledger.alerts(&guard)?;
        due.extend(
            alerts
                .into_iter()
                .filter_map(|alert| alert.news(now, quiet).map(|news| (news, alert))),
        );
    }
    Ok(due)
}

/// Notes what became of messages: told, or to be told at the next look.
pub fn note(
    ledger: &mut Ledger,
    messages: Vec<Message>,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<()> {
    let noted = messages
        .into_iter()
        .map(
            |Message {
                 news, mut alert, ..
             }| {
                if outcome.told {
                    alert.note_told(news, now);
                } else {
                    alert.note_failed();
                }
                alert
            },
        )
        .collect();
    ledger.put_alerts(noted).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Finding, FindingId};

    fn message(news: News) -> Message {
        let finding = Finding {
            evidence: Some("14 <b>rows</b> & more".into()),
            ..Finding::of_guard(
                FindingId::StoreMissing,
                Severity::Hold,
                "`webui.db` is gone",
            )
        };
        Message {
            news,
            alert: Alert::new("web", finding, Timestamp::UNIX_EPOCH),
            next: vec![("bring it back".into(), "aidb restore web".into())],
        }
    }

    #[test]
    fn a_message_says_what_happened_and_what_to_do() {
        let opened = message(News::Opened);
        assert_eq!(opened.title(), "web: `webui.db` is gone");
        assert_eq!(
            opened.body(),
            "14 <b>rows</b> & more\nbring it back: aidb restore web"
        );
        let ended = message(News::Ended);
        assert_eq!(ended.title(), "web: over: `webui.db` is gone");
        assert_eq!(ended.body(), "14 <b>rows</b> & more");
        assert_eq!(
            escaped(&ended.body()),
            "14 &lt;b&gt;rows&lt;/b&gt; &amp; more"
        );
    }

    #[test]
    fn a_command_reads_one_document() {
        insta::assert_snapshot!(format!("{:#}", document(&[message(News::Opened)], "box")), @r#"
        {
          "schema": 1,
          "tool": "aidb-monitor",
          "host": "box",
          "alerts": [
            {
              "event": "opened",
              "guard": "web",
              "id": "store.missing",
              "severity": "hold",
              "store": null,
              "path": null,
              "what": "`webui.db` is gone",
              "evidence": "14 <b>rows</b> & more",
              "next": [
                "aidb restore web"
              ],
              "opened_at": "1970-01-01T00:00:00Z",
              "closed_at": null
            }
          ]
        }
        "#);
    }
}
