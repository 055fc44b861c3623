//! `aidb`.

fn main() {}
