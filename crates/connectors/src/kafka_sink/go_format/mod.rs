//! The Go tool's format: a record's value is a pack of Milvus's own messages of one channel, or a
//! request. Never looks into a row: its bytes go from the queue into base64.

mod message_pack;
#[cfg(test)]
mod recorded_requests;
mod request;

use crate::kafka_sink::progress::Progress;
use crate::kafka_sink::record::{SinkPartition, SinkRecord};
use message_pack::{InChannel, MessagePack};
use milvus_wire::message::Message;
use milvus_wire::splice::{splice, splice_ddl};
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::message::Routed;
use replication::ports::Change;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Makes records in the Go tool's format.
pub(super) struct GoFormat {
    topic: Arc<str>,
    record_bytes: usize,
    progress: Progress,
    /// The messages that are not in a record yet, by channel.
    pending: BTreeMap<Arc<str>, MessagePack>,
    /// The channels that have rows in records without a tick behind them.
    owed: BTreeSet<Arc<str>>,
    /// The last message of each channel that is in a record.
    reached: HashMap<Arc<str>, InChannel>,
}

impl GoFormat {
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

    /// Takes a change; adds the records that are complete to `out`.
    pub(super) fn change(&mut self, change: &Change<'_>, out: &mut Vec<SinkRecord>) -> Result<()> {
        match change {
            Change::Message(routed) => return self.message(routed, out),
            Change::Request(ddl, at) => {
                self.end(out);
                let (kind, parameters) = request::of(ddl, *at);
                let value = serde_json::json!({"data": parameters.to_string(), "info": kind});
                out.push(SinkRecord {
                    topic: self.topic.clone(),
                    partition: SinkPartition::First,
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

    /// Adds records of all messages that no tick has covered yet.
    pub(super) fn end(&mut self, out: &mut Vec<SinkRecord>) {
        for (channel, pending) in std::mem::take(&mut self.pending) {
            out.push(self.record(&channel, pending));
            self.owed.insert(channel);
        }
    }

    fn message(&mut self, routed: &Routed, out: &mut Vec<SinkRecord>) -> Result<()> {
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
        let max = self.record_bytes;
        let is_full = self.pending.get(channel).is_some_and(|it| it.is_full_for(&message, max));
        if is_full && let Some(pending) = self.pending.remove(channel) {
            out.push(self.record(channel, pending));
            self.owed.insert(channel.clone());
        }
        self.pending.entry(channel.clone()).or_default().add(message, at, entry);
        Ok(())
    }

    fn tick(&mut self, channel: &Arc<str>, at: Timestamp, out: &mut Vec<SinkRecord>) {
        let pending = self.pending.remove(channel);
        let is_owed = self.owed.remove(channel);
        // A tick behind rows is always written, and counts as the channel's progress.
        if !self.progress.is_due(channel, is_owed || pending.is_some()) {
            return;
        }
        let mut pending = pending.unwrap_or_default();
        pending.end_with_tick(at);
        out.push(self.record(channel, pending));
    }

    fn record(&mut self, channel: &Arc<str>, mut pending: MessagePack) -> SinkRecord {
        // A reader that resumes from the id of the last record must find an id in each record.
        let reached = self.reached.get(channel);
        pending.first = pending.first.or_else(|| reached.cloned());
        pending.last = pending.last.or_else(|| reached.cloned());
        if let Some(last) = &pending.last {
            self.reached.insert(channel.clone(), last.clone());
        }
        SinkRecord {
            topic: self.topic.clone(),
            partition: SinkPartition::Of(channel.clone()),
            key: None,
            value: Some(pending.value(channel)),
            origin: None,
            apart: false,
        }
    }
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
    use milvus_wire::ids::CollectionName;
    use milvus_wire::message::decode;
    use milvus_wire::position::MessageId;
    use milvus_wire::proto::msg::InsertRequest;
    use milvus_wire::replicate::tick;
    use prost::Message as _;
    use replication::ports::Ddl;
    use serde_json::{Value, json};

    fn encoder(record_bytes: usize) -> GoFormat {
        GoFormat::new("rows".into(), record_bytes, Duration::from_secs(3600))
    }

    fn made(encoder: &mut GoFormat, changes: &[Change<'_>]) -> Vec<(Value, Value)> {
        let mut out = Vec::new();
        for change in changes {
            encoder.change(change, &mut out).unwrap();
        }
        encoder.end(&mut out);
        let read = |record: &SinkRecord| {
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
        // The delete of an upsert comes after its insert in the queue, and before it here.
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
        // The next records contain no message of the queue.
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
        let encoded_tick = tick_of(7);
        let expected = [
            r#"{"data":"{\"Base\":{\"replicateInfo\":{\"isReplicate\":true}},\"Database\":\"\","#,
            r#"\"ChannelName\":\"a\\\"b\",\"BeginTs\":7,\"EndTs\":7,\"MsgsBytes\":[\""#,
            &encoded_tick,
            r#"\"],\"StartPositions\":[{\"channel_name\":\"a\\\"b\",\"timestamp\":7}],"#,
            r#"\"EndPositions\":[{\"channel_name\":\"a\\\"b\",\"timestamp\":7}],"#,
            r#"\"TargetMsgPosition\":\"\"}","info":"replicate message"}"#,
        ];
        let expected = expected.concat();
        let value = out[0].value.as_ref().unwrap();
        assert_eq!(String::from_utf8_lossy(value), expected);
        assert!(value.capacity() < value.len() + 2 * message_pack::ENVELOPE_BYTES);
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
        // A message that is larger goes alone.
        let large = routed(&insert(&(0..200).collect::<Vec<_>>(), TT), 1);
        let changes =
            [Change::Message(&rows[0]), Change::Message(&large), Change::Message(&rows[1])];
        let made = super::tests::made(&mut encoder(limit), &changes);
        let counts: Vec<_> = made.iter().map(|(_, data)| messages(data).len()).collect();
        assert_eq!(counts, [1, 1, 1]);
    }

    #[test]
    fn ticks_without_rows_are_rare_and_ticks_behind_rows_are_always_written() {
        let channels = [Arc::from("dml_3"), Arc::from("dml_4")];
        let tick = |at| Change::Tick { channels: &channels, at: Timestamp(at) };
        let mut encoder = encoder(900_000);
        assert_eq!(made(&mut encoder, &[tick(1)]).len(), 2);
        assert_eq!(made(&mut encoder, &[tick(2)]).len(), 0);
        // If no tick covers rows in their append, the next tick does.
        let rows = routed(&insert(&[1], TT), 5);
        assert_eq!(made(&mut encoder, &[Change::Message(&rows)]).len(), 1);
        let told = made(&mut encoder, &[tick(TT)]);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].1["ChannelName"], "dml_3");
        assert_eq!(made(&mut encoder, &[tick(TT + 1)]).len(), 0);
    }

    #[test]
    fn a_request_comes_after_the_rows_before_it_with_its_own_kind() {
        let rows = routed(&insert(&[1], TT), 5);
        let drop = routed(&drop_collection(TT + 1), 6);
        let ddl = Ddl::DropCollection(CollectionName::new("shop", "titles"));
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
}
