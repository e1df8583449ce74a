//! Reads the messages of a physical channel: the header and the few scalars that routing needs.
//! Never looks into a row: vectors stay the bytes they were.

use crate::ids::{CollectionId, PartitionId};
use crate::timestamp::Timestamp;
use bytes::Bytes;

/// An insert or a delete on one shard.
#[derive(Clone, Debug)]
pub struct RowMessage {
    /// Deletes sort before inserts of the same timestamp: together they are an upsert.
    pub kind: RowKind,
    /// `base.msgID`: unique on the source; the target removes duplicates by it.
    pub msg_id: i64,
    /// The timestamp of its rows (the highest, should they differ).
    pub timestamp: Timestamp,
    /// The shard it was written to (`shardName`).
    pub vchannel: String,
    /// As the message has it; may be empty for the default database.
    pub database: String,
    /// The collection's name as the message has it.
    pub collection: String,
    /// The partition's name; empty in a delete that names none.
    pub partition: String,
    /// The collection.
    pub collection_id: CollectionId,
    /// The partition; −1 in a delete that names none.
    pub partition_id: PartitionId,
    /// How many rows.
    pub rows: u64,
    /// The whole message.
    pub raw: Bytes,
}

/// What a [`RowMessage`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// Removes rows by key.
    Delete,
    /// Adds rows.
    Insert,
}

/// A DDL message of a physical channel; each shard of the collection carries one.
#[derive(Clone, Debug)]
pub struct DdlMessage {
    /// `base.msgID`.
    pub msg_id: i64,
    /// When it happened on the source.
    pub timestamp: Timestamp,
    /// As the message has it; may be empty for the default database.
    pub database: String,
    /// The collection's name.
    pub collection: String,
    /// The partition's name; empty for a collection's DDL.
    pub partition: String,
    /// The collection.
    pub collection_id: CollectionId,
    /// The partition; zero for a collection's DDL.
    pub partition_id: PartitionId,
    /// The whole message.
    pub raw: Bytes,
}

/// One message of a physical channel.
#[derive(Clone, Debug)]
pub enum Message {
    /// No later message on this channel has a timestamp at or below it (save for the late ones of
    /// a failing source).
    Tick(Timestamp),
    /// Rows.
    Row(RowMessage),
    /// A collection begins to exist, perhaps: the catalog knows (invariant I6).
    CreateCollection(DdlMessage),
    /// A collection ends.
    DropCollection(DdlMessage),
    /// A partition begins; not on the log of 2.3 to 2.5, the catalog knows.
    CreatePartition(DdlMessage),
    /// A partition ends.
    DropPartition(DdlMessage),
    /// A bulk import: its rows bypass the log.
    Import {
        /// When it was asked for.
        timestamp: Timestamp,
        /// The collection.
        collection_id: CollectionId,
        /// The collection's name.
        collection: String,
    },
    /// A type that is not replicated: its number and timestamp.
    Other(i32, Timestamp),
}
