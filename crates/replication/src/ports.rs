//! The traits that stand between the way of a row and the outside world.
//! Their documentation is the contract; `connectors` fulfils it for real systems, the test kit for
//! scripted ones.

use crate::error::Result;
use crate::message::Routed;
use async_trait::async_trait;
use bytes::Bytes;
use milvus_wire::catalog::{Collection, Database, Partition};
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId};
use milvus_wire::op::OpRequest;
use milvus_wire::position::MessageId;
use milvus_wire::replicate::ReplicateCall;
use milvus_wire::roles::{Role, Roles};
use milvus_wire::serving::{Alias, Serving};
use milvus_wire::timestamp::Timestamp;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// One entry of a queue.
#[derive(Clone, Debug)]
pub struct Record {
    /// The queue's id of this entry.
    pub id: MessageId,
    /// A bare protobuf of Milvus.
    pub payload: Bytes,
}

/// The message queue of a source Milvus.
///
/// Only reads: it never makes a topic, and leaves nothing behind at the queue.
#[async_trait]
pub trait Source: Send + Sync {
    /// Opens a channel at `from`, inclusive. A channel may be open more than once; its readers do
    /// not disturb each other. A topic that does not exist yet is not an error: the reader waits
    /// for it. A `from` that the queue does not contain, because it was lost or because the topic
    /// was made anew, is a permanent error, from here or from the first read, that names the
    /// channel and says what was lost.
    async fn open(&self, channel: &str, from: &MessageId) -> Result<Box<dyn ChannelReader>>;

    /// The id that the next message of the channel will have, or one below it and above all that
    /// is there; the first possible id if the topic does not exist.
    async fn end(&self, channel: &str) -> Result<MessageId>;

    /// The newest entries of a channel, oldest first, at most `count`; for the lag. Does not
    /// disturb readers.
    async fn newest(&self, channel: &str, count: usize) -> Result<Vec<Record>>;

    /// Which of two ids of one channel lies earlier.
    fn compare(&self, a: &MessageId, b: &MessageId) -> Ordering;

    /// Where to open a channel to go on behind an entry, even if the queue has lost that entry
    /// since and none behind it; the entry itself, if the queue does not say which is the next.
    fn behind(&self, id: &MessageId) -> MessageId {
        id.clone()
    }
}

/// Reads one channel in order. Faults of the connection heal inside, within the limits of the
/// client; only what does not heal is returned.
#[async_trait]
pub trait ChannelReader: Send + Sync {
    /// The next entry; waits for it. Safe to cancel: an entry is never lost by that.
    async fn next(&mut self) -> Result<Record>;

    /// The next entry if it is here already. Never waits.
    fn try_next(&mut self) -> Result<Option<Record>>;
}

/// What a change of the metadata concerns; always re-read it, the event carries no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogEvent {
    /// A collection, its fields or its state.
    Collection(CollectionId),
    /// A partition of this collection.
    Partition(CollectionId),
    /// An index of this collection, what of it is loaded, or an alias that it has or had.
    Serving(CollectionId),
    /// A role, a grant, who has which role, or a user.
    Rbac,
    /// Events may have been missed: list again.
    Resync,
}

/// Waits for the catalog to announce something.
pub async fn next_event(changes: &mut Receiver<CatalogEvent>) -> CatalogEvent {
    match changes.recv().await {
        Ok(event) => event,
        Err(RecvError::Lagged(_)) => CatalogEvent::Resync,
        // The catalog is gone with its connector; the task is about to be told.
        Err(RecvError::Closed) => std::future::pending().await,
    }
}

/// All that exists at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Without tombstones.
    pub databases: Vec<Database>,
    /// Without tombstones, in every state, with fields, without system fields.
    pub collections: Vec<Collection>,
}

