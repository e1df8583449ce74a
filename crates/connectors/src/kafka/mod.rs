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
use client::{Client, Reserved};
use milvus_wire::position::MessageId;
use offset::{id_of, offset_of, parse};
use probe::Probe;
use reader::Reader;
use replication::error::{Error, Result};
use replication::ports::{ChannelReader, Record, Source};
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;

/// The most readers of one channel at a time: each of them needs a client of its own.
const CLIENTS_MAX: usize = 64;

/// The queue of one source Milvus.
pub struct Kafka {
    clients: Arc<Clients>,
    probe: Arc<Probe>,
}

/// The clients that read channels, for all readers of a queue.
struct Clients {
    options: KafkaOptions,
    /// A topic can be open once per client, so a second reader of a channel gets a second client.
    made: Mutex<Vec<Arc<Client>>>,
}

impl Kafka {
    /// Checks the options and makes the clients; connects in the background.
    pub fn new(options: KafkaOptions) -> Result<Self> {
        let client = Client::new(&options)?;
        let probe = Arc::new(Probe::new(&options));
        Ok(Self { clients: Arc::new(Clients { options, made: Mutex::new(vec![client]) }), probe })
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

impl Clients {
    /// Reserves a channel in the first client that does not read it yet.
    fn reserve(&self, channel: &str) -> Result<Reserved> {
        let mut clients = self.made.lock().unwrap_or_else(PoisonError::into_inner);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody is at the address, so the client knows no broker. The test says whether Kafka answers
    /// others.
    #[test]
    fn a_client_without_brokers_is_given_up_if_kafka_answers_others_and_only_then() {
        let kafka = Kafka::new(KafkaOptions::new("127.0.0.1:1")).unwrap();
        let reserved = kafka.clients.reserve("c").unwrap();
        assert!(!reserved.stranded(|| Err(Error::transient("Kafka is away"))));
        let client = || Arc::downgrade(&kafka.clients.made.lock().unwrap()[0]);
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
