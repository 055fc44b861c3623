//! The other process of tests that need an application.

/// The name of the role below.
pub const ROLE: &str = "application::role";

#[test]
fn role() {
    aidb_testkit::application::role();
}
