//! Reads Milvus's metadata records as its root coordinator keeps them in etcd (2.3 to 2.5).
//! Never talks to etcd: bytes in, values out.

use crate::ids::{CollectionId, DatabaseId, PartitionId};
use crate::position::MessageId;
use crate::proto::common::KeyValuePair;
use crate::proto::schema::CollectionSchema;
use crate::timestamp::Timestamp;
use std::collections::BTreeMap;

/// What stands in the place of a removed record.
pub const TOMBSTONE: [u8; 3] = [0xE2, 0x9B, 0xBC];

/// The life of a collection or partition. Source: `etcdpb.CollectionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Usable.
    Created,
    /// Not yet; may still come to nothing.
    Creating,
    /// Being dropped.
    Dropping,
    /// Dropped, not yet removed.
    Dropped,
}

/// A database.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    /// Its id; 1 is the default database.
    pub id: DatabaseId,
    /// Its name.
    pub name: String,
    /// When it was created; zero for the default database.
    pub created: Timestamp,
}

/// A collection with all that is needed to create it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its id.
    pub id: CollectionId,
    /// The database's id, from the record's key.
    pub database_id: DatabaseId,
    /// The database's name; empty until looked up.
    pub database: String,
    /// The state.
    pub state: State,
    /// Name, fields without the system fields, functions, dynamic field flag.
    pub schema: CollectionSchema,
    /// When it was created; equals the timestamp of its CreateCollection message.
    pub created: Timestamp,
    /// One per shard, in shard order (invariant I4: the place is the `v<i>` suffix).
    pub vchannels: Vec<String>,
    /// The physical channel of each shard, same order.
    pub pchannels: Vec<String>,
    /// The id of the CreateCollection message on each physical channel.
    pub start_positions: BTreeMap<String, MessageId>,
    /// `common.ConsistencyLevel` as a number.
    pub consistency_level: i32,
    /// Collection properties (`collection.ttl.seconds`, …).
    pub properties: Vec<KeyValuePair>,
}

impl Collection {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.schema.name
    }
}

/// A partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Partition {
    /// Its id.
    pub id: PartitionId,
    /// Its collection.
    pub collection: CollectionId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// The state.
    pub state: State,
}
