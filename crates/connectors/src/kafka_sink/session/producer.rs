//! One producer of librdkafka, and which of its records are not acknowledged yet. Never retries
//! after librdkafka has given up, and never drops a record because the queue is full.

use crate::kafka_fault::{refused_login, refused_options};
use crate::kafka_sink::fault::{code, fault};
use crate::kafka_sink::options::KafkaSinkOptions;
use crate::kafka_sink::record::SinkRecord;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{
    BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::types::RDKafkaErrorCode as Code;
use replication::error::{Error, Result};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

/// How long an answer may take: a healthy broker needs milliseconds, but it may restart.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How long a producer that is closed waits for acknowledgements.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// librdkafka's producer.
pub(super) type Client = ThreadedProducer<Context>;

/// A producer, for one session of its sink.
pub(super) struct Producer {
    client: Arc<Client>,
}

impl Producer {
    /// Makes the producer; it connects in the background.
    pub(super) fn new(options: &KafkaSinkOptions) -> Result<Self> {
        let made = options.producing().create_with_context(Context::default());
        let client = made.map_err(|error| refused_options(&error))?;
        Ok(Self { client: Arc::new(client) })
    }

    /// Drops the producer and its unsent records. Waits until it is gone, and for the
    /// acknowledgements of records in flight: without transactions nothing else prevents a record
    /// from arriving late.
    pub(super) async fn close(self) {
        let closed = spawn_blocking(move || {
            self.client.purge(PurgeConfig::default().queue());
            if let Err(error) = self.client.flush(ANSWERED_WITHIN) {
                debug!(%error, "records of an earlier producer are not answered");
            }
            drop(self);
        });
        if let Err(error) = closed.await {
            warn!(%error, "a Kafka producer was not closed well");
        }
    }

    /// The existing topics, and how many partitions each has.
    pub(super) async fn topics(&self) -> Result<HashMap<String, i32>> {
        let metadata = self.call(|client| client.client().fetch_metadata(None, ANSWER_WITHIN));
        let metadata = metadata.await.map_err(|error| self.unanswered(error))?;
        let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
        Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32)).collect())
    }

    /// How many partitions a topic has; zero if it does not exist yet.
    pub(super) async fn partitions(&self, topic: &str) -> Result<i32> {
        let name = topic.to_owned();
        let asked =
            move |client: &Client| client.client().fetch_metadata(Some(&name), ANSWER_WITHIN);
        let metadata = self.call(asked).await.map_err(|error| self.unanswered(error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        Ok(found.filter(|topic| topic.error().is_none()).map_or(0, |t| t.partitions().len() as i32))
    }

    /// Hands over a record; waits while the queue is full.
    pub(super) async fn send(&self, record: &SinkRecord, partition: Option<i32>) -> Result<()> {
        let flight = &self.client.context().flight;
        let mut base = BaseRecord::<[u8], [u8]>::to(&record.topic);
        base.partition = partition;
        base.key = record.key.as_deref();
        base.payload = record.value.as_deref();
        base.headers = record.origin.as_ref().map(crate::kafka_sink::record::Origin::headers);
        loop {
            let moved = flight.moved.notified();
            self.check()?;
            flight.outstanding.fetch_add(1, Ordering::AcqRel);
            let Err((error, back)) = self.client.send(base) else {
                return Ok(());
            };
            flight.outstanding.fetch_sub(1, Ordering::AcqRel);
            if code(&error) != Some(Code::QueueFull) {
                return Err(self.refusal(&record.topic, error));
            }
            base = back;
            moved.await;
        }
    }

    /// Waits until all sent records are acknowledged.
    pub(super) async fn settled(&self) -> Result<()> {
        let flight = &self.client.context().flight;
        loop {
            let moved = flight.moved.notified();
            let is_settled = flight.outstanding.load(Ordering::Acquire) == 0;
            self.check()?;
            if is_settled {
                return Ok(());
            }
            moved.await;
        }
    }

    fn check(&self) -> Result<()> {
        let failed = &self.client.context().flight.failed;
        match &*failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((topic, error)) => Err(self.refusal(topic, error.clone())),
            None => Ok(()),
        }
    }

    /// The error for a topic. After a fatal error, all later errors only say that there was one.
    fn refusal(&self, topic: &str, error: KafkaError) -> Error {
        let fatal = self.client.client().fatal_error().map(|(code, _)| code);
        let what = format!("can't write to the Kafka topic {topic}");
        fault(&what, fatal.or(code(&error)), error)
    }

    /// Makes a call of librdkafka that may block.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Client) -> KafkaResult<T> + Send + 'static,
    ) -> KafkaResult<T> {
        let client = self.client.clone();
        spawn_blocking(move || f(&client)).await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// The error for a broker that does not answer: transient, unless it has refused us with a
    /// reason.
    pub(super) fn unanswered(&self, error: KafkaError) -> Error {
        let reason = self.client.context().refusal.lock().unwrap_or_else(PoisonError::into_inner);
        match &*reason {
            Some(reason) => refused_login(reason).because(error),
            None => fault("Kafka does not answer", code(&error), error),
        }
    }
}

/// Records that are not acknowledged yet.
#[derive(Default)]
struct Flight {
    outstanding: AtomicUsize,
    /// The first failure and its topic. It is kept, since any later record would leave a gap.
    failed: Mutex<Option<(String, KafkaError)>>,
    moved: Notify,
}

/// Receives librdkafka's acknowledgements, errors and logs.
#[derive(Default)]
pub(super) struct Context {
    flight: Flight,
    /// Why the broker refuses us.
    refusal: Mutex<Option<String>>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(?level, facility, message, "Kafka producer log");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(Code::Authentication | Code::SSL) = code(&error) {
            let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
            *refusal = Some(reason.to_owned());
        }
        debug!(%error, reason, "Kafka producer error");
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result {
            let topic = rdkafka::Message::topic(record).to_owned();
            let mut failed = self.flight.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert_with(|| (topic, error.clone()));
        }
        self.flight.outstanding.fetch_sub(1, Ordering::AcqRel);
        self.flight.moved.notify_one();
    }
}
