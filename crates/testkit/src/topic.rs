//! A topic of Kafka for rows: made, and read as what it holds when only the last record of each key
//! counts. Never waits for more than is there, and never takes part in a group.

use anyhow::{Context as _, Result, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
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

/// The last row of each key, less those of which the last record has no value. Keys and values are
/// JSON; of a key only the value of its field `key` is taken. Blocks.
///
/// # Errors
/// If the broker does not answer, or a record is not as said.
pub fn latest(kafka: &str, topic: &str, key: &str) -> Result<Rows> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka)
        // librdkafka wants a group, even if nobody ever joins it.
        .set("group.id", "latest")
        .set("enable.auto.commit", "false")
        // Behind the last record of a transaction there is one that nobody is given.
        .set("enable.partition.eof", "true")
        .create()
        .context("librdkafka's settings")?;
    let mut left = assign(&consumer, topic)?;
    let mut rows = Rows::new();
    let deadline = Instant::now() + ANSWER_WITHIN;
    while left > 0 {
        ensure!(Instant::now() < deadline, "{topic} was not read within {ANSWER_WITHIN:?}");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
            Some(record) => {
                let record = record.with_context(|| format!("read {topic}"))?;
                let found: Value = serde_json::from_slice(record.key().context("a key")?)?;
                let found = found[key].to_string();
                match record.payload() {
                    Some(row) => rows.insert(found, serde_json::from_slice(row)?),
                    None => rows.remove(&found),
                };
            }
        }
    }
    Ok(rows)
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
