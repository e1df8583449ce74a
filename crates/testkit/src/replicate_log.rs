//! Reads a topic in the Go tool's format as its consumers do: the messages of Milvus in it, and the
//! rows that these leave. Never trusts an order that the topic does not have.

use crate::milvus::Key;
use crate::rows::{Columns, Digest};
use crate::topic;
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use milvus_wire::message::{Message, RowKind, decode};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use prost::Message as _;
use serde_json::Value;
use std::collections::BTreeMap;

/// The contents of a topic in the Go tool's format.
#[derive(Clone, Debug, Default)]
pub struct ReplicateLog {
    /// How many records of each kind (`info`) there are.
    pub kinds: BTreeMap<String, u64>,
    /// The rows of each collection after all messages.
    pub rows: BTreeMap<String, BTreeMap<Key, Digest>>,
    /// How often each message of rows occurs, by its id.
    pub messages: BTreeMap<i64, u64>,
}

impl ReplicateLog {
    /// Reads a topic of one partition to its end. Blocks. `key` is the name of the primary keys.
    ///
    /// # Errors
    /// If the broker does not answer, or a record is not as the format has it.
    pub fn read(kafka: &str, topic: &str, key: &str) -> Result<Self> {
        let mut log = Self::default();
        for record in topic::records(kafka, topic)? {
            ensure!(record.partition == 0, "{topic} has no order: it has several partitions");
            ensure!(record.key.is_none(), "the format has no keys");
            let value: Value = serde_json::from_slice(&record.value.context("no value")?)?;
            let kind = value["info"].as_str().context("no info")?;
            *log.kinds.entry(kind.to_owned()).or_default() += 1;
            let data: Value = serde_json::from_str(value["data"].as_str().context("no data")?)?;
            if kind == "replicate message" {
                log.add(&data, key).with_context(|| format!("{data}"))?;
            }
        }
        Ok(log)
    }

    fn add(&mut self, data: &Value, key: &str) -> Result<()> {
        let (begin, end) = (data["BeginTs"].as_u64(), data["EndTs"].as_u64());
        ensure!(begin <= end && begin.is_some(), "from {begin:?} to {end:?}");
        for message in data["MsgsBytes"].as_array().context("no messages")? {
            let raw = BASE64_STANDARD.decode(message.as_str().context("no text")?)?;
            let Message::Row(row) = decode(raw.into())? else { continue };
            let times = self.messages.entry(row.msg_id).or_default();
            *times += 1;
            let rows = self.rows.entry(row.collection.clone()).or_default();
            match row.kind {
                RowKind::Insert => {
                    let insert = InsertRequest::decode(row.raw)?;
                    let columns = Columns::new(insert.fields_data)?;
                    for (at, key) in columns.keys(key)?.into_iter().enumerate() {
                        rows.insert(key, columns.digest(at));
                    }
                }
                RowKind::Delete => {
                    for key in Key::list(DeleteRequest::decode(row.raw)?.primary_keys) {
                        rows.remove(&key);
                    }
                }
            }
        }
        Ok(())
    }
}
