//! The offset of a message in a channel's topic, and the id that Milvus stores for it. Never asks a
//! broker.

use bytes::Bytes;
use milvus_wire::position::MessageId;
use replication::error::{Error, Result};

/// Milvus writes all messages to the first partition.
pub(super) const PARTITION: i32 = 0;

/// The offset in an id: eight bytes, little endian. `None` if the id is not one of Kafka.
pub(super) fn parse(id: &MessageId) -> Option<i64> {
    let bytes: [u8; 8] = id.0.as_ref().try_into().ok()?;
    Some(i64::from_le_bytes(bytes)).filter(|offset| *offset >= 0)
}

/// The offset of a channel's position.
pub(super) fn offset_of(channel: &str, id: &MessageId) -> Result<i64> {
    parse(id).ok_or_else(|| {
        Error::permanent(format!(
            "the position {id:?} of channel {channel} is not one of Kafka (8 bytes, little \
             endian): give a position of this source's queue"
        ))
    })
}

/// The id of an offset.
pub(super) fn id_of(offset: i64) -> MessageId {
    MessageId(Bytes::copy_from_slice(&offset.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_of_another_queue_is_refused_with_its_channel() {
        let pulsar = MessageId(Bytes::from_static(&[8, 1, 16, 2]));
        let error = offset_of("by-dev-rootcoord-dml_0", &pulsar).unwrap_err();
        assert!(error.what.contains("by-dev-rootcoord-dml_0"), "{error}");
        assert!(offset_of("c", &id_of(-1)).is_err());
    }
}
