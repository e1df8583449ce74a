//! A log as the destination.
//! Never holds code itself.

pub mod append;
pub mod deliver;
