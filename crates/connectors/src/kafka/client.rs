//! The librdkafka clients of a queue: one that many channels share, and more for second readers.
//! Never reads a message: each channel has a queue of its own inside the client.
//!
//! One client for all channels is one broker connection and three threads instead of seventeen
//! times that. Closing a channel and opening it elsewhere in the same client is safe: messages of
//! the earlier assignment have an older version, so librdkafka discards them. The test
//! `a_channel_can_be_closed_and_reopened_elsewhere_at_once` shows that with a real broker.

use super::offset::PARTITION;
use super::options::KafkaOptions;
use crate::kafka_fault::refused_options;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use replication::error::{Error, Result};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// How long the thread of events waits at a time, and so how late it notices that its client is
/// gone.
const EVENTS_WAIT: Duration = Duration::from_secs(1);

/// How long the broker of a channel is looked for; after that librdkafka looks by itself.
const FOUND_WITHIN: Duration = Duration::from_secs(1);

/// The most readers of one channel at a time: each of them needs a client of its own.
const CLIENTS_MAX: usize = 64;

/// The clients that read channels, for all readers of a queue.
pub(super) struct Clients {
    options: KafkaOptions,
    /// A topic can be open once per client, so a second reader of a channel gets a second client.
    made: Mutex<Vec<Arc<Client>>>,
}

impl Clients {
    /// Makes the first client; connects in the background.
    pub(super) fn new(options: KafkaOptions) -> Result<Self> {
        let made = Mutex::new(vec![Client::new(&options)?]);
        Ok(Self { options, made })
    }

    /// Those that were made.
    pub(super) fn made(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a channel in the first client that does not read it yet.
    pub(super) fn reserve(&self, channel: &str) -> Result<Reserved> {
        let mut clients = self.made();
        // Those who still read from one find out by themselves.
        clients.retain(|client| !client.is_stranded());
        if let Some(reserved) = clients.iter().find_map(|client| client.reserve(channel)) {
            return Ok(reserved);
        }
        if clients.len() < CLIENTS_MAX {
            clients.push(Client::new(&self.options)?);
        }
        clients.last().and_then(|client| client.reserve(channel)).ok_or_else(|| {
            Error::permanent(format!("the channel {channel} has {CLIENTS_MAX} readers already"))
        })
    }
}

/// One client and the channels that are open in it.
pub(super) struct Client {
    consumer: Arc<BaseConsumer<Context>>,
    open: Mutex<HashSet<String>>,
    stranded: AtomicBool,
}

impl Client {
    /// Makes the client and its thread of events; connects in the background.
    pub(super) fn new(options: &KafkaOptions) -> Result<Arc<Self>> {
        let consumer: BaseConsumer<Context> = options
            .reading()
            .create_with_context(Context::default())
            .map_err(|error| refused_options(&error))?;
        let consumer = Arc::new(consumer);
        let events = Arc::downgrade(&consumer);
        std::thread::Builder::new()
            .name("kafka-events".into())
            .spawn(move || serve_events(&events))
            .map_err(|error| Error::transient("can't start a thread").because(error))?;
        Ok(Arc::new(Self { consumer, open: Mutex::default(), stranded: AtomicBool::new(false) }))
    }

    /// Whether it was found without a broker, and so is of no use any more.
    pub(super) fn is_stranded(&self) -> bool {
        self.stranded.load(Ordering::Relaxed)
    }

    /// Reserves a channel; `None` if it is open here already.
    pub(super) fn reserve(self: &Arc<Self>, channel: &str) -> Option<Reserved> {
        let is_free = self.open().insert(channel.to_owned());
        is_free.then(|| Reserved { client: self.clone(), channel: channel.to_owned() })
    }

    fn open(&self) -> MutexGuard<'_, HashSet<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn health(&self) -> &Health {
        &self.consumer.context().health
    }
}

/// A reserved channel of a client: no other reader can open it there.
pub(super) struct Reserved {
    client: Arc<Client>,
    channel: String,
}

impl Reserved {
    /// Starts to read the channel.
    pub(super) fn assign(&self, from: i64) -> Result<PartitionQueue<Context>> {
        let (consumer, channel) = (&self.client.consumer, &self.channel);
        // The queue is split off first: otherwise the first messages would go to the client's
        // common queue.
        let queue = consumer.split_partition_queue(channel, PARTITION).ok_or_else(|| {
            Error::permanent(format!("{channel:?} is not the name of a Kafka topic"))
        })?;
        let assigned = one(channel, from).and_then(|list| consumer.incremental_assign(&list));
        assigned.map_err(|error| {
            Error::transient(format!("can't read the Kafka topic {channel}")).because(error)
        })?;
        Ok(queue)
    }

