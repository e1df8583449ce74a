//! The project's own commands, one per file.
fn main() {}
