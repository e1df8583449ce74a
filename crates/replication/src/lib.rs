//! The way of a row from the source to the target; knows five traits and no client.
pub mod checkpoint;
pub mod error;
pub mod link;
pub mod observer;
pub mod path;
pub mod ports;
pub mod selection;
pub mod task;
