//! Looks at the ends of channels. Never keeps a message, and never disturbs a reader: its
//! subscriptions are its own.

use super::connection::{Connection, Dialer};
use super::entry::messages;
use super::fault::{Fault, Spoken};
use super::message_place::MessagePlace;
use super::topic::Topic;
use replication::ports::Record;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// The most connections that are kept for the next call.
const IDLE_MAX: usize = 4;

/// How long the newest messages may take to arrive.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// Looks at the ends of channels.
pub(super) struct Probe {
    dialer: Dialer,
    idle: Mutex<Vec<Connection>>,
}

impl Probe {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, idle: Mutex::default() }
    }

    /// The place after all messages of the channel and before the next one; `None` if there is no
    /// such topic.
    pub(super) async fn end(&self, channel: &str) -> Spoken<Option<MessagePlace>> {
        let Some(mut topic) = self.begin_at_end(channel).await? else { return Ok(None) };
        let end = topic.end().await?;
        self.give_back(topic.close().await?);
        let place = match (end.last, end.cursor) {
            (Some(last), _) => last.next_entry(),
            // All messages are gone: the next one is in a later ledger.
            (None, Some(cursor)) if cursor.is_anchored() => cursor.next_ledger(),
            (None, Some(cursor)) => cursor,
            (None, None) => MessagePlace::FIRST,
        };
        Ok(Some(place))
    }

    /// The newest messages of a channel, oldest first.
    pub(super) async fn newest(&self, channel: &str, count: usize) -> Spoken<Vec<Record>> {
        let Some(mut topic) = self.begin_at_end(channel).await? else { return Ok(Vec::new()) };
        let mut newest = Vec::new();
        if let Some(last) = topic.end().await?.last {
            topic.end_subscription().await?;
            let entries = i64::try_from(count.max(1) - 1).unwrap_or(i64::MAX);
            topic.begin(Some(last.back(entries))).await?;
            let all = timeout(COMES_WITHIN, up_to(&mut topic, last)).await;
            newest = all.unwrap_or_else(|_| {
                Err(Fault::Away(format!("the newest messages of {channel} do not come")))
            })?;
        }
        self.give_back(topic.close().await?);
        let surplus = newest.len().saturating_sub(count);
        Ok(newest.split_off(surplus))
    }

    async fn begin_at_end(&self, channel: &str) -> Spoken<Option<Topic>> {
        let kept = self.idle().pop();
        // A kept connection may have died meanwhile; then a new one is made.
        if let Some(kept) = kept
            && let Ok(begun) = begun_at_end(kept, channel).await
        {
            return Ok(begun);
        }
        begun_at_end(self.dialer.any().await?, channel).await
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn begun_at_end(connection: Connection, channel: &str) -> Spoken<Option<Topic>> {
    let begun = async {
        let mut topic = Topic::find(connection, channel).await?;
        topic.begin(None).await?;
        Ok(topic)
    };
    match begun.await {
        Ok(topic) => Ok(Some(topic)),
        Err(Fault::Missing) => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn up_to(topic: &mut Topic, last: MessagePlace) -> Spoken<Vec<Record>> {
    let mut read = Vec::new();
    loop {
        let (place, payload) = topic.next().await?;
        read.extend(messages(place, payload)?.into_iter().map(|(_, record)| record));
        if place >= last {
            return Ok(read);
        }
    }
}
