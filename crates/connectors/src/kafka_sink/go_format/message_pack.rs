//! The messages of one channel that go into one record, and the record's value: a text in JSON that
//! is JSON itself. Never looks into a message.

use base64_simd::STANDARD;
use bytes::Bytes;
use milvus_wire::position::MessageId;
use milvus_wire::replicate::tick;
use milvus_wire::splice::Spliced;
use milvus_wire::timestamp::Timestamp;
use replication::message::Entry;
use std::cmp::Ordering;

/// The bytes of a value besides names and messages, rounded up.
pub(super) const ENVELOPE_BYTES: usize = 512;

/// What a message costs besides its base64: quotes and a comma, escaped.
const MESSAGE_BYTES: usize = 5;

/// A message's place in the order of its channel, and its id in the queue.
pub(super) type InChannel = (u64, MessageId);

/// Messages of one channel for one record.
#[derive(Default)]
pub(super) struct MessagePack {
    messages: Vec<Spliced>,
    /// The messages as base64.
    bytes: usize,
    begin: Timestamp,
    end: Timestamp,
    /// The message that comes first in the channel.
    pub(super) first: Option<InChannel>,
    /// The message that comes last in the channel.
    pub(super) last: Option<InChannel>,
}

impl MessagePack {
    /// Whether a value of `bytes_max` has no room for this message too.
    pub(super) fn is_full_for(&self, message: &Spliced, bytes_max: usize) -> bool {
        self.bytes + encoded_len(message) > bytes_max.saturating_sub(ENVELOPE_BYTES)
    }

    /// Adds a message of the channel.
    pub(super) fn add(&mut self, message: Spliced, at: Timestamp, entry: &Entry) {
        if self.messages.is_empty() {
            self.begin = at;
        }
        self.bytes += encoded_len(&message);
        self.messages.push(message);
        // A message that came late is below the one before it.
        self.begin = self.begin.min(at);
        self.end = self.end.max(at);
        // A message that was made up for the sink is not in the channel.
        if entry.id.0.is_empty() {
            return;
        }
        // The order here is not that of the channel either: the delete of an upsert comes first.
        let is_outside = |known: &Option<InChannel>, side| {
            known.as_ref().is_none_or(|(seq, _)| entry.seq.cmp(seq) == side)
        };
        if is_outside(&self.first, Ordering::Less) {
            self.first = Some((entry.seq, entry.id.clone()));
        }
        if is_outside(&self.last, Ordering::Greater) {
            self.last = Some((entry.seq, entry.id.clone()));
        }
    }

    /// Adds a tick as the last message.
    pub(super) fn end_with_tick(&mut self, at: Timestamp) {
        let tick = tick(at);
        self.bytes += encoded_len(&tick);
        if self.messages.is_empty() {
            self.begin = at;
        }
        self.end = at;
        self.messages.push(tick);
    }

    /// The value of the record. It is written into one buffer: a text in it is JSON itself, so its
    /// quotes are escaped.
    pub(super) fn value(&self, channel: &str) -> Vec<u8> {
        let name = nested(channel);
        let capacity = self.bytes + ENVELOPE_BYTES + 3 * name.len();
        let mut out = Vec::with_capacity(capacity);
        out.extend_from_slice(
            br#"{"data":"{\"Base\":{\"replicateInfo\":{\"isReplicate\":true}},\"Database\":\"\","#,
        );
        put(&mut out, &[r#"\"ChannelName\":"#, &name, r#",\"BeginTs\":"#]);
        put(&mut out, &[&self.begin.0.to_string(), r#",\"EndTs\":"#, &self.end.0.to_string()]);
        put(&mut out, &[r#",\"MsgsBytes\":["#]);
        for (place, message) in self.messages.iter().enumerate() {
            put(&mut out, &[if place == 0 { r#"\""# } else { r#",\""# }]);
            put_base64(&mut out, &message.parts);
            put(&mut out, &[r#"\""#]);
        }
        put(&mut out, &["]"]);
        for (key, at, known) in [
            (r#",\"StartPositions\":[{\"channel_name\":"#, self.begin, &self.first),
            (r#",\"EndPositions\":[{\"channel_name\":"#, self.end, &self.last),
        ] {
            put(&mut out, &[key, &name]);
            if let Some((_, id)) = known {
                put(&mut out, &[r#",\"msgID\":\""#, &STANDARD.encode_to_string(&id.0), r#"\""#]);
            }
            put(&mut out, &[r#",\"timestamp\":"#, &at.0.to_string(), "}]"]);
        }
        put(&mut out, &[r#",\"TargetMsgPosition\":\"\"}","info":"replicate message"}"#]);
        out
    }
}

fn put(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// A text inside of JSON that is itself a text in JSON, without the outer quotes.
fn nested(text: &str) -> String {
    let twice = serde_json::json!(serde_json::json!(text).to_string()).to_string();
    twice[1..twice.len() - 1].to_owned()
}

/// The bytes that a message takes in a value.
fn encoded_len(message: &Spliced) -> usize {
    message.len().div_ceil(3) * 4 + MESSAGE_BYTES
}

/// Writes the base64 of parts as if they were one. At most two bytes of a part wait for the next.
fn put_base64(out: &mut Vec<u8>, parts: &[Bytes]) {
    let mut waiting = [0; 3];
    let mut count = 0;
    for part in parts {
        let mut rest: &[u8] = part;
        while let (1.., Some((next, behind))) = (count, rest.split_first()) {
            waiting[count] = *next;
            rest = behind;
            count = (count + 1) % 3;
            if count == 0 {
                STANDARD.encode_append(waiting, out);
            }
        }
        let (whole, behind) = rest.split_at(rest.len() - rest.len() % 3);
        STANDARD.encode_append(whole, out);
        // If there is a rest, no bytes were waiting.
        for next in behind {
            waiting[count] = *next;
            count += 1;
        }
    }
    STANDARD.encode_append(&waiting[..count], out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;

    #[test]
    fn parts_are_encoded_as_if_they_were_one() {
        let bytes: Vec<u8> = (0..=255).collect();
        for cuts in [vec![], vec![1], vec![2, 3], vec![1, 2, 3, 4], vec![7, 7, 9, 200], vec![255]] {
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts.iter().copied().chain([256]) {
                parts.push(Bytes::copy_from_slice(&bytes[from..cut]));
                from = cut;
            }
            let mut out = Vec::new();
            put_base64(&mut out, &parts);
            assert_eq!(String::from_utf8(out).unwrap(), BASE64.encode(&bytes), "{cuts:?}");
        }
    }
}
