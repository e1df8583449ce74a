//! One session of a sink: a producer and what it needs, until something fails. Never goes on after
//! a failure, nor after an append whose caller stopped waiting.

mod producer;
mod stored_marks;
mod topics;

use crate::kafka_sink::event_format::EventFormat;
use crate::kafka_sink::fault::transaction_failed;
use crate::kafka_sink::go_format::GoFormat;
use crate::kafka_sink::marks::Marks;
use crate::kafka_sink::options::{Format, KafkaSinkOptions};
use crate::kafka_sink::record::SinkRecord;
use producer::Producer;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use replication::error::{Error, Result};
use replication::ports::Change;
use std::sync::Arc;
use std::time::Duration;
use stored_marks::StoredMarks;
use tokio::task::spawn_blocking;
use topics::Topics;
use tracing::debug;

/// How long a step of a transaction may take, for a broker may restart meanwhile.
const STEP_WITHIN: Duration = Duration::from_secs(60);

/// How long aborting may take. It only helps readers: the next session aborts anyway.
const ABORTED_WITHIN: Duration = Duration::from_secs(5);

/// Other tasks get a turn after so many records, each of which is encoded without a pause.
const TURN: usize = 64;

/// A producer, its topics and its format.
pub(super) struct Session {
    producer: Producer,
    topics: Topics,
    encoder: Encoder,
    /// Only an exact sink has them.
    stored_marks: Option<StoredMarks>,
    /// Whether the last append is whole.
    is_whole: bool,
}

/// A format.
enum Encoder {
    Go(GoFormat),
    Event(EventFormat),
}

impl Encoder {
    fn change(&mut self, change: &Change<'_>, out: &mut Vec<SinkRecord>) -> Result<()> {
        match self {
            Self::Go(encoder) => encoder.change(change, out),
            Self::Event(encoder) => encoder.change(change, out),
        }
    }

    fn end(&mut self, out: &mut Vec<SinkRecord>) {
        match self {
            Self::Go(encoder) => encoder.end(out),
            Self::Event(_) => {}
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
    /// Makes a producer, fences the one before it, and reads the marks of an exact sink.
    pub(super) async fn open(options: &KafkaSinkOptions) -> Result<(Self, Option<Marks>)> {
        let producer = Producer::new(options)?;
        match Self::open_with(options, &producer).await {
            Ok((topics, encoder, stored_marks, marks)) => {
                let session = Self { producer, topics, encoder, stored_marks, is_whole: true };
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
    ) -> Result<(Topics, Encoder, Option<StoredMarks>, Option<Marks>)> {
        let (topic, events) = options.topics().map_err(|invalid| {
            Error::permanent("the topics of the Kafka sink can't be used").because(invalid)
        })?;
        let events: Arc<str> = events.name(&options.task, "", "").into();
        let mut topics = Topics::new(options, &events, producer.topics().await?);
        let encoder = match options.format {
            Format::Replicate => Encoder::Go(GoFormat::new(
                topic.name(&options.task, "", "").into(),
                options.record_bytes,
                options.progress_every,
            )),
            Format::ChangeEvent => Encoder::Event(EventFormat::new(options, topic, events.clone())),
        };
        if !options.exact {
            return Ok((topics, encoder, None, None));
        }
        let begun = producer.call(|client| client.init_transactions(STEP_WITHIN)).await;
        begun.map_err(|error| transaction_failed("begin transactions", error))?;
        topics.partitions(&events, producer).await?;
        let (stored, marks) = StoredMarks::open(options, events).await?;
        Ok((topics, encoder, Some(stored), Some(marks)))
    }

    /// Drops the producer and its unsent records.
    pub(super) async fn close(self) {
        self.producer.close().await;
        let closed = spawn_blocking(move || drop(self.stored_marks)).await;
        if let Err(error) = closed {
            debug!(%error, "a Kafka client was not closed well");
        }
    }

    /// Begins an append; `None` if the last one was not whole. No other may begin until
    /// [`done`](Self::done).
    pub(super) fn begin(&mut self) -> Option<&mut Self> {
        std::mem::replace(&mut self.is_whole, false).then_some(self)
    }

    /// Ends an append as whole.
    pub(super) fn done(&mut self) {
        self.is_whole = true;
    }

    /// Appends changes; an exact sink stores `marks` with them.
    pub(super) async fn append(&mut self, changes: &[Change<'_>], marks: &Marks) -> Result<()> {
        let mut in_transaction = false;
        let mut appended = self.write_all(changes, &mut in_transaction).await;
        if appended.is_ok() && in_transaction {
            appended = self.commit(marks).await;
        }
        if appended.is_err() && in_transaction {
            let aborted = self.producer.call(|client| client.abort_transaction(ABORTED_WITHIN));
            if let Err(error) = aborted.await {
                debug!(%error, "a transaction is left to the next session");
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

    async fn write(
        &mut self,
        records: &mut Vec<SinkRecord>,
        in_transaction: &mut bool,
    ) -> Result<()> {
        for (place, record) in records.drain(..).enumerate() {
            if self.stored_marks.is_some() && !*in_transaction {
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

    /// Commits the transaction. Without an answer it is not known whether that happened: then the
    /// stored marks say so.
    async fn commit(&mut self, marks: &Marks) -> Result<()> {
        let Some(stored) = &mut self.stored_marks else { return Ok(()) };
        let (consumer, offsets) = stored.next_commit(marks)?;
        let committed = self.producer.call(move |client| {
            let group = consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            client.send_offsets_to_transaction(&offsets, &group, STEP_WITHIN)?;
            client.commit_transaction(STEP_WITHIN)
        });
        committed.await.map_err(|error| transaction_failed("commit a transaction", error))
    }
}
