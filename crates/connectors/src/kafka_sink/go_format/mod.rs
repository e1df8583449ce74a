//! The Go tool's format: a window of one channel is a record whose value holds Milvus's own
//! messages. Never looks into a row: its bytes go from the queue into base64.

#[cfg(test)]
mod recorded_requests;
pub(super) mod request;

use crate::kafka_sink::progress::Progress;
use crate::kafka_sink::record::{Partition, Record};
use base64_simd::STANDARD;
use bytes::Bytes;
use milvus_wire::message::Message;
use milvus_wire::position::MessageId;
use milvus_wire::replicate::tick;
use milvus_wire::splice::{Spliced, splice, splice_ddl};
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::ports::Change;
use replication::route::Routed;
use replication::window::Entry;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What a value has besides names and messages, rounded up.
const ENVELOPE_BYTES: usize = 512;

/// Makes records of changes.
pub(super) struct Replicate {
    topic: Arc<str>,
    record_bytes: usize,
    progress: Progress,
    /// What is not in a record yet, by channel.
    pending: BTreeMap<Arc<str>, Pending>,
    /// Channels with rows in records, but no tick behind them.
    owed: BTreeSet<Arc<str>>,
    /// The last message of each channel that is in a record.
    reached: HashMap<Arc<str>, Mark>,
}

/// Messages of a channel for one record.
#[derive(Default)]
struct Pending {
    messages: Vec<Spliced>,
    /// As base64.
    bytes: usize,
    begin: Timestamp,
    end: Timestamp,
    first: Option<Mark>,
    last: Option<Mark>,
}

/// A message's place in its channel, and the queue's id for it.
type Mark = (u64, MessageId);

impl Replicate {
    pub(super) fn new(topic: Arc<str>, record_bytes: usize, progress_every: Duration) -> Self {
        Self {
            topic,
            record_bytes,
            progress: Progress::new(progress_every),
            pending: BTreeMap::new(),
            owed: BTreeSet::new(),
            reached: HashMap::new(),
        }
    }

    /// Takes a change; puts out what is complete.
    pub(super) fn change(&mut self, change: &Change<'_>, out: &mut Vec<Record>) -> Result<()> {
        match change {
            Change::Message(routed) => return self.message(routed, out),
            Change::Request(ddl, at) => {
                self.end(out);
                let (kind, parameters) = request::of(ddl, *at);
                let value = serde_json::json!({"data": parameters.to_string(), "info": kind});
                out.push(Record {
                    topic: self.topic.clone(),
                    partition: Partition::First,
                    key: None,
                    value: Some(value.to_string().into_bytes()),
                    origin: None,
                    apart: true,
                });
            }
            Change::Tick { channels, at } => {
                for channel in *channels {
                    self.tick(channel, *at, out);
                }
            }
        }
        Ok(())
    }

    /// Puts out what no tick has covered yet.
    pub(super) fn end(&mut self, out: &mut Vec<Record>) {
        for (channel, pending) in std::mem::take(&mut self.pending) {
            out.push(self.record(&channel, pending));
            self.owed.insert(channel);
        }
    }

    fn message(&mut self, routed: &Routed, out: &mut Vec<Record>) -> Result<()> {
        let patch = routed.patch(None);
        let entry = &routed.read.entry;
        let (message, at) = match &entry.message {
            Message::Row(row) => (splice(row, &patch).map_err(unreadable)?, row.timestamp),
            Message::DropCollection(ddl) | Message::DropPartition(ddl) => {
                (splice_ddl(ddl, &patch), ddl.timestamp)
            }
            _ => return Ok(()),
        };
        let channel = &routed.read.channel;
        let bytes = base64_len(message.len()) + 5;
        let room = self.record_bytes.saturating_sub(ENVELOPE_BYTES);
        let full = self.pending.get(channel).is_some_and(|pending| pending.bytes + bytes > room);
        if full && let Some(pending) = self.pending.remove(channel) {
            out.push(self.record(channel, pending));
            self.owed.insert(channel.clone());
        }
        let pending = self.pending.entry(channel.clone()).or_default();
        pending.take(message, bytes, at, entry);
        Ok(())
    }

    fn tick(&mut self, channel: &Arc<str>, at: Timestamp, out: &mut Vec<Record>) {
        let pending = self.pending.remove(channel);
        let is_owed = self.owed.remove(channel);
        // A tick behind rows is always told, and counts as the channel's progress.
        if !self.progress.is_due(channel, is_owed || pending.is_some()) {
            return;
        }
        let mut pending = pending.unwrap_or_default();
        let tick = tick(at);
        pending.bytes += base64_len(tick.len()) + 5;
        if pending.messages.is_empty() {
            pending.begin = at;
        }
        pending.end = at;
        pending.messages.push(tick);
        out.push(self.record(channel, pending));
    }