/// The metadata of a source Milvus. Every read is linearizable.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Lists databases and collections.
    async fn snapshot(&self) -> Result<Snapshot>;

    /// One collection in whatever state; `None` if it is gone or never was.
    async fn collection(&self, id: CollectionId) -> Result<Option<Collection>>;

    /// The partitions of a collection in every state, without tombstones.
    async fn partitions(&self, id: CollectionId) -> Result<Vec<Partition>>;

    /// The indexes of a collection and what of it is loaded, as of one moment; nothing of either if
    /// it is gone. Records that can't be read are a permanent error.
    async fn serving(&self, id: CollectionId) -> Result<Serving>;

    /// All aliases. A record that can't be read is a permanent error.
    async fn aliases(&self) -> Result<Vec<Alias>>;

    /// All roles, as of one moment. A record that can't be read is a permanent error.
    async fn roles(&self) -> Result<Roles>;

    /// A live feed of changes. What happens after this call is not missed: a watch that was lost
    /// or compacted is re-established and reported as [`CatalogEvent::Resync`], as is a receiver
    /// that lagged (`RecvError::Lagged` means the same).
    fn changes(&self) -> broadcast::Receiver<CatalogEvent>;
}

/// A collection as the target has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetCollection {
    /// Its id there.
    pub id: CollectionId,
    /// Its identity: for one that we created, the creation time on the source.
    pub created: Timestamp,
    /// In the order of the shards: the place is the shard index (invariant I4).
    pub vchannels: Vec<String>,
    /// As [`milvus_wire::catalog::field_texts`] tells them, for comparing with the source; `None`:
    /// whatever the source has.
    pub fields: Option<Vec<String>>,
    /// Its properties.
    pub properties: BTreeMap<String, String>,
}

/// A flush that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Flush {
    /// Of this collection.
    pub collection: CollectionName,
    /// The segments that are to be stored.
    pub segments: Vec<i64>,
    /// Everything up to here is to be stored.
    pub at: Timestamp,
}

/// Why a replicate call did not succeed.
#[derive(Debug)]
pub enum CallError {
    /// The target did not take it: it answered so, or could not be reached. Nothing of it will
    /// appear.
    Refused(crate::error::Error),
    /// No answer. It may appear now, later or never.
    Unanswered(crate::error::Error),
}

/// A request on the metadata of the target. Names are the target's already.
#[derive(Clone, Debug)]
pub enum Ddl {
    /// Create a database.
    CreateDatabase(String),
    /// Create a collection as the source has it, under this name.
    CreateCollection {
        /// The target's name of it.
        name: CollectionName,
        /// Schema, shard count, consistency level and properties as the source has them.
        collection: Box<Collection>,
    },
    /// Drop a collection.
    DropCollection(CollectionName),
    /// Create a partition.
    CreatePartition {
        /// The target's name of its collection.
        collection: CollectionName,
        /// The partition's name.
        partition: String,
    },
    /// Drop a partition; one that is loaded is released first.
    DropPartition {
        /// The target's name of its collection.
        collection: CollectionName,
        /// The partition's name.
        partition: String,
    },
    /// Give a collection another name, in another database perhaps; its old aliases end there.
    RenameCollection {
        /// Its id on the source.
        id: CollectionId,
        /// The target's name of it.
        from: CollectionName,
        /// The target's name from now on, in a database that the target has.
        to: CollectionName,
    },
    /// Set properties of a collection and remove others; all else stays as it is.
    AlterCollection {
        /// The target's name of it.
        name: CollectionName,
        /// To be set.
        set: Vec<(String, String)>,
        /// To be removed.
        removed: Vec<String>,
    },
    /// Give an alias to a collection, and take it from whoever has it.
    GiveAlias {
        /// The target's name of the collection.
        collection: CollectionName,
        /// The alias.
        alias: String,
    },
    /// Drop an alias.
    DropAlias {
        /// The target's database.
        database: String,
        /// The alias.
        alias: String,
    },
    /// A request of the op channel, names already rewritten.
    Op(Box<OpRequest>),
}

