//! `aidb-monitor`.

fn main() {}
