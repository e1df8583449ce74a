//! Rows of any schema: made from a seed so that they can be made again, and digested so that
//! millions can be compared in little memory. Never talks to a server.

mod digest;
mod generator;
mod random;

pub use digest::{Columns, Digest};
pub use generator::{META_FIELD, RowGenerator, RowId};
pub use random::Random;
