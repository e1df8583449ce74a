//! Where reading a channel resumes. Never says what has to be read.

use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;

/// Where reading resumes: everything of the channel with an order at or below `tick` is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The first message to read again.
    pub id: MessageId,
    /// Source tick.
    pub tick: Timestamp,
    /// What was read at `id`; `None`: it was not read yet, or an earlier version stored this.
    pub seen: Option<Seen>,
}

/// A message that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its timestamp.
    pub at: Timestamp,
    /// Whether it is a tick, and all before it is done: then reading may begin behind it as well.
    pub is_done: bool,
}

impl Position {
    /// A position that nobody has read yet.
    pub fn new(id: MessageId, tick: Timestamp) -> Self {
        Self { id, tick, seen: None }
    }

    /// The tick at `id`, if reading may begin behind it.
    pub(crate) fn done(&self) -> Option<Timestamp> {
        self.seen.filter(|seen| seen.is_done).map(|seen| seen.at)
    }
}
