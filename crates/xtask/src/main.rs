//! `cargo xtask demo`: the incident and the way out of it, on files that a real Open WebUI wrote.

mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("demo") {
        say(
            "Usage: cargo xtask demo\n\nReplays the incident, and the way out of it, in a temporary home.",
        );
        return ExitCode::from(2);
    }
    match demo::demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("\nerror: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; a closed pipe is no error.
fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
