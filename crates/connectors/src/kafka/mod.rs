//! The message queue of a source Milvus on Apache Kafka. Never commits an offset, never creates a
//! topic, and leaves nothing behind at the broker.
//!
//! One librdkafka client serves all channels of a [`Kafka`] (`client`); each channel has a queue of
//! its own inside this client (`reader`). Watermarks and the newest entries come from a second
//! client, made when it is needed first, which prefetches nothing (`probe`).

mod client;
mod offset;
mod options;
mod probe;
mod reader;

pub use options::KafkaOptions;

use crate::kafka_fault::aborted;
use async_trait::async_trait;
use client::Clients;
use milvus_wire::position::MessageId;
use offset::{id_of, offset_of, parse};
use probe::Probe;
use reader::Reader;
use replication::error::Result;
use replication::ports::{ChannelReader, Record, Source};
use std::cmp::Ordering;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// The queue of one source Milvus.
pub struct Kafka {
    clients: Arc<Clients>,
    probe: Arc<Probe>,
}

impl Kafka {
    /// Checks the options and makes the clients; connects in the background.
    pub fn new(options: KafkaOptions) -> Result<Self> {
        let probe = Arc::new(Probe::new(&options));
        Ok(Self { clients: Arc::new(Clients::new(options)?), probe })
    }
}

#[async_trait]
impl Source for Kafka {
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>> {
        let from = offset_of(channel, from)?;
        let (clients, probe) = (self.clients.clone(), self.probe.clone());
        Ok(Box::new(Reader::open(clients, probe, channel.to_owned(), from).await?))
    }

    async fn end(&self, channel: &str) -> Result<MessageId> {
        let (probe, channel) = (self.probe.clone(), channel.to_owned());
        let stored = spawn_blocking(move || probe.stored(&channel)).await.map_err(aborted)??;
        Ok(id_of(stored.map_or(0, |stored| stored.end)))
    }

    async fn newest(&self, channel: &str, count: usize) -> Result<Vec<Record>> {
        let (probe, channel) = (self.probe.clone(), channel.to_owned());
        spawn_blocking(move || probe.newest(&channel, count)).await.map_err(aborted)?
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        // What is not an id of Kafka sorts first: it can't have been read from its queue.
        parse(a).cmp(&parse(b))
    }

    fn behind(&self, id: &MessageId) -> MessageId {
        parse(id).map_or_else(|| id.clone(), |offset| id_of(offset.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::error::Error;

    /// Nobody is at the address, so the client knows no broker. The test says whether Kafka answers
    /// others.
    #[test]
    fn a_client_without_brokers_is_given_up_if_kafka_answers_others_and_only_then() {
        let kafka = Kafka::new(KafkaOptions::new("127.0.0.1:1")).unwrap();
        let reserved = kafka.clients.reserve("c").unwrap();
        assert!(!reserved.stranded(|| Err(Error::transient("Kafka is away"))));
        let client = || Arc::downgrade(&kafka.clients.made()[0]);
        let first = client();
        drop(kafka.clients.reserve("d").unwrap());
        assert!(first.ptr_eq(&client()), "it may find the brokers yet");
        assert!(reserved.stranded(|| Ok(())));
        drop(kafka.clients.reserve("d").unwrap());
        assert!(!first.ptr_eq(&client()), "it will never read again");
        drop(reserved);
        assert_eq!(first.strong_count(), 0, "nobody reads from it any more");
    }

    #[test]
    fn ids_are_eight_bytes_little_endian_and_compare_as_numbers() {
        let kafka = Kafka::new(KafkaOptions::new("127.0.0.1:1")).unwrap();
        assert_eq!(id_of(258).0.as_ref(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(offset_of("c", &id_of(258)).unwrap(), 258);
        assert_eq!(kafka.compare(&id_of(255), &id_of(256)), Ordering::Less);
        assert_eq!(kafka.compare(&id_of(7), &id_of(7)), Ordering::Equal);
    }
}
