//! What rows do not depend on: the op channel, indexes, load, properties, aliases, roles.
//! Never holds code itself.

pub mod aliases;
pub mod follow_aliases;
pub mod follow_roles;
pub mod follower;
pub mod op_channel;
pub mod rights;
pub mod serving_state;
