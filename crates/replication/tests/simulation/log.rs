//! The log of the simulated source: its channels, and the messages as Milvus encodes them.
//! Never chooses what is written, or when.

use bytes::Bytes;
use milvus_wire::catalog::{Collection, Partition};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg;
use milvus_wire::proto::schema::{
    FieldData, IDs, LongArray, ScalarField, field_data, i_ds, scalar_field,
};
use prost::Message;
use std::collections::BTreeMap;

/// The field id of every collection's primary key.
pub(crate) const PRIMARY_KEY: i64 = 100;

/// What has been written, by channel.
#[derive(Default)]
pub(crate) struct Log {
    channels: BTreeMap<String, Channel>,
    /// Whether channels may be asked for that no collection has.
    pub(crate) any_channel: bool,
}

/// A topic.
#[derive(Default)]
struct Channel {
    messages: Vec<Bytes>,
    /// How many of the oldest messages are lost.
    lost: usize,
}

impl Log {
    /// Writes a message and tells its id.
    pub(crate) fn append(&mut self, channel: &str, message: &impl Message) -> MessageId {
        self.append_bytes(channel, message.encode_to_vec().into())
    }

    /// Writes whatever it is and tells its id.
    pub(crate) fn append_bytes(&mut self, channel: &str, message: Bytes) -> MessageId {
        let written = &mut self.channels.entry(channel.to_owned()).or_default().messages;
        written.push(message);
        id(written.len() - 1)
    }

    /// Makes a topic.
    pub(crate) fn create(&mut self, channel: &str) {
        self.channels.entry(channel.to_owned()).or_default();
    }

    /// Whether there is a topic.
    pub(crate) fn has(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }

    /// Loses the messages before a place.
    pub(crate) fn lose(&mut self, channel: &str, before: usize) {
        self.channels.entry(channel.to_owned()).or_default().lost = before;
    }

    /// Loses all that was written, as a retention does with a source that stood still.
    pub(crate) fn lose_all(&mut self) {
        for channel in self.channels.values_mut() {
            channel.lost = channel.messages.len();
        }
    }

    /// Writes something else into every place, as a topic has it that was made anew.
    pub(crate) fn replace_all(&mut self) {
        let messages = self.channels.values_mut().flat_map(|channel| &mut channel.messages);
        messages.for_each(|message| *message = tick(1).encode_to_vec().into());
    }

    /// Why a place can't be read, if it never will be.
    pub(crate) fn loss(&self, channel: &str, offset: usize) -> Option<String> {
        let (start, end) = match self.channels.get(channel) {
            Some(channel) => (channel.lost, channel.messages.len()),
            None => (0, 0),
        };
        (!(start..=end).contains(&offset))
            .then(|| format!("{offset} of {channel} is lost: {start} to {end} are there"))
    }

    /// Writes the same message to several channels.
    pub(crate) fn append_to_all(&mut self, channels: &[String], message: &impl Message) {
        for channel in channels {
            self.append(channel, message);
        }
    }

    /// The message at a place, if it has been written.
    pub(crate) fn read(&self, channel: &str, offset: usize) -> Option<Bytes> {
        self.channels.get(channel)?.messages.get(offset).cloned()
    }

    /// Where the next message will be.
    pub(crate) fn end(&self, channel: &str) -> MessageId {
        id(self.channels.get(channel).map_or(0, |channel| channel.messages.len()))
    }

    /// The last messages of a channel, at most `count`, with their places.
    pub(crate) fn newest(&self, channel: &str, count: usize) -> Vec<(usize, Bytes)> {
        let Some(Channel { messages, lost }) = self.channels.get(channel) else { return vec![] };
        let from = messages.len().saturating_sub(count).max(*lost);
        messages.iter().cloned().enumerate().skip(from).collect()
    }
}

/// The id of the message at a place of a channel.
pub(crate) fn id(offset: usize) -> MessageId {
    MessageId(Bytes::copy_from_slice(&(offset as u64).to_le_bytes()))
}

