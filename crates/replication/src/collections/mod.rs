//! What a task replicates: its collections, their partitions and their names.
//! Never holds code itself.

pub mod cover;
pub mod create_drop;
pub mod given_positions;
pub mod partitions;
pub mod rename;
