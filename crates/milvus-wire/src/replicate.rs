//! The ReplicateMessage call: what a target pchannel's log is extended by.
//! Never sends it; encodes its parts straight into the transport's buffer.

use crate::splice::Spliced;
use crate::timestamp::Timestamp;

/// One ReplicateMessage request. Source: `milvuspb.ReplicateMessageRequest`, `proxy/impl.go`.
#[derive(Clone, Debug)]
pub struct ReplicateCall {
    /// The target's physical channel.
    pub pchannel: String,
    /// The lowest timestamp in it.
    pub begin: Timestamp,
    /// The highest timestamp in it; never zero.
    pub end: Timestamp,
    /// Never empty.
    pub messages: Vec<Spliced>,
}
