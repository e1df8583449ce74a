//! Steps 1 to 4 of the way of a row: read, reorder, merge, route.
//! Never holds code itself.

pub mod merge;
pub mod read;
pub mod reorder;
pub mod roster;
pub mod route;
