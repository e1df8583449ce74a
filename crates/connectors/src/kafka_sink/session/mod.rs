//! One life of a sink: a producer from when it is made until something fails. Never goes on behind a
//! failure, nor behind an append that somebody stopped waiting for.

mod producer;
mod topics;

use crate::kafka_login::refused_options;
use crate::kafka_sink::event_format::ChangeEvents;
use crate::kafka_sink::fault::{code, fault};
use crate::kafka_sink::go_format::Replicate;
use crate::kafka_sink::marks::Marks;
use crate::kafka_sink::options::{Format, KafkaSinkOptions};
use crate::kafka_sink::record::Record;
use producer::{Context, Producer};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};
use replication::error::{Error, Kind, Result};
use replication::ports::Change;
use std::iter;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::Instant;
use topics::Topics;
use tracing::debug;

/// A step of a transaction may wait for a broker that restarts.
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// Aborting is a courtesy to readers: the next life does it anyway.
const ABORTED_WITHIN: Duration = Duration::from_secs(5);

/// How long one question for the marks may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often the marks are asked for until they are told.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Records after which others get a turn: each is encoded without a pause.
const TURN: usize = 64;

/// A producer and what it writes.
pub(super) struct Session {
    producer: Producer,
    topics: Topics,
    encoder: Encoder,
    /// Only of an exact sink.
    ledger: Option<Ledger>,
    /// Whether the last append is whole.
    is_whole: bool,
}

/// Where an exact sink keeps its marks: in an offset that is committed with each transaction.
struct Ledger {
    consumer: Arc<BaseConsumer<Context>>,
    topic: Arc<str>,
    offset: i64,
}

/// A format.
enum Encoder {
    Replicate(Replicate),
    ChangeEvents(ChangeEvents),
}

impl Encoder {
    fn change(&mut self, change: &Change<'_>, out: &mut Vec<Record>) -> Result<()> {
        match self {
            Self::Replicate(encoder) => encoder.change(change, out),
            Self::ChangeEvents(encoder) => encoder.change(change, out),
        }
    }

    fn end(&mut self, out: &mut Vec<Record>) {
        match self {
            Self::Replicate(encoder) => encoder.end(out),
            Self::ChangeEvents(_) => {}
        }
    }
}

/// Asks the brokers for their topics, once, with a producer of its own.
pub(super) async fn ping(options: &KafkaSinkOptions) -> Result<()> {
    let producer = Producer::new(options)?;
    let answered = producer.topics().await;
    producer.close().await;
    answered.map(|_| ())
}

impl Session {
    /// Makes a producer and shuts out the one before it; reads the marks of an exact sink.
    pub(super) async fn open(options: &KafkaSinkOptions) -> Result<(Self, Option<Marks>)> {
        let producer = Producer::new(options)?;
        match Self::open_with(options, &producer).await {
            Ok((topics, encoder, ledger, marks)) => {
                let session = Self { producer, topics, encoder, ledger, is_whole: true };
                Ok((session, marks))
            }
            Err(error) => {
                producer.close().await;
                Err(error)
            }
        }
    }

    async fn open_with(
        options: &KafkaSinkOptions,
        producer: &Producer,
    ) -> Result<(Topics, Encoder, Option<Ledger>, Option<Marks>)> {
        let (topic, events) = options.topics().map_err(|invalid| {
            Error::permanent("the topics of the Kafka sink can't be used").because(invalid)
        })?;
        let events: Arc<str> = events.name(&options.task, "", "").into();
        let mut topics = Topics::new(options, &events, producer.topics().await?);
        let encoder = match options.format {
            Format::Replicate => Encoder::Replicate(Replicate::new(
                topic.name(&options.task, "", "").into(),
                options.record_bytes,
                options.progress_every,
            )),
            Format::ChangeEvent => {
                Encoder::ChangeEvents(ChangeEvents::new(options, topic, events.clone()))
            }
        };
        if !options.exact {
            return Ok((topics, encoder, None, None));
        }
        let begun = producer.call(|client| client.init_transactions(STEP_WITHIN)).await;
        begun.map_err(|error| transaction_failed("begin transactions", error))?;
        topics.partitions(&events, producer).await?;
        let (ledger, marks) = Ledger::open(options, events).await?;
        Ok((topics, encoder, Some(ledger), Some(marks)))
    }

    /// Drops the producer and what it had not sent.
    pub(super) async fn close(self) {
        self.producer.close().await;
        let closed = spawn_blocking(move || drop(self.ledger)).await;
        if let Err(error) = closed {
            debug!(%error, "a kafka client was not closed well");
        }
    }

    /// Itself if it may append; from now on it may not, until the append is done.
    pub(super) fn begin(&mut self) -> Option<&mut Self> {
        std::mem::replace(&mut self.is_whole, false).then_some(self)
    }

    /// The append is whole.
    pub(super) fn done(&mut self) {
        self.is_whole = true;
    }

