//! `settings`: validate, and list what is and what is not guarded.

use aidb_cli::text::plain;
use aidb_cli::ui::Style;
use aidb_cli::{Common, Ui};
use aidb_core::judge::Verdict;
use aidb_core::settings::{Environment, Settings, json_schema};
use serde_json::json;

pub fn settings(common: &Common, ui: &mut Ui) -> anyhow::Result<Verdict> {
    let environment = Environment::from_process()?;
    let settings =
        Settings::load(common.config.as_deref(), &environment)?.with_surroundings(&environment);
    if ui.is_json() {
        let guards: Vec<_> = settings
            .guards
            .iter()
            .map(|g| json!({ "name": g.name, "data": g.data, "preset": g.preset, "unit": g.unit,
                "stores": g.stores.iter().map(|s| json!({ "name": s.name, "kind": s.kind, "path": s.path })).collect::<Vec<_>>() }))
            .collect();
        ui.document(&json!({ "schema": 1, "tool": "aidb-precheck", "verdict": Verdict::Pass, "guards": guards,
            "vault": settings.vault, "state": settings.state, "not_guarded": settings.not_guarded }));
        return Ok(Verdict::Pass);
    }
    for guard in &settings.guards {
        let stores: Vec<&str> = guard.stores.iter().map(|s| s.name.as_str()).collect();
        let stores = if stores.is_empty() {
            "files only".to_owned()
        } else {
            stores.join(", ")
        };
        ui.line(format!(
            "{}  {}  ({stores})",
            guard.name,
            plain(&guard.data.to_string_lossy())
        ));
    }
    ui.line(format!(
        "vault: {}",
        plain(&settings.vault.to_string_lossy())
    ));
    print_not_guarded(&settings, ui);
    Ok(Verdict::Pass)
}

pub fn schema(ui: &mut Ui) -> anyhow::Result<Verdict> {
    ui.document(&serde_json::from_str(&json_schema())?);
    Ok(Verdict::Pass)
}

/// Names the containers with data that nobody guards, and what discovery met.
pub fn print_not_guarded(settings: &Settings, ui: &Ui) {
    for other in &settings.not_guarded {
        let folders: Vec<_> = other.folders.iter().map(|f| f.to_string_lossy()).collect();
        let line = format!(
            "not guarded: {} ({}): {}",
            other.container,
            folders.join(", "),
            other.why
        );
        ui.line(ui.paint(Style::Faint, &plain(&line)));
    }
    for problem in &settings.problems {
        let container = problem.container.as_deref().unwrap_or("a unit");
        ui.line(ui.paint(
            Style::Warn,
            &plain(&format!("{container}: {}", problem.what)),
        ));
        if let Some(hint) = &problem.hint {
            ui.line(format!("      {}", plain(hint)));
        }
    }
}