    fn record(&mut self, channel: &Arc<str>, mut pending: Pending) -> Record {
        // A reader that goes on at the id of the last record must find one in each.
        let reached = self.reached.get(channel);
        pending.first = pending.first.or_else(|| reached.cloned());
        pending.last = pending.last.or_else(|| reached.cloned());
        if let Some(last) = &pending.last {
            self.reached.insert(channel.clone(), last.clone());
        }
        Record {
            topic: self.topic.clone(),
            partition: Partition::Of(channel.clone()),
            key: None,
            value: Some(value(channel, &pending)),
            origin: None,
            apart: false,
        }
    }
}

impl Pending {
    fn take(&mut self, message: Spliced, bytes: usize, at: Timestamp, entry: &Entry) {
        if self.messages.is_empty() {
            self.begin = at;
        }
        self.messages.push(message);
        self.bytes += bytes;
        // A message that came late is below the one before it.
        self.begin = self.begin.min(at);
        self.end = self.end.max(at);
        // What was made up for the log has no place in the channel.
        if entry.id.0.is_empty() {
            return;
        }
        // Nor is the order here that of the channel: the delete of an upsert comes first.
        let is_outside = |mark: &Option<Mark>, side| {
            mark.as_ref().is_none_or(|(place, _)| entry.seq.cmp(place) == side)
        };
        if is_outside(&self.first, Ordering::Less) {
            self.first = Some((entry.seq, entry.id.clone()));
        }
        if is_outside(&self.last, Ordering::Greater) {
            self.last = Some((entry.seq, entry.id.clone()));
        }
    }
}

