//! Decodes calls as they come from the connection: the rows stay in the buffers of the transport
//! and are skipped, not copied. Never decodes a field that is not used.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use prost::Message;
use std::collections::VecDeque;
use tonic::body::Body;

/// A flag for compression and the length.
const PREFIX_BYTES: usize = 5;

/// What a ReplicateMessage call holds, as far as it is counted. Source:
/// `milvuspb.ReplicateMessageRequest`; the messages are bytes there, which on the wire is the same
/// as messages.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Replicate {
    #[prost(string, tag = "2")]
    pub(super) pchannel: String,
    #[prost(uint64, tag = "3")]
    pub(super) begin: u64,
    #[prost(uint64, tag = "4")]
    pub(super) end: u64,
    #[prost(message, repeated, tag = "5")]
    pub(super) messages: Vec<Head>,
}

/// The head of any message of a physical channel. Source: `msgpb.InsertRequest`, `DeleteRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Head {
    #[prost(message, optional, tag = "1")]
    pub(super) base: Option<Base>,
    #[prost(string, tag = "2")]
    pub(super) shard: String,
    #[prost(int64, tag = "7")]
    pub(super) collection: i64,
    #[prost(uint64, repeated, tag = "10")]
    pub(super) timestamps: Vec<u64>,
    /// The row ids of an insert; of a delete one number, that of its rows.
    #[prost(int64, repeated, tag = "11")]
    pub(super) ids_or_deleted: Vec<i64>,
    #[prost(uint64, tag = "14")]
    pub(super) inserted: u64,
}

/// `commonpb.MsgBase`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Base {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(int64, tag = "2")]
    pub(super) id: i64,
    #[prost(uint64, tag = "3")]
    pub(super) timestamp: u64,
}

/// The body of one call, in the pieces in which it came.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}

/// The message of a call with one message, and its bytes.
pub(super) async fn receive<M: Message + Default>(
    mut body: Body,
) -> Result<(M, u64), tonic::Status> {
    let mut whole = Pieces::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && !data.is_empty()
        {
            whole.bytes += data.len();
            whole.pieces.push_back(data);
        }
    }
    let odd = |what: &str| tonic::Status::invalid_argument(what);
    if whole.remaining() < PREFIX_BYTES {
        return Err(odd("a call without a message"));
    }
    if whole.get_u8() != 0 {
        return Err(odd("a compressed message"));
    }
    if whole.get_u32() as usize != whole.remaining() {
        return Err(odd("not exactly one message"));
    }
    let bytes = whole.remaining() as u64;
    let message = M::decode(whole);
    let message = message.map_err(|error| tonic::Status::invalid_argument(error.to_string()))?;
    Ok((message, bytes))
}

/// An answer with one message.
pub(super) fn answer(message: &impl Message) -> http::Response<Body> {
    let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    body.put_u8(0);
    body.put_u32(message.encoded_len() as u32);
    // The buffer grows, so there is always room.
    let _ = message.encode(&mut body);
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let body = Full::new(body.freeze()).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = http::Response::new(Body::new(body));
    let kind = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use milvus_wire::proto::milvus::ReplicateMessageRequest;
    use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};

    #[test]
    fn heads_are_read_across_pieces_of_any_size() {
        let insert = InsertRequest {
            shard_name: "p_1v0".into(),
            timestamps: vec![7, 7],
            row_i_ds: vec![1, 2],
            num_rows: 2,
            ..Default::default()
        };
        let delete = DeleteRequest { timestamps: vec![8], num_rows: 1, ..Default::default() };
        let call = ReplicateMessageRequest {
            channel_name: "p".into(),
            msgs: vec![insert.encode_to_vec(), delete.encode_to_vec()],
            ..Default::default()
        };
        let encoded = Bytes::from(call.encode_to_vec());
        for size in 1..encoded.len() {
            let mut whole = Pieces { bytes: encoded.len(), ..Default::default() };
            let mut rest = encoded.clone();
            while !rest.is_empty() {
                whole.pieces.push_back(rest.split_to(size.min(rest.len())));
            }
            let read = Replicate::decode(whole).unwrap();
            assert_eq!(read.pchannel, "p");
            assert_eq!((read.messages[0].inserted, read.messages[0].shard.as_str()), (2, "p_1v0"));
            assert_eq!(read.messages[1].ids_or_deleted, [1]);
            assert_eq!(read.messages[1].timestamps, [8]);
        }
    }
}
