//! The ReplicateMessage call, which appends messages to the log of a target's pchannel. Never sends
//! it, and never copies its rows.

use crate::proto::common::{MsgBase, MsgType, ReplicateInfo};
use crate::proto::milvus::ReplicateMessageRequest;
use crate::proto::msg::{MsgPosition, TimeTickMsg};
use crate::splice::Spliced;
use crate::timestamp::Timestamp;
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

/// `ReplicateMessageRequest.Msgs`.
const MSGS: u32 = 5;

/// Each piece costs a frame of the transport: a smaller piece is cheaper to copy.
const COPIED_BELOW: usize = 16 << 10;

/// The source id of messages that no node of a Milvus cluster has made. Message ids are unique per
/// source, and the Go tool marks its ticks the same way.
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
    /// How many bytes its [`pieces`](Self::pieces) have together.
    pub fn encoded_len(&self) -> usize {
        let messages: usize = self.messages.iter().map(|m| message_len(m.len())).sum();
        self.head().encoded_len() + messages + self.positions().encoded_len()
    }

    /// A `milvuspb.ReplicateMessageRequest` in pieces, in order. The pieces with rows are those
    /// that came from the queue, not copies; small pieces are joined.
    pub fn pieces(&self) -> Vec<Bytes> {
        let mut pieces = Vec::with_capacity(2 * self.messages.len() + 1);
        let mut small = BytesMut::new();
        // The buffer grows as needed, so writing can't fail, unlike with `Message::encode`.
        self.head().encode_raw(&mut small);
        for message in &self.messages {
            encode_key(MSGS, WireType::LengthDelimited, &mut small);
            encode_varint(message.len() as u64, &mut small);
            for part in &message.parts {
                if part.len() < COPIED_BELOW {
                    small.put_slice(part);
                } else {
                    pieces.push(small.split().freeze());
                    pieces.push(part.clone());
                }
            }
        }
        self.positions().encode_raw(&mut small);
        pieces.push(small.freeze());
        pieces
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
