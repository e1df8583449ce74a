//! The ReplicateMessage call: what a target pchannel's log is extended by.
//! Never sends it; encodes its parts straight into the transport's buffer.

use crate::proto::common::{MsgBase, MsgType, ReplicateInfo};
use crate::proto::milvus::ReplicateMessageRequest;
use crate::proto::msg::{MsgPosition, TimeTickMsg};
use crate::splice::Spliced;
use crate::timestamp::Timestamp;
use bytes::BufMut;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// `ReplicateMessageRequest.Msgs`.
const MSGS: u32 = 5;

/// The source of what no node of a Milvus cluster has made; message ids are per source cluster,
/// and the Go tool signs its ticks the same way.
pub(crate) const NO_NODE: i64 = -1;

/// A tick: tells the target's channel that no later message on it has a timestamp at or below
/// `at`.
pub fn tick(at: Timestamp) -> Spliced {
    let base = MsgBase {
        msg_type: MsgType::TimeTick.into(),
        timestamp: at.0,
        source_id: NO_NODE,
        ..Default::default()
    };
    Spliced::whole(&TimeTickMsg { base: Some(base) })
}

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

impl ReplicateCall {
    /// What the call weighs against the limits of the target and its broker; the same as
    /// [`encoded_len`](Self::encoded_len).
    pub fn bytes(&self) -> usize {
        self.encoded_len()
    }

    /// How many bytes [`encode`](Self::encode) writes.
    pub fn encoded_len(&self) -> usize {
        let messages: usize = self.messages.iter().map(|m| message_len(m.len())).sum();
        self.head().encoded_len() + messages + self.positions().encoded_len()
    }

    /// Writes a `milvuspb.ReplicateMessageRequest`, each message straight from its parts.
    pub fn encode(&self, buf: &mut impl BufMut) {
        // A vector under construction grows on its own; a transport's buffer was asked for
        // `encoded_len` bytes. Either way writing can't fail, unlike `Message::encode`.
        self.head().encode_raw(buf);
        for message in &self.messages {
            encode_key(MSGS, WireType::LengthDelimited, buf);
            encode_varint(message.len() as u64, buf);
            for part in &message.parts {
                buf.put_slice(part);
            }
        }
        self.positions().encode_raw(buf);
    }

    /// The fields before the messages.
    fn head(&self) -> ReplicateMessageRequest {
        let replicate_info = Some(ReplicateInfo { is_replicate: true, ..Default::default() });
        ReplicateMessageRequest {
            base: Some(MsgBase { replicate_info, ..Default::default() }),
            channel_name: self.pchannel.clone(),
            begin_ts: self.begin.0,
            end_ts: self.end.0,
            ..Default::default()
        }
    }

    /// The fields behind the messages.
    fn positions(&self) -> ReplicateMessageRequest {
        let position = |at: Timestamp| MsgPosition {
            channel_name: self.pchannel.clone(),
            timestamp: at.0,
            ..Default::default()
        };
        ReplicateMessageRequest {
            start_positions: vec![position(self.begin)],
            end_positions: vec![position(self.end)],
            ..Default::default()
        }
    }
}

fn message_len(len: usize) -> usize {
    key_len(MSGS) + encoded_len_varint(len as u64) + len
}
