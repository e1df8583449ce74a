//! A log as the destination. Contains no code of its own.

pub mod append;
pub(crate) mod deliver;
