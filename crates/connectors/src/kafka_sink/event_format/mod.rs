//! One record for each row, with Debezium's envelope. Never contains our own time: a row has the
//! same record each time it is written.

mod request;
mod value;

use crate::kafka_sink::options::{KafkaSinkOptions, Vectors};
use crate::kafka_sink::progress::Progress;
use crate::kafka_sink::record::{Origin, SinkPartition, SinkRecord};
use crate::kafka_sink::topic_template::Template;
use base64_simd::STANDARD;
use milvus_wire::DecodeError;
use milvus_wire::columns::{Keys, Rows, Value};
use milvus_wire::ids::CollectionName;
use milvus_wire::message::{Message, RowKind, RowMessage};
use milvus_wire::timestamp::Timestamp;
use replication::error::{Error, Result};
use replication::message::Routed;
use replication::ports::Change;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use value::{put, put_value};

/// Makes records of changes.
pub(super) struct EventFormat {
    task: String,
    topic: Template,
    events: Arc<str>,
    vectors: Vectors,
    tombstones: bool,
    progress: Progress,
    /// Topics by database and collection.
    topics: HashMap<CollectionName, Arc<str>>,
}

/// What the rows of a message have in common.
struct Common<'a> {
    topic: Arc<str>,
    channel: Arc<str>,
    message_id: Arc<str>,
    /// The members of `source` that are the same for all rows, without the braces.
    source: Vec<u8>,
    key_name: &'a str,
}

impl EventFormat {
    pub(super) fn new(options: &KafkaSinkOptions, topic: Template, events: Arc<str>) -> Self {
        Self {
            task: options.task.clone(),
            topic,
            events,
            vectors: options.vectors,
            tombstones: options.tombstones,
            progress: Progress::new(options.progress_every),
            topics: HashMap::new(),
        }
    }

    /// Adds the records of a change to `out`.
    pub(super) fn change(&mut self, change: &Change<'_>, out: &mut Vec<SinkRecord>) -> Result<()> {
        match change {
            // The request that goes with a drop is written instead.
            Change::Message(routed) => match &routed.read.entry.message {
                Message::Row(row) => return self.message(routed, row, out),
                _ => return Ok(()),
            },
            Change::Request(ddl, at) => out.push(self.event(&request::of(ddl, *at))),
            Change::Tick { channels, at } => {
                let events = self.events.clone();
                if self.progress.is_due(&events, false) {
                    let channels: Vec<&str> = channels.iter().map(|channel| &**channel).collect();
                    out.push(self.event(&json!({
                        "type": "progress",
                        "tt": at.0,
                        "ts_ms": at.ms(),
                        "channels": channels,
                    })));
                }
            }
        }
        Ok(())
    }

    fn event(&self, event: &serde_json::Value) -> SinkRecord {
        SinkRecord {
            topic: self.events.clone(),
            partition: SinkPartition::First,
            key: None,
            value: Some(event.to_string().into_bytes()),
            origin: None,
            apart: true,
        }
    }

    fn message(
        &mut self,
        routed: &Routed,
        row: &RowMessage,
        out: &mut Vec<SinkRecord>,
    ) -> Result<()> {
        let common = self.common(routed, row);
        let made = match row.kind {
            RowKind::Insert => self.inserts(&common, routed, row, out),
            RowKind::Delete => self.deletes(&common, row, out),
        };
        made.map_err(|error| {
            let id = &routed.read.entry.id;
            Error::permanent(format!(
                "a message of {} in channel {} at {id:?} can't be written as rows; report this, or \
                 use the format replicate",
                row.collection, routed.read.channel
            ))
            .because(error)
        })
    }

