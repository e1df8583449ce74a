//! What a task and its target store, and where.
//! Never holds code itself.

pub mod checkpoint;
pub mod codec;
pub mod keys;
pub mod lease;
pub mod position;
pub mod shown_positions;