impl Ddl {
    /// The request's name in Milvus's API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateDatabase(_) => "CreateDatabase",
            Self::CreateCollection { .. } => "CreateCollection",
            Self::DropCollection(_) => "DropCollection",
            Self::CreatePartition { .. } => "CreatePartition",
            Self::DropPartition { .. } => "DropPartition",
            Self::RenameCollection { .. } => "RenameCollection",
            Self::AlterCollection { .. } => "AlterCollection",
            // Which of the two it becomes is found out at the target.
            Self::GiveAlias { .. } => "AlterAlias",
            Self::DropAlias { .. } => "DropAlias",
            Self::Op(request) => request.name(),
        }
    }

    /// The name of what it concerns; of a request of the op channel its collection or database, its
    /// user or role.
    pub fn what(&self) -> &str {
        match self {
            Self::CreateDatabase(name) => name,
            Self::CreateCollection { name, .. }
            | Self::DropCollection(name)
            | Self::RenameCollection { from: name, .. }
            | Self::AlterCollection { name, .. } => &name.name,
            Self::GiveAlias { alias, .. } | Self::DropAlias { alias, .. } => alias,
            Self::CreatePartition { partition, .. } | Self::DropPartition { partition, .. } => {
                partition
            }
            Self::Op(request) => match &**request {
                OpRequest::Rbac(access) => access.what(),
                request => request.collections().first().copied().unwrap_or(request.database()),
            },
        }
    }
}

/// A partition as a target has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetPartition {
    /// Its id there.
    pub id: PartitionId,
    /// Of one that came with its collection, when that was created; of any other, not before it was
    /// created on the source.
    pub created: Timestamp,
}

/// For how long a target may go on naming data nodes that it has lost: its proxy and its data
/// coordinator keep such an answer for five seconds each. Source: `DefaultMetricsRetention` in
/// `internal/util/metricsinfo/cache.go`.
pub const NODES_KNOWN_FOR: Duration = Duration::from_secs(10);

/// A Milvus that takes replicate messages (2.3.2 to 2.5, `common.ttMsgEnabled: false`).
#[async_trait]
pub trait Target: Send + Sync {
    /// Describes a collection; `None` if the collection or its database does not exist. An alias is
    /// not a collection.
    async fn describe(&self, name: &CollectionName) -> Result<Option<TargetCollection>>;

    /// The collection that has an alias; `None` if there is no such alias.
    async fn alias(&self, database: &str, alias: &str) -> Result<Option<CollectionId>>;

    /// The users.
    async fn users(&self) -> Result<BTreeSet<String>>;

    /// A role, with its grants in these databases (`*` is one of them) at least; `None` if there is
    /// no such role.
    async fn role(&self, name: &str, databases: &BTreeSet<&str>) -> Result<Option<Role>>;

    /// The partitions of a collection, by name.
    async fn partitions(&self, name: &CollectionName) -> Result<BTreeMap<String, TargetPartition>>;

    /// The databases.
    async fn databases(&self) -> Result<Vec<String>>;

    /// The collections of a database; none if there is no such database.
    async fn collections(&self, database: &str) -> Result<BTreeSet<CollectionName>>;

    /// The physical channels that carry any collection of the target, sorted.
    async fn pchannels(&self) -> Result<Vec<String>>;

    /// Applies a request. `at` is the source's timestamp of it. Idempotent: what exists already is
    /// not created again, what is gone is not dropped again, both succeed.
    async fn apply(&self, ddl: &Ddl, at: Timestamp) -> Result<()>;

    /// One ReplicateMessage call: success means that all of it is in the target's log, in order.
    /// There is no deadline on an answer while the connection lives.
    async fn replicate(&self, call: &ReplicateCall) -> std::result::Result<(), CallError>;

    /// Asks for a flush of a collection: of all that it has got until now.
    async fn flush(&self, name: &CollectionName) -> Result<Flush>;

    /// Whether all that a flush was asked for is stored. It ends only while somebody ticks the
    /// channels of the collection.
    async fn is_flushed(&self, flush: &Flush) -> Result<bool>;

    /// The target's own clock (`AllocTimestamp`), which never goes back.
    async fn clock(&self) -> Result<Timestamp>;

    /// The proxies that calls of this client reach, by their ids. One that was started again has
    /// another id.
    async fn proxies(&self) -> Result<BTreeSet<i64>>;

