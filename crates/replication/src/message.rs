//! What a message of the source is on each stretch of its way: held ([`Entry`]), read ([`Read`]),
//! routed ([`Routed`]). Never decides anything.

use milvus_wire::ids::{CollectionId, CollectionName, PartitionId};
use milvus_wire::message::{Message, RowMessage};
use milvus_wire::position::MessageId;
use milvus_wire::splice::Patch;
use milvus_wire::timestamp::Timestamp;
use std::sync::Arc;

/// A message with its place in the order of its task.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The place in its channel, counted from where reading began.
    pub seq: u64,
    /// The queue's id.
    pub id: MessageId,
    /// Its timestamp; for a message that came later than its tick, just above that tick. The same
    /// after every replay, since the log around it is the same.
    pub order: Timestamp,
    /// The message.
    pub message: Message,
}

/// An entry and the channel it was read from.
#[derive(Clone, Debug)]
pub struct Read {
    /// The source's physical channel.
    pub channel: Arc<str>,
    /// The message.
    pub entry: Entry,
}

/// Where a source collection lives on the target.
#[derive(Clone, Debug)]
pub struct Place {
    /// The target's name of it.
    pub name: CollectionName,
    /// The target's collection id.
    pub id: CollectionId,
    /// The target's virtual channels, in the order of the source's shards.
    pub vchannels: Vec<String>,
    /// Their physical channels: the lanes.
    pub lanes: Vec<Arc<str>>,
    /// The field id of the primary key.
    pub primary_key: i64,
    /// The name of that field.
    pub key_name: String,
}

/// A message with its place on the target.
#[derive(Clone, Debug)]
pub struct Routed {
    /// The message and where it came from.
    pub read: Read,
    /// Its collection there.
    pub place: Arc<Place>,
    /// The source's shard (invariant I4: the same index on both sides).
    pub shard: usize,
    /// Its partition there; `None` for a delete that names none.
    pub partition: Option<PartitionId>,
}

impl Routed {
    /// The row message that it is.
    pub(crate) fn row(&self) -> Option<&RowMessage> {
        match &self.read.entry.message {
            Message::Row(row) => Some(row),
            _ => None,
        }
    }

    /// The lane it goes to.
    pub fn lane(&self) -> &Arc<str> {
        &self.place.lanes[self.shard]
    }

    /// What changes in it.
    pub fn patch(&self, stamp: Option<Timestamp>) -> Patch<'_> {
        Patch {
            vchannel: &self.place.vchannels[self.shard],
            database: &self.place.name.database,
            collection: &self.place.name.name,
            collection_id: self.place.id,
            partition_id: self.partition,
            stamp,
            msg_id: None,
        }
    }
}
