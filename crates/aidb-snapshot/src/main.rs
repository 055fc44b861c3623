//! `aidb-snapshot`.

fn main() {}
