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
}
