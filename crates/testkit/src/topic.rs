//! A topic of Kafka: creates it, and reads its records, or only the last record of each key. Never
//! waits for records that are not there yet, and never joins a group.

use anyhow::{Context as _, Result, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A broker that is up answers at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Rows by their keys. A key is written as JSON, so that numbers and strings stay apart.
pub type Rows = BTreeMap<String, Value>;

/// Makes a topic of so many partitions.
///
/// # Errors
/// If the broker does not, or if there is one.
pub async fn create(kafka: &str, name: &str, partitions: i32) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka).create().context("a client")?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for created in admin.create_topics([&topic], &AdminOptions::new()).await? {
        created.map_err(|(name, error)| anyhow!("create topic {name}: {error}"))?;
    }
    Ok(())
}

/// The last row of each key, without those whose last record has no value. Keys and values are
/// JSON; of a key only the value of its field `key` is taken. Blocks.
///
/// # Errors
/// If the broker does not answer, or a record is not as said.
pub fn latest(kafka: &str, topic: &str, key: &str) -> Result<Rows> {
    let mut rows = Rows::new();
    for record in records(kafka, topic)? {
        let found: Value = serde_json::from_slice(&record.key.context("a key")?)?;
        let found = found[key].to_string();
        match record.value {
            Some(row) => rows.insert(found, serde_json::from_slice(&row)?),
            None => rows.remove(&found),
        };
    }
    Ok(rows)
}

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers, as text.
    pub headers: BTreeMap<String, String>,
}

/// All records of a topic, those of a partition in their order, without those of transactions that
/// were not committed. Blocks.
///
/// # Errors
/// If the broker does not answer.
pub fn records(kafka: &str, topic: &str) -> Result<Vec<Record>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        // librdkafka wants a group, even if nobody ever joins it.
        .set("group.id", "records")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        // After the last record of a transaction there is one that no consumer receives.
        .set("enable.partition.eof", "true")
        .create()
        .context("librdkafka's settings")?;
    let mut left = assign(&consumer, topic)?;
    let mut records = Vec::new();
    let deadline = Instant::now() + ANSWER_WITHIN;
    while left > 0 {
        ensure!(Instant::now() < deadline, "{topic} was not read within {ANSWER_WITHIN:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
            Some(read) => {
                let read = read.with_context(|| format!("read {topic}"))?;
                let headers = read.headers().into_iter().flat_map(Headers::iter).map(|header| {
                    let value = String::from_utf8_lossy(header.value.unwrap_or_default());
                    (header.key.to_owned(), value.into_owned())
                });
                records.push(Record {
                    partition: read.partition(),
                    key: read.key().map(<[u8]>::to_vec),
                    value: read.payload().map(<[u8]>::to_vec),
                    headers: headers.collect(),
                });
            }
        }
    }
    Ok(records)
}

/// The offset that a group has committed on the first partition of a topic, and the metadata beside
/// it; `None` if there is none. Blocks.
///
/// # Errors
/// If the broker does not answer.
pub fn committed(kafka: &str, group: &str, topic: &str) -> Result<Option<(i64, String)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .create()
        .context("librdkafka's settings")?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let told = consumer.committed_offsets(asked, ANSWER_WITHIN)?;
    let found = told.find_partition(topic, 0).context("an answer on the partition")?;
    let Offset::Offset(offset) = found.offset() else { return Ok(None) };
    Ok(Some((offset, found.metadata().to_owned())))
}

/// All partitions from their beginning; answers how many.
fn assign(consumer: &BaseConsumer, topic: &str) -> Result<usize> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
    let partitions = metadata.topics().first().context("no such topic")?.partitions();
    ensure!(!partitions.is_empty(), "there is no topic {topic}");
    let mut all = TopicPartitionList::new();
    for partition in partitions {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok(partitions.len())
}
