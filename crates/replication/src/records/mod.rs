//! What a task and its destination store. Contains no code of its own.

pub mod checkpoint;
pub(crate) mod codec;
pub mod forms;
pub mod identity;
pub mod keys;
pub mod lease;
pub mod position;
pub mod shown_positions;
pub(crate) mod target_records;