    /// Appends changes; an exact sink's marks become `marks` with them.
    pub(super) async fn append(&mut self, changes: &[Change<'_>], marks: &Marks) -> Result<()> {
        let mut in_transaction = false;
        let mut appended = self.write_all(changes, &mut in_transaction).await;
        if appended.is_ok() && in_transaction {
            appended = self.commit(marks).await;
        }
        if appended.is_err() && in_transaction {
            let aborted = self.producer.call(|client| client.abort_transaction(ABORTED_WITHIN));
            if let Err(error) = aborted.await {
                debug!(%error, "a transaction is left to the next life");
            }
        }
        appended
    }

    async fn write_all(&mut self, changes: &[Change<'_>], in_transaction: &mut bool) -> Result<()> {
        let mut records = Vec::new();
        for change in changes {
            self.encoder.change(change, &mut records)?;
            self.write(&mut records, in_transaction).await?;
        }
        self.encoder.end(&mut records);
        self.write(&mut records, in_transaction).await?;
        self.producer.settled().await
    }

    async fn write(&mut self, records: &mut Vec<Record>, in_transaction: &mut bool) -> Result<()> {
        for (place, record) in records.drain(..).enumerate() {
            if self.ledger.is_some() && !*in_transaction {
                let begun = self.producer.call(rdkafka::producer::Producer::begin_transaction);
                begun.await.map_err(|error| transaction_failed("begin a transaction", error))?;
                *in_transaction = true;
            }
            if record.apart {
                self.producer.settled().await?;
            }
            let count = self.topics.partitions(&record.topic, &self.producer).await?;
            self.producer.send(&record, record.partition.number(count)).await?;
            if record.apart {
                self.producer.settled().await?;
            } else if place % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Without an answer to it nobody knows whether it happened: the marks will tell.
    async fn commit(&mut self, marks: &Marks) -> Result<()> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        ledger.offset += 1;
        let offsets = ledger.offsets(marks)?;
        let consumer = ledger.consumer.clone();
        let committed = self.producer.call(move |client| {
            let group = consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            client.send_offsets_to_transaction(&offsets, &group, STEP_WITHIN)?;
            client.commit_transaction(STEP_WITHIN)
        });
        committed.await.map_err(|error| transaction_failed("commit a transaction", error))
    }
}

impl Ledger {
    async fn open(options: &KafkaSinkOptions, topic: Arc<str>) -> Result<(Self, Marks)> {
        let config = options.remembering();
        let made = spawn_blocking(move || config.create_with_context(Context::default())).await;
        let consumer = made.map_err(aborted)?.map_err(|error| refused_options(&error))?;
        let mut ledger = Self { consumer: Arc::new(consumer), topic, offset: 0 };
        let marks = ledger.read().await?;
        Ok((ledger, marks))
    }

    /// Reads the marks that are stored. The coordinator of a group that is new may not be ready.
    async fn read(&mut self) -> Result<Marks> {
        let deadline = Instant::now() + STEP_WITHIN;
        loop {
            let (consumer, topic) = (self.consumer.clone(), self.topic.clone());
            let asked = spawn_blocking(move || committed(&consumer, &topic)).await;
            match asked.map_err(aborted)? {
                Ok(Some((offset, marks))) => {
                    self.offset = offset;
                    return Ok(marks);
                }
                Ok(None) => return Ok(Marks::default()),
                Err(error) => {
                    let failed = fault("Kafka does not tell the marks", code(&error), error);
                    if failed.kind == Kind::Permanent || Instant::now() > deadline {
                        return Err(failed);
                    }
                    debug!(%failed, "the marks are asked for again");
                }
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn offsets(&self, marks: &Marks) -> Result<TopicPartitionList> {
        let mut offsets = TopicPartitionList::new();
        let mut added = offsets.add_partition(&self.topic, 0);
        added.set_metadata(marks.text());
        let set = added.set_offset(Offset::Offset(self.offset));
        set.map_err(|error| transaction_failed("commit a transaction", error))?;
        Ok(offsets)
    }
}

/// The offset that is committed, and the marks with it.
fn committed(consumer: &BaseConsumer<Context>, topic: &str) -> KafkaResult<Option<(i64, Marks)>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition(topic, 0);
    let told = consumer.committed_offsets(asked, ANSWER_WITHIN).map_err(|error| {
        // librdkafka asks a broker that refuses again until the time is up, and tells of it beside.
        let polled = iter::from_fn(|| consumer.poll(Duration::ZERO));
        let mut beside = polled.filter_map(|polled| polled.err());
        let refused = beside.find(|told| code(told) == Some(Code::GroupAuthorizationFailed));
        refused.unwrap_or(error)
    })?;
    let Some(found) = told.find_partition(topic, 0) else { return Ok(None) };
    found.error()?;
    let Offset::Offset(offset) = found.offset() else { return Ok(None) };
    Ok(Some((offset, Marks::of(found.metadata()))))
}

fn aborted(error: JoinError) -> Error {
    Error::transient("a call of the Kafka client was aborted").because(error)
}

fn transaction_failed(what: &str, error: KafkaError) -> Error {
    fault(&format!("Kafka did not {what}"), code(&error), error)
}
