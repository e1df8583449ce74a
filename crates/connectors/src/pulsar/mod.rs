//! The message queue of a source Milvus on Apache Pulsar. Never creates a topic or a durable
//! subscription and never acknowledges anything, so it leaves nothing behind at the broker.
//!
//! Each open channel has a connection of its own (`reader`), which reads ahead within limits
//! (`prefetch`). The ends of channels are read through other connections (`probe`). `connection`
//! sends requests to a broker, `topic` is one topic there, `entry` splits an entry into its
//! messages, and `message_place` is the place of a message.

mod connection;
mod entry;
mod fault;
mod message_place;
mod options;
mod prefetch;
mod probe;
mod reader;
mod topic;

pub use options::{PulsarLogin, PulsarOptions};

use async_trait::async_trait;
use connection::Dialer;
use message_place::MessagePlace;
use milvus_wire::position::MessageId;
use probe::Probe;
use reader::{Health, Reader};
use replication::error::Result;
use replication::ports::{ChannelReader, Record, Source};
use std::cmp::Ordering;
use std::sync::Arc;

/// The queue of one source Milvus.
pub struct Pulsar {
    dialer: Dialer,
    probe: Probe,
    health: Arc<Health>,
}

impl Pulsar {
    /// Checks the options and reads the certificate files; connects when a channel is opened.
    pub fn new(options: PulsarOptions) -> Result<Self> {
        let dialer = Dialer { tls: options.connector()?, options };
        Ok(Self { probe: Probe::new(dialer.clone()), dialer, health: Arc::default() })
    }
}

#[async_trait]
impl Source for Pulsar {
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>> {
        let from = MessagePlace::of(channel, from)?;
        Ok(Box::new(Reader::open(self.dialer.clone(), self.health.clone(), channel, from)))
    }

    async fn end(&self, channel: &str) -> Result<MessageId> {
        let end = self.probe.end(channel).await.map_err(|fault| fault.error(channel))?;
        Ok(end.unwrap_or(MessagePlace::FIRST).id(None))
    }

    async fn newest(&self, channel: &str, count: usize) -> Result<Vec<Record>> {
        self.probe.newest(channel, count).await.map_err(|fault| fault.error(channel))
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        // What is not an id of Pulsar sorts first: it can't have been read from its queue.
        MessagePlace::parse(a).cmp(&MessagePlace::parse(b))
    }
}
