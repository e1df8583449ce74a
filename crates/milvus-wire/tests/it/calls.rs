//! Tests the ReplicateMessage call and the tick: prost decodes them to the same values. Never
//! checks them by our own decoder alone.

use bytes::Bytes;
use milvus_wire::message::{Message as Read, decode};
use milvus_wire::proto::common::{MsgBase, MsgType, ReplicateInfo};
use milvus_wire::proto::milvus::ReplicateMessageRequest;
use milvus_wire::proto::msg::{MsgPosition, TimeTickMsg};
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::splice::Spliced;
use milvus_wire::timestamp::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

fn expected(call: &ReplicateCall) -> ReplicateMessageRequest {
    let replicate_info = Some(ReplicateInfo { is_replicate: true, ..Default::default() });
    let position = |timestamp| MsgPosition {
        channel_name: call.pchannel.clone(),
        timestamp,
        ..Default::default()
    };
    ReplicateMessageRequest {
        base: Some(MsgBase { replicate_info, ..Default::default() }),
        channel_name: call.pchannel.clone(),
        begin_ts: call.begin.0,
        end_ts: call.end.0,
        msgs: call.messages.iter().map(|message| message.to_bytes().to_vec()).collect(),
        start_positions: vec![position(call.begin.0)],
        end_positions: vec![position(call.end.0)],
    }
}

proptest! {
    #[test]
    fn a_call_is_what_prost_would_have_written(
        pchannel in ".{0,20}",
        (begin, end) in any::<(u64, u64)>(),
        messages in vec(vec(part(), 0..4), 0..5),
    ) {
        let messages = messages.into_iter().map(|parts| Spliced {
            parts: parts.into_iter().map(Bytes::from).collect(),
        });
        let (begin, end) = (Timestamp(begin), Timestamp(end));
        let call = ReplicateCall { pchannel, begin, end, messages: messages.collect() };
        let buf = call.pieces().concat();
        let expected = expected(&call);
        prop_assert_eq!(buf.len(), call.encoded_len());
        prop_assert_eq!(&ReplicateMessageRequest::decode(buf.as_slice()).unwrap(), &expected);
        prop_assert_eq!(buf, expected.encode_to_vec());
    }
}

/// Small ones, which are put together, and some that go as they are.
fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..300), (16_000..17_000_usize).prop_map(|size| vec![7; size])]
}

#[test]
fn rows_are_not_copied() {
    let rows = Bytes::from(vec![1; 100_000]);
    let messages = vec![Spliced { parts: vec![Bytes::from_static(b"head"), rows.clone()] }];
    let (begin, end) = (Timestamp(1), Timestamp(1));
    let call = ReplicateCall { pchannel: "c".into(), begin, end, messages };
    assert!(call.pieces().iter().any(|piece| piece.as_ptr() == rows.as_ptr()));
}

#[test]
fn a_tick_is_read_back() {
    let raw = tick(Timestamp(77)).to_bytes();
    assert!(matches!(decode(raw.clone()), Ok(Read::Tick(Timestamp(77)))));
    let base = TimeTickMsg::decode(raw).unwrap().base.unwrap();
    assert_eq!((base.msg_type, base.msg_id, base.source_id), (MsgType::TimeTick.into(), 0, -1));
}
