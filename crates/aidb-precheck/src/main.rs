//! `aidb-precheck`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(status) = aidb_core::look::sqlite::child_main() {
        return status;
    }
    ExitCode::SUCCESS
}
