//! `aidb-init-verify`.

fn main() {}
