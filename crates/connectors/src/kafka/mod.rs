//! The message queue of a source Milvus on Apache Kafka. Never commits an offset, never creates a
//! topic, and leaves nothing behind at the broker.
//!
//! One librdkafka client serves all channels of a [`Kafka`] (`client`), each channel with a queue
//! of its own inside it (`reader`). Watermarks and the newest entries come from a second, lazily
//! made client that holds no prefetched data (`probe`).

mod client;
mod options;
mod probe;
mod reader;

pub use options::KafkaOptions;

use async_trait::async_trait;
use bytes::Bytes;
use client::{Client, Reserved};
use milvus_wire::position::MessageId;
use probe::Probe;
use reader::Reader;
use replication::error::{Error, Result};
use replication::ports::{ChannelReader, Record, Source};
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;

/// Milvus puts everything into the first partition.
const PARTITION: i32 = 0;

/// Readers of one channel at the same time, each of which needs a client of its own.
const CLIENTS_MAX: usize = 64;

/// The queue of one source Milvus.
pub struct Kafka {
    options: KafkaOptions,
    /// A topic can be open once per client, so a second reader of a channel gets a second client.
    clients: Arc<Mutex<Vec<Arc<Client>>>>,
    probe: Arc<Probe>,
}

impl Kafka {
    /// Checks the options and makes the clients; connects in the background.
    pub fn new(options: KafkaOptions) -> Result<Self> {
        let client = Client::new(&options)?;
        Ok(Self {
            probe: Arc::new(Probe::new(&options)),
            clients: Arc::new(Mutex::new(vec![client])),
            options,
        })
    }
}

#[async_trait]
impl Source for Kafka {
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>> {
        let from = offset_of(channel, from)?;
        let (clients, options) = (self.clients.clone(), self.options.clone());
        let (channel, probe) = (channel.to_owned(), self.probe.clone());
        // Assigning waits for librdkafka's main thread.
        let reader = spawn_blocking(move || {
            let reserved = reserve(&clients, &options, &channel)?;
            let found = reserved.finder();
            let reader = Reader::open(reserved, probe, channel, from)?;
            // Without a broker this takes its time, and nobody needs to wait for it.
            spawn_blocking(found);
            Ok(reader)
        });
        let reader: Result<Reader> = reader.await.map_err(panicked)?;
        Ok(Box::new(reader?))
    }

    async fn end(&self, channel: &str) -> Result<MessageId> {
        let (probe, channel) = (self.probe.clone(), channel.to_owned());
        let held = spawn_blocking(move || probe.held(&channel)).await.map_err(panicked)??;
        Ok(id_of(held.map_or(0, |held| held.end)))
    }

    async fn newest(&self, channel: &str, count: usize) -> Result<Vec<Record>> {
        let (probe, channel) = (self.probe.clone(), channel.to_owned());
        spawn_blocking(move || probe.newest(&channel, count)).await.map_err(panicked)?
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        // Ids that are none sort first: they can't have been read from a queue.
        parse(a).cmp(&parse(b))
    }
}

/// Reserves a channel in the first client that does not read it yet.
fn reserve(
    clients: &Mutex<Vec<Arc<Client>>>,
    options: &KafkaOptions,
    channel: &str,
) -> Result<Reserved> {
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(reserved) = clients.iter().find_map(|client| client.reserve(channel)) {
        return Ok(reserved);
    }
    if clients.len() < CLIENTS_MAX {
        clients.push(Client::new(options)?);
    }
    clients.last().and_then(|client| client.reserve(channel)).ok_or_else(|| {
        Error::permanent(format!("the channel {channel} has {CLIENTS_MAX} readers already"))
    })
}

/// As Milvus stores it: eight bytes, little endian.
fn parse(id: &MessageId) -> Option<i64> {
    let bytes: [u8; 8] = id.0.as_ref().try_into().ok()?;
    Some(i64::from_le_bytes(bytes)).filter(|offset| *offset >= 0)
}

fn offset_of(channel: &str, id: &MessageId) -> Result<i64> {
    parse(id).ok_or_else(|| {
        Error::permanent(format!(
            "the position {id:?} of channel {channel} is not one of Kafka (8 bytes, little \
             endian): give a position of this source's queue"
        ))
    })
}

fn id_of(offset: i64) -> MessageId {
    MessageId(Bytes::copy_from_slice(&offset.to_le_bytes()))
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::transient("a call of the Kafka client was aborted").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_eight_bytes_little_endian_and_compare_as_numbers() {
        let kafka = Kafka::new(KafkaOptions::new("127.0.0.1:1")).unwrap();
        assert_eq!(id_of(258).0.as_ref(), [2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(offset_of("c", &id_of(258)).unwrap(), 258);
        assert_eq!(kafka.compare(&id_of(255), &id_of(256)), Ordering::Less);
        assert_eq!(kafka.compare(&id_of(7), &id_of(7)), Ordering::Equal);
    }

    #[test]
    fn a_position_of_another_queue_is_refused_with_its_channel() {
        let pulsar = MessageId(Bytes::from_static(&[8, 1, 16, 2]));
        let error = offset_of("by-dev-rootcoord-dml_0", &pulsar).unwrap_err();
        assert!(error.what.contains("by-dev-rootcoord-dml_0"), "{error}");
        assert!(offset_of("c", &id_of(-1)).is_err());
    }
}
