//! `aidb-precheck`.

fn main() {}
