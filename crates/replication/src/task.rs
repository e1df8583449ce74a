//! What a task is to the data path: its selection, names, start and limits.
//! Never holds connections or secrets.

use crate::selection::{Names, Selection};
use milvus_wire::position::MessageId;
use std::time::Duration;

/// A task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Unique in the store; letters, digits, `-` and `_`.
    pub id: String,
    /// What it covers.
    pub selection: Selection,
    /// What the target calls it.
    pub names: Names,
    /// The topic of databases, indexes, load and flush: `<prefix>-replicate-msg`.
    pub op_channel: String,
    /// Where to begin on the op channel when the task has no checkpoint; `None`: now.
    pub op_position: Option<MessageId>,
    /// Creating and dropping partitions is left out; rows keep their partition if the target has
    /// one of that name, else go to the default partition.
    pub ignore_partition: bool,
    /// Users, roles and grants are replicated: by at most one task of a target.
    pub rbac: bool,
    /// What becomes of what can't be replicated as it is.
    pub policies: Policies,
    /// Bounds.
    pub limits: Limits,
}

/// What becomes of what can't be replicated as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policies {
    /// Requests.
    pub unsupported: Unsupported,
    /// Rows that come after a tick which covers them.
    pub late: LateMessages,
}

/// What becomes of rows that the source has written later than its ticks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LateMessages {
    /// The task stops before them: a person decides.
    Stop,
    /// They are replicated, and put on the list of what may differ. A source writes late when one
    /// of its proxies has stood still. What differs then is a key that was written twice in that
    /// time; all else would stand still for it.
    #[default]
    Continue,
}

/// What becomes of a request of the source that can't be replicated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// The task stops with a reason: a person decides.
    #[default]
    Stop,
    /// It is counted and put on the list of what the target lacks.
    Continue,
}

/// Named bounds of a task and its link (invariant I9).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes after which a round closes at the next possible tick.
    pub round_bytes: usize,
    /// Bytes of messages held while waiting for a tick; above it the task stops with a reason.
    pub held_bytes_max: usize,
    /// Bytes of one ReplicateMessage call, unless a single message is larger.
    pub call_bytes: usize,
    /// After an unanswered call a window stays open at least this long from the first answer on:
    /// not shorter than the producer timeout of the target's own queue.
    pub settle: Duration,
    /// How long another task waits for a lane whose owner stays away before the lane is taken from
    /// it and its stretch is fenced.
    pub lane_wait_max: Duration,
    /// How often ticks are sent and positions saved when there is nothing else to send.
    pub idle_tick: Duration,
    /// When no task has ticked a lane for this long, the link ticks it from the target's clock.
    /// `None` turns that off.
    pub keep_alive_after: Option<Duration>,
    /// The longest pause between two tries of something that failed.
    pub backoff_max: Duration,
    /// How often a target that forgets at its restarts what it has not flushed is to flush. `None`
    /// turns that off.
    pub flush_every: Option<Duration>,
    /// How long pause and stop wait for an open window to be finished.
    pub finish_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            round_bytes: 8 << 20,
            held_bytes_max: 512 << 20,
            call_bytes: 2 << 20,
            settle: Duration::from_secs(30),
            lane_wait_max: Duration::from_secs(30),
            idle_tick: Duration::from_millis(500),
            keep_alive_after: Some(Duration::from_secs(10)),
            backoff_max: Duration::from_secs(10),
            flush_every: Some(Duration::from_secs(300)),
            finish_max: Duration::from_secs(10),
        }
    }
}