    fn inserts(
        &self,
        common: &Common<'_>,
        routed: &Routed,
        row: &RowMessage,
        out: &mut Vec<SinkRecord>,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let rows = Rows::of(row)?;
        let key = rows
            .column(routed.place.primary_key)
            .ok_or(DecodeError::Missing { message: "an insert", what: "primary key column" })?;
        let names: Vec<_> =
            rows.columns.iter().map(|column| json!(column.name).to_string()).collect();
        let mut size = 256;
        for (place, stamp) in rows.stamps.iter().enumerate() {
            let mut value = Vec::with_capacity(size);
            value.extend_from_slice(br#"{"before":null,"after":{"#);
            for (at, (name, column)) in names.iter().zip(&rows.columns).enumerate() {
                if at > 0 {
                    value.push(b',');
                }
                value.extend_from_slice(name.as_bytes());
                value.push(b':');
                put_value(&mut value, column.value(place), self.vectors)?;
            }
            value.push(b'}');
            common.finish(&mut value, *stamp, "c");
            // Rows of one collection are of similar size.
            size = value.len() + value.len() / 8;
            out.push(common.record(key.value(place), place, *stamp, Some(value))?);
        }
        Ok(())
    }

    fn deletes(
        &self,
        common: &Common<'_>,
        row: &RowMessage,
        out: &mut Vec<SinkRecord>,
    ) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let keys = Keys::of(row)?;
        for (place, stamp) in keys.stamps.iter().enumerate() {
            let mut value = br#"{"before":"#.to_vec();
            common.put_key(&mut value, keys.value(place))?;
            value.extend_from_slice(br#","after":null"#);
            common.finish(&mut value, *stamp, "d");
            out.push(common.record(keys.value(place), place, *stamp, Some(value))?);
            if self.tombstones {
                out.push(common.record(keys.value(place), place, *stamp, None)?);
            }
        }
        Ok(())
    }

    fn common<'a>(&mut self, routed: &'a Routed, row: &RowMessage) -> Common<'a> {
        let place = &routed.place;
        let (topic, task) = (&self.topic, &self.task);
        let name = place.name.clone();
        let topic = self
            .topics
            .entry(name)
            .or_insert_with_key(|it| topic.name(task, &it.database, &it.name).into());
        let mut source = Vec::new();
        let mut member = |name: &str, value: serde_json::Value| {
            put(&mut source, name);
            source.push(b':');
            put(&mut source, &value);
            source.push(b',');
        };
        member("connector", "milvus-cdc".into());
        member("version", env!("CARGO_PKG_VERSION").into());
        member("name", self.task.as_str().into());
        member("db", place.name.database.as_str().into());
        // Debezium's name for it, then Milvus's.
        member("table", place.name.name.as_str().into());
        member("collection", place.name.name.as_str().into());
        member("collection_id", row.collection_id.0.into());
        let partition = Some(row.partition.as_str()).filter(|name| !name.is_empty());
        member("partition", partition.into());
        member("shard", routed.shard.into());
        member("channel", (*routed.read.channel).into());
        Common {
            topic: topic.clone(),
            channel: routed.read.channel.clone(),
            message_id: STANDARD.encode_to_string(&routed.read.entry.id.0).into(),
            source,
            key_name: &place.key_name,
        }
    }
}