/// The place of a message in its channel.
pub(crate) fn offset(id: &MessageId) -> usize {
    usize::try_from(u64::from_le_bytes(id.0[..].try_into().unwrap())).unwrap()
}

/// What tells a message of rows from all others, and when it was written.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) msg_id: i64,
    pub(crate) at: u64,
}

/// The shard of a key.
pub(crate) fn shard(collection: &Collection, key: i64) -> usize {
    usize::try_from(key).unwrap() % collection.vchannels.len()
}

pub(crate) fn tick(at: u64) -> msg::TimeTickMsg {
    msg::TimeTickMsg { base: Some(base(MsgType::TimeTick, Stamp { msg_id: 0, at })) }
}

pub(crate) fn create_collection(name: &str, id: i64, at: u64) -> msg::CreateCollectionRequest {
    msg::CreateCollectionRequest {
        base: Some(ddl(MsgType::CreateCollection, at)),
        collection_name: name.to_owned(),
        collection_id: id,
        ..Default::default()
    }
}

pub(crate) fn drop_collection(collection: &Collection, at: u64) -> msg::DropCollectionRequest {
    msg::DropCollectionRequest {
        base: Some(ddl(MsgType::DropCollection, at)),
        collection_name: collection.name().to_owned(),
        collection_id: collection.id.0,
        ..Default::default()
    }
}

pub(crate) fn drop_partition(
    collection: &Collection,
    partition: &Partition,
    at: u64,
) -> msg::DropPartitionRequest {
    msg::DropPartitionRequest {
        base: Some(ddl(MsgType::DropPartition, at)),
        collection_name: collection.name().to_owned(),
        partition_name: partition.name.clone(),
        collection_id: collection.id.0,
        partition_id: partition.id.0,
        ..Default::default()
    }
}

/// One row, whose id is that of its message: its version.
pub(crate) fn insert(
    collection: &Collection,
    partition: &Partition,
    key: i64,
    stamp: Stamp,
) -> msg::InsertRequest {
    let column = FieldData {
        r#type: 5,
        field_id: PRIMARY_KEY,
        field_name: "id".into(),
        field: Some(field_data::Field::Scalars(ScalarField {
            data: Some(scalar_field::Data::LongData(LongArray { data: vec![key] })),
            ..Default::default()
        })),
        ..Default::default()
    };
    msg::InsertRequest {
        base: Some(base(MsgType::Insert, stamp)),
        shard_name: collection.vchannels[shard(collection, key)].clone(),
        collection_name: collection.name().to_owned(),
        partition_name: partition.name.clone(),
        collection_id: collection.id.0,
        partition_id: partition.id.0,
        timestamps: vec![stamp.at],
        row_i_ds: vec![stamp.msg_id],
        fields_data: vec![column],
        num_rows: 1,
        ..Default::default()
    }
}

/// One key, in the partition with this id, as sources since 2.4.20 name it, or in whatever
/// partition it is.
pub(crate) fn delete(
    collection: &Collection,
    key: i64,
    partition: Option<i64>,
    stamp: Stamp,
) -> msg::DeleteRequest {
    let keys = LongArray { data: vec![key] };
    msg::DeleteRequest {
        base: Some(base(MsgType::Delete, stamp)),
        shard_name: collection.vchannels[shard(collection, key)].clone(),
        collection_name: collection.name().to_owned(),
        collection_id: collection.id.0,
        partition_id: partition.unwrap_or(-1),
        timestamps: vec![stamp.at],
        num_rows: 1,
        primary_keys: Some(IDs { id_field: Some(i_ds::IdField::IntId(keys)) }),
        ..Default::default()
    }
}

fn ddl(kind: MsgType, at: u64) -> MsgBase {
    base(kind, Stamp { msg_id: at.cast_signed(), at })
}

fn base(kind: MsgType, stamp: Stamp) -> MsgBase {
    let Stamp { msg_id, at } = stamp;
    MsgBase { msg_type: kind as i32, msg_id, timestamp: at, ..Default::default() }
}
