//! Reads the messages of a physical channel: the header and the few scalars that routing needs.
//! Never looks into a row: vectors stay undecoded bytes.

pub use crate::error::DecodeError;
use crate::fields::{self, Fields};
use crate::ids::{CollectionId, PartitionId, split_vchannel};
use crate::layout::{self, DdlLayout};
use crate::proto::common::{MsgBase, MsgType};
use crate::timestamp::Timestamp;
use bytes::Bytes;

/// An insert or a delete on one shard.
#[derive(Clone, Debug)]
pub struct RowMessage {
    /// Deletes sort before inserts of the same timestamp: together they are an upsert.
    pub kind: RowKind,
    /// `base.msgID`: unique on the source; the target removes duplicates by it.
    pub msg_id: i64,
    /// The timestamp of its rows; the highest if they differ.
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

impl RowMessage {
    /// Whether the message is of one partition. The name does not tell: a delete by filter that
    /// leads to one partition of a partition key has the id only. Source: `task_delete.go` of
    /// Milvus 2.4.20 and 2.5.1.
    pub fn is_of_one_partition(&self) -> bool {
        self.partition_id.0 > 0
    }
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
    /// No later message on this channel has a timestamp at or below it, except for late messages of
    /// a failing source.
    Tick(Timestamp),
    /// Rows.
    Row(RowMessage),
    /// A collection may have begun to exist: the catalog decides (invariant I6).
    CreateCollection(DdlMessage),
    /// A collection ends.
    DropCollection(DdlMessage),
    /// A partition begins. Milvus 2.3 to 2.5 does not log it; the catalog shows it.
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

impl Message {
    /// The timestamp it carries.
    pub fn timestamp(&self) -> Timestamp {
        match self {
            Self::Tick(at) | Self::Other(_, at) => *at,
            Self::Row(row) => row.timestamp,
            Self::CreateCollection(ddl)
            | Self::DropCollection(ddl)
            | Self::CreatePartition(ddl)
            | Self::DropPartition(ddl) => ddl.timestamp,
            Self::Import { timestamp, .. } => *timestamp,
        }
    }

    /// The bytes of the queue that it keeps in memory; zero if it keeps none of them.
    pub fn size(&self) -> usize {
        match self {
            Self::Row(row) => row.raw.len(),
            Self::CreateCollection(ddl)
            | Self::DropCollection(ddl)
            | Self::CreatePartition(ddl)
            | Self::DropPartition(ddl) => ddl.raw.len(),
            Self::Tick(_) | Self::Import { .. } | Self::Other(..) => 0,
        }
    }
}

/// The name of a message type in Milvus's API, or `type <number>`.
pub fn type_name(kind: i32) -> String {
    MsgType::try_from(kind).map_or_else(|_| format!("type {kind}"), |t| t.as_str_name().to_owned())
}

/// Reads one record of a physical channel's topic.
pub fn decode(raw: Bytes) -> Result<Message, DecodeError> {
    let header = fields::header(&raw)?;
    let timestamp = Timestamp(header.timestamp);
    Ok(match MsgType::try_from(header.msg_type) {
        Ok(MsgType::TimeTick) => Message::Tick(timestamp),
        Ok(MsgType::Insert) => Message::Row(row(RowKind::Insert, &header, raw)?),
        Ok(MsgType::Delete) => Message::Row(row(RowKind::Delete, &header, raw)?),
        Ok(MsgType::CreateCollection) => {
            Message::CreateCollection(ddl(&layout::CREATE_COLLECTION, &header, raw)?)
        }
        Ok(MsgType::DropCollection) => {
            Message::DropCollection(ddl(&layout::DROP_COLLECTION, &header, raw)?)
        }
        Ok(MsgType::CreatePartition) => {
            Message::CreatePartition(ddl(&layout::PARTITION_DDL, &header, raw)?)
        }
        Ok(MsgType::DropPartition) => {
            Message::DropPartition(ddl(&layout::PARTITION_DDL, &header, raw)?)
        }
        Ok(MsgType::Import) => {
            let import = ddl(&layout::IMPORT, &header, raw)?;
            Message::Import {
                timestamp,
                collection_id: import.collection_id,
                collection: import.collection,
            }
        }
        _ => Message::Other(header.msg_type, timestamp),
    })
}

fn row(kind: RowKind, header: &MsgBase, raw: Bytes) -> Result<RowMessage, DecodeError> {
    let (name, rows_field) = match kind {
        RowKind::Insert => ("an insert", 14),
        RowKind::Delete => ("a delete", 11),
    };
    let mut message = RowMessage {
        kind,
        msg_id: header.msg_id,
        timestamp: Timestamp::ZERO,
        vchannel: String::new(),
        database: String::new(),
        collection: String::new(),
        partition: String::new(),
        collection_id: CollectionId(0),
        partition_id: PartitionId(0),
        rows: 0,
        raw: Bytes::new(),
    };
    let mut stamps = 0;
    for field in Fields::of(name, &raw) {
        let field = field?;
        match field.number {
            2 => message.vchannel = field.text()?.to_owned(),
            3 => message.database = field.text()?.to_owned(),
            4 => message.collection = field.text()?.to_owned(),
            5 => message.partition = field.text()?.to_owned(),
            7 => message.collection_id = CollectionId(field.int64()?),
            8 => message.partition_id = PartitionId(field.int64()?),
            10 => field.runs(|stamp, times| {
                stamps += times as u64;
                message.timestamp = message.timestamp.max(Timestamp(stamp));
            })?,
            number if number == rows_field => {
                let rows = field.int64()?;
                message.rows = u64::try_from(rows)
                    .map_err(|_| DecodeError::OutOfRange { what: "num_rows", value: rows })?;
            }
            _ => {}
        }
    }
    if stamps == 0 {
        return Err(DecodeError::Missing { message: name, what: "timestamps" });
    }
    if split_vchannel(&message.vchannel).is_none() {
        return Err(DecodeError::Vchannel { vchannel: message.vchannel });
    }
    if message.rows == 0 {
        // Writers before column-based inserts did not count their rows.
        message.rows = stamps;
    }
    message.raw = raw;
    Ok(message)
}

fn ddl(layout: &DdlLayout, header: &MsgBase, raw: Bytes) -> Result<DdlMessage, DecodeError> {
    let mut message = DdlMessage {
        msg_id: header.msg_id,
        timestamp: Timestamp(header.timestamp),
        database: String::new(),
        collection: String::new(),
        partition: String::new(),
        collection_id: CollectionId(0),
        partition_id: PartitionId(0),
        raw: Bytes::new(),
    };
    for field in Fields::of(layout.message, &raw) {
        let field = field?;
        match field.number {
            n if n == layout.database => message.database = field.text()?.to_owned(),
            n if n == layout.collection => message.collection = field.text()?.to_owned(),
            n if n == layout.partition => message.partition = field.text()?.to_owned(),
            n if n == layout.collection_id => {
                message.collection_id = CollectionId(field.int64()?);
            }
            n if n == layout.partition_id => message.partition_id = PartitionId(field.int64()?),
            _ => {}
        }
    }
    message.raw = raw;
    Ok(message)
}