/// The JSON, written into one buffer: a text in it holds JSON, so its quotes are escaped.
fn value(channel: &str, pending: &Pending) -> Vec<u8> {
    let name = nested(channel);
    let capacity = pending.bytes + ENVELOPE_BYTES + 3 * name.len();
    let mut out = Vec::with_capacity(capacity);
    out.extend_from_slice(
        br#"{"data":"{\"Base\":{\"replicateInfo\":{\"isReplicate\":true}},\"Database\":\"\","#,
    );
    put(&mut out, &[r#"\"ChannelName\":"#, &name, r#",\"BeginTs\":"#]);
    put(&mut out, &[&pending.begin.0.to_string(), r#",\"EndTs\":"#, &pending.end.0.to_string()]);
    put(&mut out, &[r#",\"MsgsBytes\":["#]);
    for (place, message) in pending.messages.iter().enumerate() {
        put(&mut out, &[if place == 0 { r#"\""# } else { r#",\""# }]);
        put_base64(&mut out, &message.parts);
        put(&mut out, &[r#"\""#]);
    }
    put(&mut out, &["]"]);
    for (key, at, mark) in [
        (r#",\"StartPositions\":[{\"channel_name\":"#, pending.begin, &pending.first),
        (r#",\"EndPositions\":[{\"channel_name\":"#, pending.end, &pending.last),
    ] {
        put(&mut out, &[key, &name]);
        if let Some((_, id)) = mark {
            put(&mut out, &[r#",\"msgID\":\""#, &STANDARD.encode_to_string(&id.0), r#"\""#]);
        }
        put(&mut out, &[r#",\"timestamp\":"#, &at.0.to_string(), "}]"]);
    }
    put(&mut out, &[r#",\"TargetMsgPosition\":\"\"}","info":"replicate message"}"#]);
    out
}

fn put(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// A text as it is in JSON that is itself a text in JSON, without the outer quotes.
fn nested(text: &str) -> String {
    let twice = serde_json::json!(serde_json::json!(text).to_string()).to_string();
    twice[1..twice.len() - 1].to_owned()
}

const fn base64_len(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The base64 of parts as if they were one. At most two bytes of a part wait for the next.
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
        // Only what is left of this part is here if nothing waits.
        for next in behind {
            waiting[count] = *next;
            count += 1;
        }
    }
    STANDARD.encode_append(&waiting[..count], out);
}

fn unreadable(error: milvus_wire::DecodeError) -> Error {
    Error::permanent("a message of the source can't be read; report this").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_sink::sample_changes::{TT, delete, drop_collection, insert, routed};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use milvus_wire::message::decode;
    use milvus_wire::proto::msg::InsertRequest;
    use prost::Message as _;
    use replication::ports::Ddl;
    use serde_json::{Value, json};

    fn encoder(record_bytes: usize) -> Replicate {
        Replicate::new("rows".into(), record_bytes, Duration::from_secs(3600))
    }

    fn made(encoder: &mut Replicate, changes: &[Change<'_>]) -> Vec<(Value, Value)> {
        let mut out = Vec::new();
        for change in changes {
            encoder.change(change, &mut out).unwrap();
        }
        encoder.end(&mut out);
        let read = |record: &Record| {
            let value: Value = serde_json::from_slice(record.value.as_ref().unwrap()).unwrap();
            let data = serde_json::from_str(value["data"].as_str().unwrap()).unwrap();
            (value["info"].clone(), data)
        };
        out.iter().map(read).collect()
    }

    fn tick_of(at: u64) -> String {
        BASE64.encode(tick(Timestamp(at)).to_bytes())
    }

    fn messages(data: &Value) -> Vec<Message> {
        let texts = data["MsgsBytes"].as_array().unwrap().iter();
        let bytes = texts.map(|text| BASE64.decode(text.as_str().unwrap()).unwrap());
        bytes.map(|bytes| decode(bytes.into()).unwrap()).collect()
    }

    #[test]
    fn a_window_of_a_channel_is_one_value_with_its_tick_at_the_end() {
        let rows = routed(&insert(&[1, 2], TT), 5);
        let gone = routed(&delete(&[1], TT + 1), 6);
        let channels = [Arc::from("dml_3")];
        let tick = Change::Tick { channels: &channels, at: Timestamp(TT + 9) };
        let changes = [Change::Message(&rows), Change::Message(&gone), tick];
        let made = made(&mut encoder(900_000), &changes);
        assert_eq!(made.len(), 1);
        let (info, data) = &made[0];
        assert_eq!(info, "replicate message");
        let first = BASE64.encode(insert_at_shop(&rows));
        let second = data["MsgsBytes"][1].clone();
        assert_eq!(
            *data,
            json!({
                "Base": {"replicateInfo": {"isReplicate": true}},
                "Database": "",
                "ChannelName": "dml_3",
                "BeginTs": TT,
                "EndTs": TT + 9,
                "MsgsBytes": [first, second, tick_of(TT + 9)],
                "StartPositions": [
                    {"channel_name": "dml_3", "msgID": "BQAAAAAAAAA=", "timestamp": TT}
                ],
                "EndPositions": [
                    {"channel_name": "dml_3", "msgID": "BgAAAAAAAAA=", "timestamp": TT + 9}
                ],
                "TargetMsgPosition": "",
            })
        );
        let messages = messages(data);
        let (Message::Row(insert), Message::Row(delete)) = (&messages[0], &messages[1]) else {
            panic!("not rows");
        };
        for row in [insert, delete] {
            assert_eq!((row.database.as_str(), row.collection.as_str()), ("shop", "titles"));
        }
        assert_eq!((insert.rows, delete.rows), (2, 1));
        assert_eq!(insert.vchannel, "dml_3_7v1");
    }

    fn insert_at_shop(routed: &Routed) -> Vec<u8> {
        let Message::Row(row) = &routed.read.entry.message else { panic!("no row") };
        let mut insert = InsertRequest::decode(row.raw.clone()).unwrap();
        (insert.db_name, insert.collection_name) = ("shop".into(), "titles".into());
        insert.encode_to_vec()
    }

    #[test]
    fn positions_are_of_the_lowest_and_the_highest_message_in_the_order_of_the_channel() {
        // An upsert's delete stands behind its insert in the queue, and before it here.
        let made_up = |seq| {
            let mut routed = routed(&drop_collection(TT + 2), seq);
            routed.read.entry.id = MessageId::default();
            routed
        };
        let messages = [
            routed(&delete(&[1], TT), 8),
            routed(&insert(&[1], TT), 7),
            routed(&insert(&[2], TT + 1), 300),
            routed(&insert(&[3], TT + 1), 9),
            made_up(u64::MAX),
        ];
        let changes: Vec<_> = messages.iter().map(Change::Message).collect();
        let made = made(&mut encoder(900_000), &changes);
        assert_eq!(made.len(), 1);
        let id = |seq: u64| json!(BASE64.encode(seq.to_le_bytes()));
        assert_eq!(made[0].1["StartPositions"][0]["msgID"], id(7));
        assert_eq!(made[0].1["EndPositions"][0]["msgID"], id(300));
        // Nothing of the queue is in the next ones.
        let alone = made_up(u64::MAX);
        let channels = [Arc::from("dml_3")];
        let tick = Change::Tick { channels: &channels, at: Timestamp(TT + 9) };
        let mut encoder = encoder(900_000);
        for known in [None, Some(&id(300))] {
            for change in [Change::Message(&alone), tick.clone()] {
                let made = super::tests::made(&mut encoder, &[change]);
                for (_, data) in &made {
                    assert_eq!(data["StartPositions"][0].get("msgID"), known);
                    assert_eq!(data["EndPositions"][0].get("msgID"), known);
                }
            }
            super::tests::made(&mut encoder, &changes);
        }
    }

    #[test]
    fn the_value_is_literally_this() {
        let channels = [Arc::from("a\"b")];
        let mut out = Vec::new();
        let tick = Change::Tick { channels: &channels, at: Timestamp(7) };
        encoder(1000).change(&tick, &mut out).unwrap();
        let expected = format!(
            r#"{{"data":"{{\"Base\":{{\"replicateInfo\":{{\"isReplicate\":true}}}},\"Database\":\"\",\"ChannelName\":\"a\\\"b\",\"BeginTs\":7,\"EndTs\":7,\"MsgsBytes\":[\"{}\"],\"StartPositions\":[{{\"channel_name\":\"a\\\"b\",\"timestamp\":7}}],\"EndPositions\":[{{\"channel_name\":\"a\\\"b\",\"timestamp\":7}}],\"TargetMsgPosition\":\"\"}}","info":"replicate message"}}"#,
            tick_of(7)
        );
        let value = out[0].value.as_ref().unwrap();
        assert_eq!(String::from_utf8_lossy(value), expected);
        assert!(value.capacity() < value.len() + 2 * ENVELOPE_BYTES);
    }

    #[test]
    fn a_window_is_split_between_messages_and_ticks_only_at_its_end() {
        let rows: Vec<_> =
            (0..20).map(|n| routed(&insert(&[n], TT + n as u64), n as u64)).collect();
        let channels = [Arc::from("dml_3")];
        let mut changes: Vec<_> = rows.iter().map(Change::Message).collect();
        changes.push(Change::Tick { channels: &channels, at: Timestamp(TT + 99) });
        let limit = 2_000;
        let made = made(&mut encoder(limit), &changes);
        assert!(made.len() > 2, "{}", made.len());
        let mut count = 0;
        for (place, (_, data)) in made.iter().enumerate() {
            assert!(data.to_string().len() <= limit);
            let messages = messages(data);
            let ticks = messages.iter().filter(|m| matches!(m, Message::Tick(_))).count();
            assert_eq!(ticks, usize::from(place == made.len() - 1));
            assert_eq!(data["BeginTs"], TT + count as u64);
            count += messages.len() - ticks;
        }
        assert_eq!(count, 20);
        // One that is larger goes alone.
        let large = routed(&insert(&(0..200).collect::<Vec<_>>(), TT), 1);
        let changes =
            [Change::Message(&rows[0]), Change::Message(&large), Change::Message(&rows[1])];
        let made = super::tests::made(&mut encoder(limit), &changes);
        let counts: Vec<_> = made.iter().map(|(_, data)| messages(data).len()).collect();
        assert_eq!(counts, [1, 1, 1]);
    }

    #[test]
    fn ticks_without_rows_are_rare_and_behind_rows_certain() {
        let channels = [Arc::from("dml_3"), Arc::from("dml_4")];
        let tick = |at| Change::Tick { channels: &channels, at: Timestamp(at) };
        let mut encoder = encoder(900_000);
        assert_eq!(made(&mut encoder, &[tick(1)]).len(), 2);
        assert_eq!(made(&mut encoder, &[tick(2)]).len(), 0);
        // Rows that no tick covers in their append are owed one by the next.
        let rows = routed(&insert(&[1], TT), 5);
        assert_eq!(made(&mut encoder, &[Change::Message(&rows)]).len(), 1);
        let told = made(&mut encoder, &[tick(TT)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1["ChannelName"], "dml_3");
        assert_eq!(made(&mut encoder, &[tick(TT + 1)]).len(), 0);
    }

    #[test]
    fn a_request_comes_behind_the_rows_before_it_and_is_told_in_its_kind() {
        let rows = routed(&insert(&[1], TT), 5);
        let drop = routed(&drop_collection(TT + 1), 6);
        let ddl = Ddl::DropCollection { database: "shop".into(), name: "titles".into() };
        let changes = [
            Change::Message(&rows),
            Change::Message(&drop),
            Change::Request(&ddl, Timestamp(TT + 1)),
        ];
        let made = made(&mut encoder(900_000), &changes);
        assert_eq!(made.len(), 2);
        assert!(matches!(messages(&made[0].1)[1], Message::DropCollection(_)));
        assert_eq!(made[1].0, "drop collection");
        let expected = json!({
            "Base": {"replicateInfo": {"isReplicate": true, "msgTimestamp": TT + 1}},
            "Database": "shop",
            "CollectionName": "titles",
        });
        assert_eq!(made[1].1, expected);
    }

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
