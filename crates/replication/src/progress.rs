//! How far the rows of a task are, as its op channel sees it. Only the rows move it.

use milvus_wire::timestamp::Timestamp;

/// How far the rows of the task are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Everything up to it is on the target.
    pub(crate) done: Timestamp,
    /// No channel is read: there is nothing to wait for.
    pub(crate) idle: bool,
}
