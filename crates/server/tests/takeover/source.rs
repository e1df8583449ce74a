//! A scripted source: its collections, and a queue whose end has a time.

use async_trait::async_trait;
use milvus_wire::catalog::{Collection, Partition, State};
use milvus_wire::ids::{CollectionId, DatabaseId};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::MsgBase;
use milvus_wire::proto::msg::TimeTickMsg;
use milvus_wire::proto::schema::CollectionSchema;
use milvus_wire::serving::{Alias, Serving};
use milvus_wire::timestamp::Timestamp;
use prost::Message;
use replication::error::{Error, Result};
use replication::ports::{Catalog, CatalogEvent, ChannelReader, Record, Snapshot, Source};
use std::cmp::Ordering;
use tokio::sync::broadcast;

/// The time of the newest tick on every channel.
pub(crate) const NEWEST_MS: u64 = 1_795_470_000_000;

/// The next offset on every channel.
pub(crate) const END: u64 = 0x99;

/// Before this offset every channel has lost what it had.
pub(crate) const START: u64 = 0x10;

/// A queue that says only when it is read what it has lost.
pub(crate) struct Queue;

struct Lazy {
    channel: String,
    from: u64,
}

#[async_trait]
impl ChannelReader for Lazy {
    async fn next(&mut self) -> Result<Record> {
        match self.from {
            0 | START.. => Ok(Record { id: MessageId::default(), payload: Default::default() }),
            lost => {
                let channel = &self.channel;
                Err(Error::permanent(format!("{channel} has lost offset {lost}")))
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>> {
        Ok(None)
    }
}

#[async_trait]
impl Source for Queue {
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>> {
        let from = from.0.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Ok(Box::new(Lazy { channel: channel.to_owned(), from }))
    }

    async fn end(&self, _: &str) -> Result<MessageId> {
        Ok(MessageId(END.to_le_bytes().to_vec().into()))
    }

    async fn newest(&self, _: &str, _: usize) -> Result<Vec<Record>> {
        let timestamp = Timestamp::from_ms(NEWEST_MS).0;
        let base = MsgBase { msg_type: 1200, timestamp, ..Default::default() };
        let payload = TimeTickMsg { base: Some(base) }.encode_to_vec().into();
        Ok(vec![Record { id: MessageId::default(), payload }])
    }

    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering {
        let number = |id: &MessageId| id.0.iter().rev().copied().collect::<Vec<u8>>();
        number(a).cmp(&number(b))
    }
}

/// A catalog of these collections.
pub(crate) struct Scripted(pub(crate) Vec<Collection>);

#[async_trait]
impl Catalog for Scripted {
    async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot { databases: Vec::new(), collections: self.0.clone() })
    }

    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>> {
        Ok(self.0.iter().find(|collection| collection.id == id).cloned())
    }

    async fn partitions(&self, _: CollectionId) -> Result<Vec<Partition>> {
        Ok(Vec::new())
    }

    async fn serving(&self, _: CollectionId) -> Result<Serving> {
        Ok(Serving::default())
    }

    async fn roles(&self) -> Result<milvus_wire::roles::Roles> {
        Ok(milvus_wire::roles::Roles::default())
    }

    async fn aliases(&self) -> Result<Vec<Alias>> {
        Ok(Vec::new())
    }

    fn changes(&self) -> broadcast::Receiver<CatalogEvent> {
        broadcast::Sender::new(1).subscribe()
    }
}

/// A collection of the default database that begins at the first message of each channel.
pub(crate) fn collection(id: i64, name: &str, channels: &[String], state: State) -> Collection {
    let first = MessageId(0u64.to_le_bytes().to_vec().into());
    let vchannel = |(n, channel): (usize, &String)| format!("{channel}_{id}v{n}");
    Collection {
        id: CollectionId(id),
        database_id: DatabaseId(1),
        database: "default".into(),
        state,
        schema: CollectionSchema { name: name.into(), ..Default::default() },
        created: Timestamp::from_ms(1),
        vchannels: channels.iter().enumerate().map(vchannel).collect(),
        pchannels: channels.to_vec(),
        start_positions: channels.iter().map(|c| (c.clone(), first.clone())).collect(),
        consistency_level: 0,
        properties: Vec::new(),
        partition_count: None,
    }
}
