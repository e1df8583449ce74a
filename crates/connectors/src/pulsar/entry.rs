//! Splits an entry of a topic into its messages. Never trusts a length in it.

use super::fault::{Fault, Spoken};
use super::message_place::MessagePlace;
use bytes::{Buf, Bytes};
use flate2::read::ZlibDecoder;
use prost::Message as _;
use pulsar::message::proto::{CompressionType, SingleMessageMetadata};
use pulsar::message::{Metadata, Payload};
use replication::ports::Record;
use std::io::Read;

/// The largest entry after decompression. A broker's limit is 5 MiB unless raised, and Milvus's own
/// is below it.
const UNPACKED_BYTES_MAX: usize = 256 << 20;

/// The messages of an entry with their places, in order.
pub(super) fn messages(
    place: MessagePlace,
    payload: Payload,
) -> Spoken<Vec<(MessagePlace, Record)>> {
    let Payload { metadata, data } = payload;
    let refused = |what: &str| Fault::Unreadable(format!("the entry {place} {what}"));
    if !metadata.encryption_keys.is_empty() {
        return Err(refused("is encrypted, which Milvus never does"));
    }
    if metadata.num_chunks_from_msg.is_some_and(|chunks| chunks > 1) {
        return Err(refused("is part of a message in chunks, which Milvus never writes"));
    }
    let data = unpack(&metadata, data).map_err(|what| refused(&what))?;
    match metadata.num_messages_in_batch {
        None => Ok(vec![(place, Record { id: place.id(None), payload: data })]),
        Some(count) => batch(place, count, data).ok_or_else(|| refused("is a damaged batch")),
    }
}

fn unpack(metadata: &Metadata, data: Vec<u8>) -> Result<Bytes, String> {
    let size = usize::try_from(metadata.uncompressed_size.unwrap_or_default()).unwrap_or_default();
    let compression = metadata.compression.unwrap_or_default();
    if compression == CompressionType::None as i32 {
        return Ok(data.into());
    }
    if size > UNPACKED_BYTES_MAX {
        return Err(format!("claims to be {size} bytes"));
    }
    let unpacked = match CompressionType::try_from(compression) {
        Ok(CompressionType::Lz4) => {
            lz4::block::decompress(&data, i32::try_from(size).ok()).map_err(|e| e.to_string())
        }
        Ok(CompressionType::Zstd) => zstd::bulk::decompress(&data, size).map_err(|e| e.to_string()),
        Ok(CompressionType::Zlib) => inflate(&data, size).map_err(|e| e.to_string()),
        _ => Err(format!("compression {compression} is not one that Milvus uses")),
    };
    let unpacked = unpacked.map_err(|what| format!("can't be decompressed: {what}"))?;
    if unpacked.len() != size {
        return Err(format!("is {} bytes instead of {size}", unpacked.len()));
    }
    Ok(unpacked.into())
}

fn inflate(data: &[u8], size: usize) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::with_capacity(size);
    ZlibDecoder::new(data).take(size as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// The messages of a batch. Each is preceded by the length of its header and the header.
fn batch(place: MessagePlace, count: i32, mut data: Bytes) -> Option<Vec<(MessagePlace, Record)>> {
    let mut messages = Vec::new();
    for index in 0..count {
        let header = usize::try_from(data.try_get_u32().ok()?).ok()?;
        let header = (header <= data.len()).then(|| data.split_to(header))?;
        let header = SingleMessageMetadata::decode(header).ok()?;
        let size = usize::try_from(header.payload_size).ok()?;
        let payload = (size <= data.len()).then(|| data.split_to(size))?;
        let place = place.at(index);
        messages.push((place, Record { id: place.id(Some(index)), payload }));
    }
    Some(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulsar::message::proto::MessageIdData;

    fn place() -> MessagePlace {
        let id = MessageIdData { ledger_id: 3, entry_id: 4, ..MessageIdData::default() };
        MessagePlace::of_entry(&id)
    }

    fn entry(metadata: Metadata, data: &[u8]) -> Payload {
        Payload { metadata, data: data.to_vec() }
    }

    #[test]
    fn a_batch_is_split_and_a_damaged_one_refused() {
        let mut data = Vec::new();
        for payload in [&b"one"[..], b"", b"three"] {
            let size = payload.len() as i32;
            let header = SingleMessageMetadata { payload_size: size, ..Default::default() };
            data.extend((header.encoded_len() as u32).to_be_bytes());
            data.extend(header.encode_to_vec());
            data.extend(payload);
        }
        let metadata = Metadata { num_messages_in_batch: Some(3), ..Default::default() };
        let split = messages(place(), entry(metadata.clone(), &data)).unwrap();
        let payloads: Vec<_> = split.iter().map(|(_, record)| &record.payload[..]).collect();
        assert_eq!(payloads, [&b"one"[..], b"", b"three"]);
        assert_eq!(split[2].0, place().at(2));
        for cut in 0..data.len() {
            messages(place(), entry(metadata.clone(), &data[..cut])).unwrap_err();
        }
    }

    #[test]
    fn an_entry_with_a_false_size_is_refused() {
        for (compression, size) in [
            (CompressionType::Zstd, 5),
            (CompressionType::Lz4, 5),
            (CompressionType::Zlib, 5),
            (CompressionType::Snappy, 5),
            (CompressionType::Zstd, u32::MAX),
        ] {
            let metadata = Metadata {
                compression: Some(compression as i32),
                uncompressed_size: Some(size),
                ..Default::default()
            };
            let fault = messages(place(), entry(metadata, b"nonsense")).unwrap_err();
            assert!(fault.to_string().contains("3:4"), "{fault}");
        }
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use bytes::BytesMut;
    use pulsar::message::Codec;
    use tokio_util::codec::Decoder as _;

    /// What a broker sends, as the connection reads it: frames, entries in them, messages in these.
    #[test]
    fn any_bytes_from_a_broker_are_messages_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let mut frames = BytesMut::from(bytes);
            while let Ok(Some(frame)) = Codec.decode(&mut frames) {
                let Some(payload) = frame.payload else { continue };
                let place = MessagePlace::FIRST.next_entry();
                if let Ok(messages) = messages(place, payload) {
                    let places = messages.iter().map(|(place, record)| (*place, &record.id));
                    for (place, id) in places {
                        assert_eq!(MessagePlace::parse(id), Some(place));
                    }
                }
            }
        });
    }

    /// An entry without a frame around it, which has a checksum.
    #[test]
    fn any_bytes_in_an_entry_are_messages_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let [kind, size, count, data @ ..] = bytes else { return };
            let metadata = Metadata {
                compression: Some(i32::from(*kind % 6)),
                uncompressed_size: Some(u32::from(*size) << (kind / 16)),
                num_messages_in_batch: (*count > 0).then_some(i32::from(*count)),
                ..Metadata::default()
            };
            let payload = Payload { metadata, data: data.to_vec() };
            let _ = messages(MessagePlace::FIRST.next_entry(), payload);
        });
    }
}
