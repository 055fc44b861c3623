//! This tool alone. That it has a test of this kind also makes `cargo test` build it anew, for the tests across tools.

use aidb_testkit::Stack;

#[test]
fn help_ends_well_and_begins_with_what_the_tool_does() {
    let help = Stack::new(env!("CARGO_BIN_EXE_aidb-snapshot"))
        .run("aidb-snapshot --help")
        .with(0);
    insta::assert_snapshot!(help.stdout.lines().next().unwrap(), @"Keep data, prove what was kept, bring it back");
}
