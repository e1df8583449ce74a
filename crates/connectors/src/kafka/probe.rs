//! Looks at the ends of channels: watermarks and the newest entries. Never disturbs a reader: it
//! has a client of its own, made at the first call, which keeps nothing between two calls.

use super::client::Context;
use super::offset::{PARTITION, id_of};
use super::options::KafkaOptions;
use crate::kafka_fault::{refused_login, refused_options};
use bytes::Bytes;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use replication::error::{Error, Result};
use replication::ports::Record;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A healthy broker answers within milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long existing messages are waited for.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The most entries that one call reads.
const NEWEST_MAX: usize = 1024;

/// The most events that are served at a time.
const EVENTS_MAX: usize = 8;

/// librdkafka reports the reason of a failure a moment after the failure itself.
const REASON_WITHIN: Duration = Duration::from_millis(100);

/// The offsets of a topic's messages: `start` to `end`, without `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Looks at the ends of channels, one at a time.
pub(super) struct Probe {
    config: ClientConfig,
    consumer: Mutex<Option<Arc<BaseConsumer<Context>>>>,
    reading: Mutex<()>,
}

impl Probe {
    pub(super) fn new(options: &KafkaOptions) -> Self {
        Self { config: options.probing(), consumer: Mutex::default(), reading: Mutex::default() }
    }

    /// The offsets of a topic's messages; `None` if the topic does not exist. Blocks.
    pub(super) fn stored(&self, channel: &str) -> Result<Option<Stored>> {
        let consumer = self.consumer()?;
        self.kept_if(&consumer, stored(&consumer, channel))
    }

    /// The last entries below the end. Blocks.
    pub(super) fn newest(&self, channel: &str, count: usize) -> Result<Vec<Record>> {
        let consumer = self.consumer()?;
        let found = self.kept_if(&consumer, stored(&consumer, channel))?;
        let Some(Stored { start, end }) = found else {
            return Ok(vec![]);
        };
        let from = start.max(end - count.min(NEWEST_MAX) as i64);
        if from >= end {
            return Ok(vec![]);
        }
        // The client has one queue and one assignment.
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(channel, PARTITION, Offset::Offset(from))
            .and_then(|()| consumer.assign(&list));
        assigned.map_err(|error| unanswered(&consumer, channel).because(error))?;
        let records = read(&consumer, channel, end);
        if let Err(error) = consumer.unassign() {
            tracing::debug!(channel, %error, "can't stop looking at a Kafka topic");
        }
        records
    }

    /// Gives a client up that did not get an answer: it may have lost its brokers for good
    /// (`Reserved::stranded`), and the next call makes another one.
    fn kept_if<T>(&self, asked: &Arc<BaseConsumer<Context>>, answer: Result<T>) -> Result<T> {
        if answer.is_err() {
            let mut consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
            // Another call may have done so already.
            consumer.take_if(|kept| Arc::ptr_eq(kept, asked));
        }
        answer
    }

    fn consumer(&self) -> Result<Arc<BaseConsumer<Context>>> {
        let mut consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(consumer) = &*consumer {
            return Ok(consumer.clone());
        }
        let made: BaseConsumer<Context> = self
            .config
            .create_with_context(Context::default())
            .map_err(|error| refused_options(&error))?;
        Ok(consumer.insert(Arc::new(made)).clone())
    }
}

fn stored(consumer: &BaseConsumer<Context>, channel: &str) -> Result<Option<Stored>> {
    // This also serves events, among them a refused login.
    serve_events(consumer, Duration::ZERO);
    // Asking for the watermarks of a missing topic would take until the timeout.
    let metadata = consumer
        .fetch_metadata(Some(channel), ANSWER_WITHIN)
        .map_err(|error| unanswered(consumer, channel).because(error))?;
    // One that is just being fenced or starts: it does not know its topics either.
    if metadata.brokers().is_empty() {
        return Err(unanswered(consumer, channel));
    }
    consumer.context().health.served();
    let exists = metadata.topics().iter().any(|topic| {
        topic.name() == channel && topic.error().is_none() && !topic.partitions().is_empty()
    });
    if !exists {
        return Ok(None);
    }
    match consumer.fetch_watermarks(channel, PARTITION, ANSWER_WITHIN) {
        Ok((start, end)) => Ok(Some(Stored { start, end })),
        Err(error) if is_unknown(&error) => Ok(None),
        Err(error) => Err(unanswered(consumer, channel).because(error)),
    }
}

/// Reads up to `end`, within the time limit. Late entries of the previous channel are skipped.
fn read(consumer: &BaseConsumer<Context>, channel: &str, end: i64) -> Result<Vec<Record>> {
    let deadline = Instant::now() + READ_WITHIN;
    let mut records = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(unanswered(consumer, channel));
        }
        match consumer.poll(left) {
            Some(Ok(message)) if message.topic() == channel => {
                let offset = message.offset();
                if offset < end {
                    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                    records.push(Record { id: id_of(offset), payload });
                }
                if offset + 1 >= end {
                    return Ok(records);
                }
            }
            Some(Err(error)) if is_unknown(&error) => return Ok(records),
            // Retention has removed messages in between: the next call sees the rest.
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) =>
            {
                return Ok(records);
            }
            _ => {}
        }
    }
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// Serves events, which come one by one; each failed connection causes a few.
fn serve_events(consumer: &BaseConsumer<Context>, wait: Duration) {
    for _ in 0..EVENTS_MAX {
        if consumer.poll(wait).is_none() {
            return;
        }
    }
}

/// The error for a broker that does not answer: transient, unless it has refused us with a reason.
fn unanswered(consumer: &BaseConsumer<Context>, channel: &str) -> Error {
    serve_events(consumer, REASON_WITHIN);
    let refusal = consumer.context().health.refusal();
    if let Some(reason) = &*refusal.borrow() {
        return refused_login(reason);
    }
    Error::transient(format!("Kafka does not answer about the channel {channel}"))
}
