//! What rows do not depend on: the op channel, and indexes, loads, properties, aliases and roles as
//! the source's catalog has them. Contains no code of its own.

mod aliases;
mod asking;
pub(crate) mod follow_aliases;
mod follow_roles;
mod follow_serving;
mod follower;
pub(crate) mod op_channel;
mod rights;
mod schedule;
mod serving_state;
