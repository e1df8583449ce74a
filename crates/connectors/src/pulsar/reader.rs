//! One open channel. A task of its own has the connection and reads ahead. After a fault it begins
//! again at the last entry read: that this entry is still there proves that nothing was lost. Never
//! gives up on a fault that can go away.

use super::connection::Dialer;
use super::entry::messages;
use super::fault::{Fault, Spoken};
use super::message_place::MessagePlace;
use super::prefetch::Prefetch;
use super::topic::Topic;
use crate::prefetch_share;
use async_trait::async_trait;
use replication::error::{Error, Result};
use replication::ports::{ChannelReader, Record};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

/// Pauses between attempts, doubled from the first to the longest. Topics may appear at any time
/// and have to be noticed within about a second.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// How long a refusal, a missing topic or a loss may be a passing state of a broker that starts.
const DOUBT_FOR: Duration = Duration::from_secs(8);

/// How long a connection may stay unread while its channel is full. After a longer time the broker
/// would consider us dead, since its pings are not answered. A new connection is cheap.
const UNREAD_MAX: Duration = Duration::from_secs(15);

/// Whether the brokers serve us: logged once for all channels.
#[derive(Default)]
pub(super) struct Health {
    down: AtomicBool,
}

impl Health {
    fn served(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            info!("Pulsar serves us again");
        }
    }
}

/// An open channel.
pub(super) struct Reader {
    prefetch: Arc<Prefetch>,
    reading: JoinHandle<()>,
}

impl Reader {
    /// Opens a channel at `from`, inclusive; connects in the background.
    pub(super) fn open(
        dialer: Dialer,
        health: Arc<Health>,
        channel: &str,
        from: MessagePlace,
    ) -> Self {
        let prefetch =
            Arc::new(Prefetch::new(prefetch_share::of_a_channel(dialer.options.channels)));
        let reading = Reading {
            dialer,
            health,
            channel: channel.to_owned(),
            prefetch: prefetch.clone(),
            from,
            read: None,
        };
        Self { prefetch, reading: tokio::spawn(reading.run()) }
    }
}

#[async_trait]
impl ChannelReader for Reader {
    async fn next(&mut self) -> Result<Record> {
        loop {
            let is_over = self.reading.is_finished();
            if let Some(record) = self.prefetch.take()? {
                return Ok(record);
            }
            if is_over {
                // If it ends on purpose, it leaves an error.
                return Err(Error::transient("the reading of a Pulsar topic was aborted"));
            }
            tokio::select! {
                () = self.prefetch.filled() => {}
                _ = &mut self.reading => {}
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        self.prefetch.take()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // This closes the connection and thus ends the subscription.
        self.reading.abort();
    }
}

/// The task behind a reader.
struct Reading {
    dialer: Dialer,
    health: Arc<Health>,
    channel: String,
    prefetch: Arc<Prefetch>,
    /// Messages before this place are skipped.
    from: MessagePlace,
    /// The newest message that was read.
    read: Option<MessagePlace>,
}

impl Reading {
    async fn run(mut self) {
        let mut pause = PAUSE_FIRST;
        let mut doubted_since = None;
        loop {
            let read = self.read;
            let Err(fault) = self.connect_and_read().await else { continue };
            if self.read != read {
                pause = PAUSE_FIRST;
            }
            if !fault.is_doubtful() || self.is_awaited(&fault) || self.read != read {
                doubted_since = None;
            } else {
                let since = *doubted_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= DOUBT_FOR {
                    return self.prefetch.end(fault.error(&self.channel));
                }
            }
            if let Fault::Unreadable(_) = fault {
                return self.prefetch.end(fault.error(&self.channel));
            }
            self.log(&fault);
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Whether the fault is a missing topic that may not have been created yet.
    fn is_awaited(&self, fault: &Fault) -> bool {
        matches!(fault, Fault::Missing) && self.read.is_none() && !self.from.is_anchored()
    }

    fn log(&self, fault: &Fault) {
        let channel = &self.channel;
        if self.is_awaited(fault) {
            debug!(channel, "a Pulsar topic is not there yet");
        } else if self.health.down.swap(true, Ordering::Relaxed) {
            debug!(channel, %fault, "Pulsar topic not readable");
        } else {
            warn!(channel, %fault, "Pulsar does not serve us, connecting again and again");
        }
    }

    /// Reads until a fault, until the channel has been full for long, or until a new connection has
    /// to prove that nothing is missing.
    async fn connect_and_read(&mut self) -> Spoken<()> {
        let mut topic = Topic::find(self.dialer.any().await?, &self.channel).await?;
        let begun_behind = self.read;
        let from = self.read.unwrap_or(self.from);
        topic.begin(Some(from)).await?;
        reaches(from, topic.end().await?.last)?;
        self.health.served();
        let mut is_proven = !from.is_anchored();
        loop {
            if timeout(UNREAD_MAX, self.room()).await.is_err() {
                drop(topic);
                self.room().await;
                return Ok(());
            }
            let (place, payload) = topic.next().await?;
            is_proven |= from.continues_at(place);
            if !is_proven && place >= from.at(0) {
                return Err(Fault::Lost(format!(
                    "was to be read from {from}, but Pulsar has {place} and later: the messages in \
                     between are lost to the retention"
                )));
            }
            if self.read.is_none() && from.is_of_an_empty_topic() {
                self.compare_with_an_empty_topic(from, place)?;
            }
            // If a ledger is deleted while it is read, the broker skips the rest of it. Beginning
            // again at the last entry read shows whether its ledger still exists.
            let is_next_ledger = self.read.is_some_and(|read| !read.shares_ledger(place));
            if is_next_ledger && place > from && self.read != begun_behind {
                return Ok(());
            }
            for (place, record) in messages(place, payload)? {
                if place >= self.from && self.read.is_none_or(|read| place > read) {
                    self.read = Some(place);
                    self.prefetch.push(record);
                }
            }
        }
    }

    /// The first entry of a topic that was empty before. A broker gives an empty topic a new ledger
    /// when it loads it, and the retention removes ledgers: nobody can tell the two apart, so it is
    /// said.
    fn compare_with_an_empty_topic(&self, from: MessagePlace, first: MessagePlace) -> Spoken<()> {
        if first.shares_ledger(from) {
            return match first == from.next_entry() {
                true => Ok(()),
                false => Err(Fault::Lost(format!(
                    "was to be read from {from}, where its Pulsar topic was empty, but Pulsar has \
                     {first} and later: the messages in between are lost to the retention"
                ))),
            };
        }
        warn!(
            channel = self.channel,
            was_empty_at = %from,
            first = %first,
            "the topic was empty when it was looked at last, and begins in another ledger now: if \
             it was not read for longer than Pulsar retains messages, some may be lost"
        );
        Ok(())
    }

    /// Waits until there is room for more.
    async fn room(&self) {
        while self.prefetch.is_full() {
            self.prefetch.taken().await;
        }
    }
}

/// Whether a topic that ends with `last` can be read from `from`.
fn reaches(from: MessagePlace, last: Option<MessagePlace>) -> Spoken<()> {
    match last {
        _ if !from.is_anchored() => Ok(()),
        None => Err(Fault::Lost(format!(
            "was to be read from {from}, but its Pulsar topic has no messages: all are lost to the \
             retention, or the topic was created anew"
        ))),
        Some(last) if last.next_entry() < from.at(0) => Err(Fault::Lost(format!(
            "was to be read from {from}, but its Pulsar topic ends with {last}: it was created \
             anew or belongs to another cluster"
        ))),
        Some(_) => Ok(()),
    }
}
