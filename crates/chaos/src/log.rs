//! The log of a Milvus, read from its Kafka: every row message and tick of every channel, in the
//! order of the offsets. Never uses the product's decoders.

use anyhow::{Context as _, Result, ensure};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest, TimeTickMsg};
use milvus_wire::proto::schema::i_ds::IdField;
use prost::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::milvus::Key;
use testkit::rows::{Columns, Digest};

/// A broker that is up answers at once.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// What every message begins with.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(message, optional, tag = "1")]
    base: Option<MsgBase>,
}

/// One message of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    pub(crate) body: Body,
}

/// What a message says.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Tick(u64),
    Rows(Rows),
    Other,
}

/// An insert or a delete.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) id: i64,
    pub(crate) shard: String,
    pub(crate) collection: i64,
    /// Of a delete in all partitions it is -1.
    pub(crate) partition: i64,
    pub(crate) rows: Vec<Row>,
}

/// One of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) timestamp: u64,
    /// Of an insert; `None` is a delete.
    pub(crate) digest: Option<Digest>,
}

/// All channels, by the names of their topics.
pub(crate) type Log = BTreeMap<String, Vec<Entry>>;

/// Reads all that is there. Blocks.
///
/// # Errors
/// If the broker does not answer, or a message is not one of Milvus.
pub(crate) fn read(kafka: &str, prefix: &str) -> Result<Log> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        // librdkafka wants a group, even if nobody ever joins it.
        .set("group.id", "chaos")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .context("librdkafka's settings")?;
    let mut log = Log::new();
    let mut all = TopicPartitionList::new();
    let metadata = consumer.fetch_metadata(None, READ_WITHIN)?;
    let wanted = format!("{prefix}-rootcoord-dml_");
    for topic in metadata.topics().iter().filter(|topic| topic.name().starts_with(&wanted)) {
        all.add_partition_offset(topic.name(), 0, Offset::Beginning)?;
        log.insert(topic.name().to_owned(), vec![]);
    }
    consumer.assign(&all)?;
    let mut left = log.len();
    let deadline = Instant::now() + READ_WITHIN;
    while left > 0 {
        ensure!(Instant::now() < deadline, "{prefix} was not read within {READ_WITHIN:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
            Some(read) => {
                let read = read.with_context(|| format!("read {prefix}"))?;
                let at = || format!("{} at {}", read.topic(), read.offset());
                let body = decode(read.payload().unwrap_or_default()).with_context(at)?;
                if let Some(entries) = log.get_mut(read.topic()) {
                    entries.push(Entry { offset: read.offset(), body });
                }
            }
        }
    }
    Ok(log)
}

fn decode(payload: &[u8]) -> Result<Body> {
    let base = Head::decode(payload)?.base.context("a message without a head")?;
    Ok(match MsgType::try_from(base.msg_type) {
        Ok(MsgType::TimeTick) => {
            let base = TimeTickMsg::decode(payload)?.base.context("a tick without a head")?;
            Body::Tick(base.timestamp)
        }
        Ok(MsgType::Insert) => Body::Rows(insert(InsertRequest::decode(payload)?, base.msg_id)?),
        Ok(MsgType::Delete) => Body::Rows(delete(DeleteRequest::decode(payload)?, base.msg_id)?),
        _ => Body::Other,
    })
}

fn insert(message: InsertRequest, id: i64) -> Result<Rows> {
    let columns = Columns::new(message.fields_data)?;
    let keys = columns.keys("id")?;
    ensure!(keys.len() == message.timestamps.len(), "{} keys in an insert", keys.len());
    let rows = keys.into_iter().zip(message.timestamps).enumerate();
    let rows =
        rows.map(|(at, (key, timestamp))| Row { key, timestamp, digest: Some(columns.digest(at)) });
    Ok(Rows {
        id,
        rows: rows.collect(),
        shard: message.shard_name,
        collection: message.collection_id,
        partition: message.partition_id,
    })
}

fn delete(message: DeleteRequest, id: i64) -> Result<Rows> {
    let keys: Vec<Key> = match message.primary_keys.and_then(|keys| keys.id_field) {
        Some(IdField::IntId(keys)) => keys.data.into_iter().map(Key::Int).collect(),
        Some(IdField::StrId(keys)) => keys.data.into_iter().map(Key::Text).collect(),
        _ => message.int64_primary_keys.into_iter().map(Key::Int).collect(),
    };
    ensure!(keys.len() == message.timestamps.len(), "{} keys in a delete", keys.len());
    let rows = keys.into_iter().zip(message.timestamps);
    let rows = rows.map(|(key, timestamp)| Row { key, timestamp, digest: None });
    Ok(Rows {
        id,
        rows: rows.collect(),
        shard: message.shard_name,
        collection: message.collection_id,
        partition: message.partition_id,
    })
}