    /// Finds the broker of the channel; by itself librdkafka looks for it only once a second.
    /// Blocks. If it fails, librdkafka finds the broker later.
    pub(super) fn finder(&self) -> impl FnOnce() + Send + use<> {
        let (consumer, channel) = (self.client.consumer.clone(), self.channel.clone());
        move || {
            if let Err(error) = consumer.fetch_metadata(Some(&channel), FOUND_WITHIN) {
                debug!(channel, %error, "a Kafka topic is not found yet");
            }
        }
    }

    /// Looks whether the client still knows a broker; `asked` asks the broker by another client.
    /// Blocks. A broker that is fenced by its controller, because it stood still for longer than
    /// its session, may answer that there are no brokers. librdkafka then forgets all that it knew,
    /// those of its settings included, and never connects again (confluentinc/librdkafka#5301).
    /// Such a client is given up.
    pub(super) fn stranded(&self, asked: impl FnOnce() -> Result<()>) -> bool {
        let (consumer, channel) = (&self.client.consumer, &self.channel);
        let known = consumer.fetch_metadata(Some(channel), FOUND_WITHIN);
        if known.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
            return false;
        }
        if let Err(error) = asked() {
            self.health().lost(&error.what);
            return false;
        }
        self.client.stranded.store(true, Ordering::Relaxed);
        true
    }

    /// Stops reading the channel and discards what was prefetched.
    pub(super) fn unassign(&self) {
        let (consumer, channel) = (&self.client.consumer, &self.channel);
        let list = one(channel, 0);
        if let Err(error) = list.and_then(|list| consumer.incremental_unassign(&list)) {
            warn!(channel, %error, "can't stop reading a Kafka topic");
        }
    }

    /// The state of the connection.
    pub(super) fn health(&self) -> &Health {
        self.client.health()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.client.open().remove(&self.channel);
    }
}

fn one(channel: &str, offset: i64) -> rdkafka::error::KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(channel, PARTITION, Offset::Offset(offset))?;
    Ok(list)
}

/// Polls the client's common queue: errors and logs arrive only meanwhile. Ends with the client.
/// Closing a client can take a moment, so that happens in this thread and not in an async task.
fn serve_events(consumer: &Weak<BaseConsumer<Context>>) {
    while let Some(consumer) = consumer.upgrade() {
        if let Some(Err(error)) = consumer.poll(EVENTS_WAIT) {
            debug!(%error, "Kafka client event");
        }
    }
}

/// The state of the connection.
pub(super) struct Health {
    down: AtomicBool,
    refused: AtomicBool,
    refusal: watch::Sender<Option<String>>,
}

impl Health {
    /// Notes that the broker serves us.
    pub(super) fn served(&self) {
        if self.down.load(Ordering::Relaxed) && self.down.swap(false, Ordering::Relaxed) {
            info!("Kafka answers again");
        }
        if self.refused.load(Ordering::Relaxed) && self.refused.swap(false, Ordering::Relaxed) {
            self.refusal.send_replace(None);
        }
    }

    /// Contains a text once the broker has refused the login or the TLS handshake. A broker that
    /// restarts may do that for a moment.
    pub(super) fn refusal(&self) -> watch::Receiver<Option<String>> {
        self.refusal.subscribe()
    }

    fn lost(&self, reason: &str) {
        if !self.down.swap(true, Ordering::Relaxed) {
            warn!(reason, "Kafka does not answer, connecting again and again");
        }
    }

    fn refused(&self, reason: &str) {
        self.refusal.send_replace(Some(reason.to_owned()));
        self.refused.store(true, Ordering::Relaxed);
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            down: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            refusal: watch::Sender::new(None),
        }
    }
}

/// Receives librdkafka's errors and logs.
#[derive(Default)]
pub(super) struct Context {
    pub(super) health: Health,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // An unreachable broker is logged once, by `lost`, and not at each attempt.
        debug!(?level, facility, message, "Kafka client log");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => {
                self.health.refused(reason);
                debug!(reason, "Kafka refused the connection");
            }
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve,
            ) => self.health.lost(reason),
            _ => debug!(%error, reason, "Kafka client error"),
        }
    }
}

impl ConsumerContext for Context {}
