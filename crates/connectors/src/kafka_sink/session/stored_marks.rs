//! The marks of an exact sink at the broker: the metadata of an offset that is committed with each
//! transaction. Never commits by itself, and never reads a topic.

use super::producer::Context;
use crate::kafka_fault::{aborted, refused_options};
use crate::kafka_sink::fault::{code, fault, transaction_failed};
use crate::kafka_sink::marks::Marks;
use crate::kafka_sink::options::KafkaSinkOptions;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use replication::error::{Error, Kind, Result};
use std::iter;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::debug;

/// How long a broker that restarts is waited for.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// How long one question for the marks may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often the marks are asked for until they are answered.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The group whose offset's metadata are the marks.
pub(super) struct StoredMarks {
    /// Asks for the group's offset; never reads a topic.
    consumer: Arc<BaseConsumer<Context>>,
    topic: Arc<str>,
    offset: i64,
}

impl StoredMarks {
    /// Makes the client, and reads the marks that are stored.
    pub(super) async fn open(options: &KafkaSinkOptions, topic: Arc<str>) -> Result<(Self, Marks)> {
        let config = options.remembering();
        let made = spawn_blocking(move || config.create_with_context(Context::default())).await;
        let consumer = made.map_err(aborted)?.map_err(|error| refused_options(&error))?;
        let mut stored = Self { consumer: Arc::new(consumer), topic, offset: 0 };
        let marks = stored.read().await?;
        Ok((stored, marks))
    }

    /// Reads the marks that are stored. The coordinator of a new group may not be ready yet.
    async fn read(&mut self) -> Result<Marks> {
        let deadline = Instant::now() + READ_WITHIN;
        loop {
            let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
            let asked = spawn_blocking(move || committed(&consumer, &topic)).await;
            match asked.map_err(aborted)? {
                Ok(Some((offset, text))) => {
                    self.offset = offset;
                    return Marks::of(&text).ok_or_else(|| not_ours(&self.topic));
                }
                Ok(None) => return Ok(Marks::default()),
                Err(error) => {
                    let failed = fault("Kafka does not answer with the marks", code(&error), error);
                    if failed.kind == Kind::Permanent || Instant::now() > deadline {
                        return Err(failed);
                    }
                    debug!(%failed, "the marks are asked for again");
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// What a transaction commits to store these marks: the group, by its client, and the offsets.
    pub(super) fn next_commit(
        &mut self,
        marks: &Marks,
    ) -> Result<(Arc<BaseConsumer<Context>>, TopicPartitionList)> {
        self.offset += 1;
        let mut offsets = TopicPartitionList::new();
        let mut added = offsets.add_partition(&self.topic, 0);
        added.set_metadata(marks.text());
        let set = added.set_offset(Offset::Offset(self.offset));
        set.map_err(|error| transaction_failed("commit a transaction", error))?;
        Ok((self.consumer.clone(), offsets))
    }
}

/// Without its marks an append could be repeated.
fn not_ours(topic: &str) -> Error {
    Error::permanent(format!(
        "the marks of this task on the Kafka topic {topic} were written by a newer milvus-cdc; run \
         that version"
    ))
}

/// The committed offset and the text of the marks stored with it.
fn committed(consumer: &BaseConsumer<Context>, topic: &str) -> KafkaResult<Option<(i64, String)>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let answered = consumer.committed_offsets(asked, ANSWER_WITHIN).map_err(|error| {
        // librdkafka asks a broker that refuses again until the time is up, and reports the refusal
        // as an event.
        let polled = iter::from_fn(|| consumer.poll(Duration::ZERO));
        let mut events = polled.filter_map(|polled| polled.err());
        let refused = events.find(|event| code(event) == Some(Code::GroupAuthorizationFailed));
        refused.unwrap_or(error)
    })?;
    let Some(found) = answered.find_partition(topic, 0) else { return Ok(None) };
    found.error()?;
    let Offset::Offset(offset) = found.offset() else { return Ok(None) };
    Ok(Some((offset, found.metadata().to_owned())))
}
