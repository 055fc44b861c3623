//! What the tools share: flags, rendering, exit statuses. The only place that prints.

pub mod common;
pub mod curve;
pub mod generate;
pub mod hooks;
pub mod inside;
pub mod journal;
pub mod progress;
pub mod render;
pub mod snapshots;
pub mod table;
pub mod text;
pub mod ui;
pub mod units;

pub use common::{Color, Common};
pub use generate::generate;
pub use ui::{Ui, tool};
