//! What every implementation of a port must pass: one suite for each trait of
//! [`replication::ports`]. Never used by the product itself, and never knows a client.
//!
//! Each sentence of a port's documentation is a case, or is in the head of its suite with the
//! reason why it can't be checked; `tests/sentences.rs` compares the two. A suite gets what it
//! needs from outside through a small trait that the tests of an implementation fulfil:
//! `docs/testing.md` says how. A suite that fails names the sentences that are broken.

mod cases;
pub mod catalog;
pub mod sink;
pub mod source;
pub mod store;
pub mod target;
mod target_cases;