impl Common<'_> {
    /// Adds everything behind `before` and `after`.
    fn finish(&self, value: &mut Vec<u8>, stamp: Timestamp, op: &str) {
        let (ms, tt) = (stamp.ms(), stamp.0);
        value.extend_from_slice(br#","source":{"#);
        value.extend_from_slice(&self.source);
        let rest = format!(r#""ts_ms":{ms},"tt":{tt}}},"op":"{op}","ts_ms":{ms}}}"#);
        value.extend_from_slice(rest.as_bytes());
    }

    fn put_key(
        &self,
        out: &mut Vec<u8>,
        key: Value<'_>,
    ) -> std::result::Result<(), value::NotShown> {
        out.push(b'{');
        put(out, self.key_name);
        out.push(b':');
        put_value(out, key, Vectors::Array)?;
        out.push(b'}');
        Ok(())
    }

    fn record(
        &self,
        key: Value<'_>,
        row: usize,
        stamp: Timestamp,
        value: Option<Vec<u8>>,
    ) -> std::result::Result<SinkRecord, value::NotShown> {
        let mut key_bytes = Vec::with_capacity(64);
        self.put_key(&mut key_bytes, key)?;
        Ok(SinkRecord {
            topic: self.topic.clone(),
            partition: SinkPartition::ByKey,
            key: Some(key_bytes),
            value,
            origin: Some(Origin {
                channel: self.channel.clone(),
                message_id: self.message_id.clone(),
                tt: stamp.0,
                row,
            }),
            apart: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_sink::sample_changes::{TT, delete, drop_collection, insert, routed};
    use crate::kafka_sink::{Format, KafkaSinkOptions};
    use milvus_wire::proto::schema::field_data::Field;
    use milvus_wire::proto::schema::scalar_field::Data;
    use replication::ports::Ddl;

    fn encoder(tombstones: bool) -> EventFormat {
        let options = KafkaSinkOptions {
            format: Format::ChangeEvent,
            tombstones,
            ..KafkaSinkOptions::new("t1", "b:9092", "{database}.{collection}")
        };
        let (topic, _) = options.topics().unwrap();
        EventFormat::new(&options, topic, "t1.events".into())
    }

    fn made(encoder: &mut EventFormat, changes: &[Change<'_>]) -> Vec<SinkRecord> {
        let mut out = Vec::new();
        for change in changes {
            encoder.change(change, &mut out).unwrap();
        }
        out
    }

    fn text(bytes: Option<&Vec<u8>>) -> &str {
        std::str::from_utf8(bytes.unwrap()).unwrap()
    }

    const VERSION: &str = env!("CARGO_PKG_VERSION");

    #[test]
    fn an_upsert_is_a_delete_and_an_insert_of_its_key() {
        let gone = routed(&delete(&[2], TT), 5);
        let rows = routed(&insert(&[1, 2], TT), 6);
        let records = made(&mut encoder(true), &[Change::Message(&gone), Change::Message(&rows)]);
        let ops: Vec<_> =
            records.iter().map(|r| r.value.as_ref().map(Vec::len).is_some()).collect();
        assert_eq!(ops, [true, false, true, true]);
        assert!(records.iter().all(|r| &*r.topic == "shop.titles"));
        assert!(records.iter().all(|r| r.partition == SinkPartition::ByKey && !r.apart));

        let source = [
            format!(r#""source":{{"connector":"milvus-cdc","version":"{VERSION}","name":"t1","#),
            r#""db":"shop","table":"titles","collection":"titles","collection_id":7,"#.to_owned(),
            r#""partition":PARTITION,"shard":1,"channel":"dml_3","ts_ms":1000,"#.to_owned(),
            r#""tt":262144000}"#.to_owned(),
        ];
        let source = source.concat();
        assert_eq!(text(records[0].key.as_ref()), r#"{"id":2}"#);
        let of_all = source.replace("PARTITION", "null");
        assert_eq!(
            text(records[0].value.as_ref()),
            format!(r#"{{"before":{{"id":2}},"after":null,{of_all},"op":"d","ts_ms":1000}}"#)
        );
        assert_eq!(text(records[1].key.as_ref()), r#"{"id":2}"#);
        assert_eq!(text(records[3].key.as_ref()), r#"{"id":2}"#);
        let of_one = source.replace("PARTITION", "\"_default\"");
        let after = r#""after":{"id":1,"vec":[0.5,-1.0],"age":null,"$meta":{"n": 0}}"#;
        assert_eq!(
            text(records[2].value.as_ref()),
            format!(r#"{{"before":null,{after},{of_one},"op":"c","ts_ms":1000}}"#)
        );
        assert!(text(records[3].value.as_ref()).contains(r#""age":2,"$meta":{"n": 1}"#));
        let origin = records[3].origin.clone().unwrap();
        let expected =
            Origin { channel: "dml_3".into(), message_id: "BgAAAAAAAAA=".into(), tt: TT, row: 1 };
        assert_eq!(origin, expected);
    }

    #[test]
    fn events_are_apart_and_progress_is_rare() {
        let mut encoder = encoder(false);
        let drop = routed(&drop_collection(TT), 5);
        assert!(made(&mut encoder, &[Change::Message(&drop)]).is_empty());
        let ddl = Ddl::DropCollection(CollectionName::new("shop", "titles"));
        let channels = [Arc::from("dml_3")];
        let tick = || Change::Tick { channels: &channels, at: Timestamp(TT) };
        let changes = [Change::Request(&ddl, Timestamp(TT)), tick(), tick()];
        let records = made(&mut encoder, &changes);
        let texts: Vec<_> = records.iter().map(|r| text(r.value.as_ref())).collect();
        let expected = [
            json!({"type": "drop_collection", "tt": TT, "ts_ms": 1000, "database": "shop",
                   "collection": "titles"}),
            json!({"type": "progress", "tt": TT, "ts_ms": 1000, "channels": ["dml_3"]}),
        ];
        assert_eq!(texts, expected.map(|event| event.to_string()));
        assert!(records.iter().all(|r| r.apart && r.partition == SinkPartition::First));
        assert!(records.iter().all(|r| &*r.topic == "t1.events"));
    }

    #[test]
    fn a_row_that_cannot_be_written_is_a_permanent_error_that_names_its_message() {
        let mut message = insert(&[1], TT);
        let Some(Field::Scalars(json)) = &mut message.fields_data[3].field else { panic!("json") };
        let Some(Data::JsonData(json)) = &mut json.data else { panic!("json") };
        json.data[0] = b"{".to_vec();
        let rows = routed(&message, 5);
        let failed = encoder(false).change(&Change::Message(&rows), &mut Vec::new());
        let error = failed.unwrap_err();
        assert_eq!(error.kind, replication::error::Kind::Permanent);
        assert!(error.what.contains("dml_3") && error.what.contains("books"), "{error}");
        message.fields_data.remove(0);
        let rows = routed(&message, 5);
        assert!(encoder(false).change(&Change::Message(&rows), &mut Vec::new()).is_err());
    }
}
