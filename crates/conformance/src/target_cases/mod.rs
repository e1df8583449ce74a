//! The cases of the suite of targets, by what they are about. Never names the sentence that a case
//! checks: the suite does.

pub(crate) mod answers;
pub(crate) mod collections;
pub(crate) mod names;
mod requests;
pub(crate) mod service;
pub(crate) mod world;
