//! The first steps of the way of a row: read and reorder, merge, route. Contains no code of its
//! own.

pub(crate) mod merge;
pub(crate) mod read;
mod reorder;
pub(crate) mod resumed;
pub(crate) mod roster;
pub(crate) mod route;
