//! What a task replicates: its collections, their partitions and their names, at the pace of its
//! rows. Contains no code of its own.

pub(crate) mod channel_change;
mod create_drop;
mod flushed;
pub(crate) mod flushes;
pub mod given_positions;
mod late_drop;
mod out_of_step;
mod partitions;
mod place;
mod rename;
pub(crate) mod replicated;
mod starting;
