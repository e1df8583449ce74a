//! The position of a message in a queue, and its text form in the HTTP API. Never interprets the
//! id: only the queue's own connector knows its order.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use milvus::proto::msg::MsgPosition;
use prost::Message;
use std::fmt;

/// The queue's own id of a message, as Milvus stores it: for Kafka the offset, 8 bytes little
/// endian; for Pulsar a serialized `MessageIdData`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct MessageId(pub Bytes);

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

/// The text form of a position: base64 of `msgpb.MsgPosition`.
pub fn encode_position(channel: &str, id: &MessageId) -> String {
    let position = MsgPosition {
        channel_name: channel.to_owned(),
        msg_id: id.0.to_vec(),
        ..Default::default()
    };
    STANDARD.encode(position.encode_to_vec())
}

/// Reads the text form of a position; the error says what is wrong with it.
pub fn decode_position(text: &str) -> Result<MsgPosition, String> {
    let bytes = STANDARD.decode(text).map_err(|e| format!("not base64: {e}"))?;
    MsgPosition::decode(bytes.as_slice()).map_err(|e| format!("not a MsgPosition: {e}"))
}

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn any_id_is_the_same_in_the_text_form_and_any_text_is_one_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let id = MessageId(Bytes::copy_from_slice(bytes));
            let again = decode_position(&encode_position("channel", &id)).unwrap();
            assert_eq!((again.channel_name.as_str(), again.msg_id.as_slice()), ("channel", bytes));
            let _ = std::str::from_utf8(bytes).map(decode_position);
        });
    }
}
