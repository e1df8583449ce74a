//! Reads one channel from its queue inside the shared client. Never blocks a thread.

use super::client::{Client, Context, refused};
use super::probe::Probe;
use super::{id_of, panicked};
use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::Message as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use replication::error::{Error, Result};
use replication::ports::{ChannelReader, Record};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::debug;

/// librdkafka tells when a queue is no longer empty. Should that ever be missed, this is how late
/// the message is.
const LOOK_ANYWAY: Duration = Duration::from_secs(5);

/// How long a refused login is hoped to be a passing state of the broker.
const REFUSED_FOR: Duration = Duration::from_secs(8);

/// An open channel.
pub(super) struct Reader {
    channel: String,
    client: Arc<Client>,
    probe: Arc<Probe>,
    queue: PartitionQueue<Context>,
    filled: Arc<Notify>,
    refusal: watch::Receiver<Option<String>>,
    refused_since: Option<Instant>,
    /// The offset that is read next at the earliest.
    next: i64,
    /// The queue does not hold `next`.
    out_of_range: bool,
}

impl Reader {
    /// Opens a channel that is reserved in `client`.
    pub(super) fn open(
        client: Arc<Client>,
        probe: Arc<Probe>,
        channel: String,
        from: i64,
    ) -> Result<Self> {
        let mut queue = client.assign(&channel, from)?;
        let filled = Arc::new(Notify::new());
        let notify = filled.clone();
        queue.set_nonempty_callback(move || notify.notify_one());
        // What came before the callback was set is not announced.
        filled.notify_one();
        let refusal = client.health().refusal();
        Ok(Self {
            channel,
            client,
            probe,
            queue,
            filled,
            refusal,
            refused_since: None,
            next: from,
            out_of_range: false,
        })
    }

    /// Tells what was asked for and what there is.
    async fn loss(&self) -> Error {
        let (probe, channel) = (self.probe.clone(), self.channel.clone());
        let held = spawn_blocking(move || probe.held(&channel)).await;
        let held = match held.map_err(panicked).and_then(|held| held) {
            Ok(held) => held,
            Err(error) => return error,
        };
        let (channel, next) = (&self.channel, self.next);
        match held {
            Some(held) if (held.start..=held.end).contains(&next) => {
                // The broker was not done starting: ask it again.
                Error::transient(format!("Kafka did not find offset {next} of {channel}"))
            }
            Some(held) => Error::permanent(format!(
                "channel {channel} was to be read from offset {next}, but Kafka holds {} to {}: \
                 {}. Nothing was skipped; start from a position that is held, after making the \
                 target equal to the source there",
                held.start,
                held.end,
                lost(next, held.start),
            )),
            None => Error::permanent(format!(
                "channel {channel} was to be read from offset {next}, but its Kafka topic is gone"
            )),
        }
    }

    /// Becomes an error once a refusal has lasted, and a second connection is not served either.
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
        match spawn_blocking(move || probe.held(&channel)).await {
            Ok(Ok(_)) => {
                self.client.health().served();
                self.refused_since = None;
                None
            }
            _ => Some(refused(&reason)),
        }
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
            tokio::select! {
                () = self.filled.notified() => {}
                _ = self.refusal.changed() => {}
                () = tokio::time::sleep(LOOK_ANYWAY) => {}
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        while let Some(polled) = self.queue.poll(Duration::ZERO) {
            match polled {
                Ok(message) if message.offset() < self.next => {}
                Ok(message) => {
                    self.next = message.offset() + 1;
                    self.client.health().served();
                    let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
                    return Ok(Some(Record { id: id_of(message.offset()), payload }));
                }
                Err(error) if is_out_of_range(&error) => self.out_of_range = true,
                Err(KafkaError::MessageConsumptionFatal(code)) => {
                    let what = format!("the Kafka client has failed on channel {}", self.channel);
                    return Err(Error::transient(what).because(code));
                }
                // A topic that is not there yet, a broker that is away: librdkafka tries again.
                Err(error) => debug!(channel = self.channel, %error, "kafka topic not readable"),
            }
        }
        Ok(None)
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.client.unassign(&self.channel);
    }
}
