//! A bar for work that lasts: on a terminal only, and never for a hook.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use aidb_core::progress::{Progress, Silent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::common::Common;

/// For so long nothing is shown: most work is over by then.
const PATIENCE: Duration = Duration::from_millis(400);

/// Returns what shows progress, if somebody sees it.
#[must_use]
pub fn shown(common: &Common) -> Box<dyn Progress> {
    // systemd gives every unit an id, also one whose output goes to a terminal.
    let is_hook =
        std::env::var_os("INVOCATION_ID").is_some_and(|_| !std::io::stdin().is_terminal());
    if common.quiet || common.json || is_hook || !std::io::stderr().is_terminal() {
        return Box::new(Silent);
    }
    Box::new(Bar::default())
}

#[derive(Default)]
struct Bar {
    shown: Mutex<Option<Shown>>,
}

struct Shown {
    began: std::time::Instant,
    what: String,
    length: u64,
    done: u64,
    bar: Option<ProgressBar>,
}

impl Bar {
    fn with(&self, act: impl FnOnce(&mut Option<Shown>)) {
        // A thread that panicked while it showed something says nothing about the work.
        let mut shown = self
            .shown
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        act(&mut shown);
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, bytes: u64) {
        self.with(|shown| {
            *shown = Some(Shown {
                began: std::time::Instant::now(),
                what: what.to_owned(),
                length: bytes,
                done: 0,
                bar: None,
            });
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|shown| {
            let Some(shown) = shown else { return };
            shown.done += bytes;
            if shown.bar.is_none() && shown.began.elapsed() >= PATIENCE {
                let bar = ProgressBar::new(shown.length).with_style(style(shown.length));
                bar.set_message(shown.what.clone());
                // The rate is that of the whole work, not of what was left when the bar appeared.
                shown.bar = Some(bar.with_elapsed(shown.began.elapsed()));
            }
            if let Some(bar) = &shown.bar {
                bar.set_position(shown.done);
            }
        });
    }

    fn end(&self) {
        self.with(|shown| {
            if let Some(bar) = shown.take().and_then(|s| s.bar) {
                bar.finish_and_clear();
            }
        });
    }
}

fn style(length: u64) -> ProgressStyle {
    let template = if length == 0 {
        "{msg:>9}  {binary_bytes}  {binary_bytes_per_sec}"
    } else {
        "{msg:>9}  [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}
