//! The way of a row from the source to the target; knows five traits and no client.
pub mod error;
pub mod ports;