    /// The data nodes, which store what is flushed, by their ids. One that was started again has
    /// another id. The answer may be [`NODES_KNOWN_FOR`] old.
    async fn data_nodes(&self) -> Result<BTreeSet<i64>>;

    /// Whether it takes replicate messages now; changes nothing. One of several proxies that takes
    /// them is enough.
    async fn is_replica(&self) -> Result<bool>;

    /// The version of the target, as it names it. A build without a tag names none.
    async fn version(&self) -> Result<String>;
}

/// One change for a log, with the names that the task gives it.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// Rows, or a drop as the source's log has it. Ids, shards and timestamps are the source's.
    Message(&'a Routed),
    /// A request on the metadata, and its timestamp on the source.
    Request(&'a Ddl, Timestamp),
    /// All that the source wrote to these channels up to this tick lies before.
    Tick {
        /// The source's physical channels.
        channels: &'a [Arc<str>],
        /// The tick.
        at: Timestamp,
    },
}

/// A log of changes for readers that are not a Milvus, such as the topics of a Kafka. A task has
/// one of its own.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Reaches the log and learns the marks that are there. From now on nothing appears of what was
    /// appended before and is not there yet. An exact sink shuts out whoever appended for this
    /// task; any other one only drops what it has not sent itself. Called before anything else, and
    /// again after an append that failed.
    async fn open(&self) -> Result<()>;

    /// Whether it answers; changes nothing.
    async fn ping(&self) -> Result<()>;

    /// Whether each append is all or nothing, and its mark a part of it. If not, an append that
    /// failed may have left some of its changes, and the next one repeats them.
    fn is_exact(&self) -> bool;

    /// Whether the log is known to have what was appended under this mark. An exact sink knows the
    /// last [`MARKS`] that were there when it was opened; of older ones it may say no. Any other
    /// sink may say no of all.
    fn holds(&self, mark: &str) -> bool;

    /// Appends changes behind all that was appended before, in order, durable when it returns. The
    /// mark names them: the same changes have the same in every run. Appends that are asked for at
    /// the same time go one after the other.
    async fn append(&self, mark: &str, changes: &[Change<'_>]) -> Result<()>;
}

/// How many marks of appends a sink knows at least.
pub const MARKS: usize = 16;

/// The largest value of a record. What a task keeps is far below: a position of some hundred bytes
/// for each of its channels, and each collection in a record of its own. etcd takes 1.5 MiB at a
/// time.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// A stored value and its version, which changes with every write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value, JSON.
    pub value: Vec<u8>,
    /// For conditions; never zero.
    pub version: u64,
}

/// In a condition: whatever the version is, the key must exist.
pub const EXISTS: u64 = u64::MAX;

/// Whether a key of this version, zero if it does not exist, is as a condition has it.
pub fn holds(version: u64, expected: u64) -> bool {
    if expected == EXISTS { version != 0 } else { version == expected }
}

/// Changes that happen all or not at all.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// Each key must have this version now; zero: it must not exist; [`EXISTS`]: it must.
    pub conditions: Vec<(String, u64)>,
    /// Written; a value has at most [`VALUE_BYTES_MAX`].
    pub puts: Vec<(String, Vec<u8>)>,
    /// Removed; one that is not there is fine.
    pub deletes: Vec<String>,
}

impl Transaction {
    /// The changes of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
        self
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Durable.
    Yes,
    /// A condition did not hold; nothing was written.
    Conflict,
}

/// Where tasks, checkpoints and lanes are kept: records under text keys, changed in transactions.
#[async_trait]
pub trait Store: Send + Sync {
    /// One record.
    async fn get(&self, key: &str) -> Result<Option<Stored>>;

    /// All records whose key begins with `prefix`, sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<(String, Stored)>>;

    /// Durable when it returns `Committed::Yes`. An error leaves open whether it happened, and
    /// whether it happens later.
    async fn commit(&self, transaction: Transaction) -> Result<Committed>;

    /// Names this installation, the same after a restart on the same store. Two processes that run
    /// at the same time never have the same one.
    fn holder(&self) -> &str;
}
