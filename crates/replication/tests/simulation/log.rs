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
    channels: BTreeMap<String, Vec<Bytes>>,
}

impl Log {
    /// Writes a message and tells its id.
    pub(crate) fn append(&mut self, channel: &str, message: &impl Message) -> MessageId {
        let written = self.channels.entry(channel.to_owned()).or_default();
        written.push(message.encode_to_vec().into());
        id(written.len() - 1)
    }

    /// Writes the same message to several channels.
    pub(crate) fn append_to_all(&mut self, channels: &[String], message: &impl Message) {
        for channel in channels {
            self.append(channel, message);
        }
    }

    /// The message at a place, if it has been written.
    pub(crate) fn read(&self, channel: &str, offset: usize) -> Option<Bytes> {
        self.channels.get(channel)?.get(offset).cloned()
    }

    /// Where the next message will be.
    pub(crate) fn end(&self, channel: &str) -> MessageId {
        id(self.channels.get(channel).map_or(0, Vec::len))
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

/// One key, in whatever partition it is.
pub(crate) fn delete(collection: &Collection, key: i64, stamp: Stamp) -> msg::DeleteRequest {
    let keys = LongArray { data: vec![key] };
    msg::DeleteRequest {
        base: Some(base(MsgType::Delete, stamp)),
        shard_name: collection.vchannels[shard(collection, key)].clone(),
        collection_name: collection.name().to_owned(),
        collection_id: collection.id.0,
        partition_id: -1,
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
