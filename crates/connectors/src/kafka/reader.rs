//! Reads one channel from its queue inside the shared client. Never blocks a thread, and never
//! copies a large message: its bytes stay in the client's memory until the last user drops them.

use super::client::{Clients, Context, Reserved};
use super::offset::id_of;
use super::probe::Probe;
use crate::kafka_fault::{aborted, refused_login};
use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use replication::error::{Error, Result};
use replication::ports::{ChannelReader, Record};
use self_cell::self_cell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tracing::{debug, warn};

/// librdkafka notifies us when a queue is no longer empty. If a notification is ever missed, a
/// message is this late.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// How long a refused login may be a passing state of the broker.
const REFUSED_FOR: Duration = Duration::from_secs(8);

/// A source logs ticks several times a second. If a channel is quiet for this long, it is found out
/// whether the client still has a broker.
const QUIET_FOR: Duration = Duration::from_secs(10);

/// A smaller message is copied: a tick would keep its whole batch in memory.
const COPIED_BELOW: usize = 4 << 10;

/// A channel's queue inside the client. It lives as long as any message that was read from it.
struct Queue {
    queue: PartitionQueue<Context>,
    /// Dropped after the queue. Dropping the queue also removes the notifications of the channel,
    /// so the next reader of the channel in this client must not exist yet.
    reserved: Reserved,
}

self_cell!(
    /// A message in the client's memory, and the queue that keeps it there.
    struct SharedMessage {
        owner: Arc<Queue>,
        #[not_covariant]
        dependent: BorrowedMessage,
    }
);

impl AsRef<[u8]> for SharedMessage {
    fn as_ref(&self) -> &[u8] {
        self.with_dependent(|_, message| message.payload().unwrap_or_default())
    }
}

/// An open channel.
pub(super) struct Reader {
    channel: String,
    clients: Arc<Clients>,
    probe: Arc<Probe>,
    queue: Arc<Queue>,
    filled: Arc<Notify>,
    refusal: watch::Receiver<Option<String>>,
    refused_since: Option<Instant>,
    /// The lowest offset to be read next.
    next: i64,
    /// Whether the topic no longer has `next`.
    out_of_range: bool,
    /// When a message came last, or it was last looked for the broker.
    heard: Instant,
    /// Finds out whether the client is stranded. Goes on even if nobody waits for it.
    looking: Option<JoinHandle<bool>>,
}

impl Reader {
    /// Opens a channel at an offset, in a client that does not read it yet.
    pub(super) async fn open(
        clients: Arc<Clients>,
        probe: Arc<Probe>,
        channel: String,
        from: i64,
    ) -> Result<Self> {
        // Assigning waits for librdkafka's main thread.
        let reader = spawn_blocking(move || {
            let reserved = clients.reserve(&channel)?;
            let found = reserved.finder();
            let reader = Self::assign(reserved, clients, probe, channel, from)?;
            // Without a broker this takes long, and nothing has to wait for it.
            spawn_blocking(found);
            Ok(reader)
        });
        reader.await.map_err(aborted)?
    }

    fn assign(
        reserved: Reserved,
        clients: Arc<Clients>,
        probe: Arc<Probe>,
        channel: String,
        from: i64,
    ) -> Result<Self> {
        let mut queue = reserved.assign(from)?;
        let filled = Arc::new(Notify::new());
        let notify = filled.clone();
        queue.set_nonempty_callback(move || notify.notify_one());
        // Messages from before the callback was set are not announced.
        filled.notify_one();
        let refusal = reserved.health().refusal();
        Ok(Self {
            channel,
            clients,
            probe,
            queue: Arc::new(Queue { queue, reserved }),
            filled,
            refusal,
            refused_since: None,
            next: from,
            out_of_range: false,
            heard: Instant::now(),
            looking: None,
        })
    }

    /// The error for an offset that the topic does not have: says what was asked for and what there
    /// is.
    async fn loss(&self) -> Error {
        let (probe, channel) = (self.probe.clone(), self.channel.clone());
        let stored = spawn_blocking(move || probe.stored(&channel)).await;
        let stored = match stored.map_err(aborted).and_then(|stored| stored) {
            Ok(stored) => stored,
            Err(error) => return error,
        };
        let (channel, next) = (&self.channel, self.next);
        match stored {
            Some(stored) if (stored.start..=stored.end).contains(&next) => {
                // The broker had not finished starting: it is asked again.
                Error::transient(format!("Kafka did not find offset {next} of {channel}"))
            }
            Some(stored) => Error::permanent(format!(
                "channel {channel} was to be read from offset {next}, but Kafka has {} to {}: {}. \
                 Nothing was skipped; start from a position that is still stored, after making \
                 the target equal to the source there",
                stored.start,
                stored.end,
                lost(next, stored.start),
            )),
            None => Error::permanent(format!(
                "channel {channel} was to be read from offset {next}, but its Kafka topic is gone"
            )),
        }
    }

    /// Begins to look for the broker if the channel has been quiet for long.
    fn look_for_the_broker(&mut self) {
        if self.looking.is_some() || self.heard.elapsed() < QUIET_FOR {
            return;
        }
        self.heard = Instant::now();
        let (queue, probe, channel) =
            (self.queue.clone(), self.probe.clone(), self.channel.clone());
        let asked = move || probe.stored(&channel).map(drop);
        self.looking = Some(spawn_blocking(move || queue.reserved.stranded(asked)));
    }

    /// Goes on in another client: this one has lost its brokers, and does not look for them again.
    async fn move_on(&mut self) -> Result<()> {
        warn!(
            channel = self.channel,
            "the Kafka client has lost its brokers although Kafka answers: it is made anew"
        );
        let (clients, probe) = (self.clients.clone(), self.probe.clone());
        *self = Self::open(clients, probe, self.channel.clone(), self.next).await?;
        Ok(())
    }

    /// Returns an error once a refusal has lasted and a second connection is refused as well.
    async fn refused(&mut self) -> Option<Error> {
        let reason = self.refusal.borrow_and_update().clone();
        let Some(reason) = reason else {
            self.refused_since = None;
            return None;
        };
        let since = *self.refused_since.get_or_insert_with(Instant::now);
        if since.elapsed() < REFUSED_FOR {
            return None;
        }
        let (probe, channel) = (self.probe.clone(), self.channel.clone());
        match spawn_blocking(move || probe.stored(&channel)).await {
            Ok(Ok(_)) => {
                self.queue.reserved.health().served();
                self.refused_since = None;
                None
            }
            _ => Some(refused_login(&reason)),
        }
    }
}

/// Waits for the end of a look; for ever if there is none. Safe to cancel.
async fn found(looking: &mut Option<JoinHandle<bool>>) -> bool {
    match looking {
        Some(looking) => looking.await.unwrap_or(false),
        None => std::future::pending().await,
    }
}

fn lost(next: i64, start: i64) -> String {
    if next < start {
        format!("{} messages are lost to the retention", start - next)
    } else {
        "the position lies beyond the end, so the topic was created anew or belongs to another \
         cluster"
            .to_owned()
    }
}

#[async_trait]
impl ChannelReader for Reader {
    async fn next(&mut self) -> Result<Record> {
        loop {
            if let Some(record) = self.try_next()? {
                return Ok(record);
            }
            if self.out_of_range {
                return Err(self.loss().await);
            }
            if let Some(error) = self.refused().await {
                return Err(error);
            }
            self.look_for_the_broker();
            tokio::select! {
                stranded = found(&mut self.looking) => {
                    self.looking = None;
                    if stranded {
                        self.move_on().await?;
                    }
                }
                () = self.filled.notified() => {}
                _ = self.refusal.changed() => {}
                () = tokio::time::sleep(LOOK_ANYWAY) => {}
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        loop {
            let polled = SharedMessage::try_new(self.queue.clone(), |queue| {
                queue.queue.poll(Duration::ZERO).ok_or(None)?.map_err(Some)
            });
            match polled {
                Ok(message) => {
                    let offset = message.with_dependent(|_, message| message.offset());
                    if offset < self.next {
                        continue;
                    }
                    self.next = offset + 1;
                    self.heard = Instant::now();
                    self.queue.reserved.health().served();
                    return Ok(Some(Record { id: id_of(offset), payload: bytes_of(message) }));
                }
                Err(None) => return Ok(None),
                Err(Some(error)) if is_out_of_range(&error) => self.out_of_range = true,
                Err(Some(KafkaError::MessageConsumptionFatal(code))) => {
                    let what = format!("the Kafka client has failed on channel {}", self.channel);
                    return Err(Error::transient(what).because(code));
                }
                // The topic does not exist yet, or the broker is unreachable: librdkafka tries
                // again.
                Err(Some(error)) => {
                    debug!(channel = self.channel, %error, "Kafka topic not readable");
                }
            }
        }
    }
}

fn bytes_of(message: SharedMessage) -> Bytes {
    let payload = message.as_ref();
    if payload.len() < COPIED_BELOW {
        return Bytes::copy_from_slice(payload);
    }
    Bytes::from_owner(message)
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queue.reserved.unassign();
    }
}
