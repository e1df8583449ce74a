//! Step 6 of the way of a row: how far a task is, and where that is kept.
//! A checkpoint moves only over what the target has acknowledged (invariant I1); it never holds
//! rows.
//!
//! | key | record |
//! |---|---|
//! | `task/<task>` | the task itself, written by whoever looks after it; without it nothing of the rest is |
//! | `checkpoint/<task>` | [`Checkpoint`]: a position per channel, a DDL to be finished |
//! | `collection/<task>/<id>` | [`Covered`]: a collection that the task replicates |
//! | `op/<task>` | [`OpPosition`]: the next message of the op channel |
//! | `serving/<task>/<id>` | [`Served`](crate::metadata::serving_state::Served): how its collection was served on the source when that was last carried over |
//! | `access/<task>/<role>` | [`Given`](crate::metadata::rights::Given): what the target has been given of a role |
//! | `missed/<task>/<timestamp>-<request>-<collection>` | [`Missed`](crate::unsupported::Missed): what the target lacks because it can't be replicated |
//! | `next/<task>` | of a task into a log: the window that may be there (`into_log`) |
//! | `fence/<task>` | [`Fence`]: written by whoever takes a lane from the task |

use crate::error::Error;
use crate::error::Result;
use crate::ports::{Store, Transaction};
use crate::records::codec;
use crate::records::codec::{decode, encode, load_one};
use crate::records::keys::collection_key;
use crate::records::keys::fence_key;
use crate::records::position::Position;
use crate::selection::Names;
use milvus_wire::catalog::Collection;
use milvus_wire::ids::{CollectionId, PartitionId, split_vchannel};
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How far a task is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where each channel resumes.
    #[serde(with = "codec::positions")]
    pub channels: BTreeMap<String, Position>,
    /// A drop whose messages are acknowledged and whose request may not have been carried out.
    pub pending: Option<Pending>,
    /// The task was taken over and has not run since: the target may lack databases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_over: bool,
}

/// A drop that is announced in the target's log and still has to be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The collection on the source.
    #[serde(with = "codec::collection")]
    pub collection: CollectionId,
    /// The partition on the source and its name; `None`: the collection itself.
    pub partition: Option<(i64, String)>,
    /// When it was dropped on the source.
    #[serde(with = "codec::timestamp")]
    pub at: Timestamp,
}

/// Where a collection begins on a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct From {
    /// Messages before it are not the task's.
    #[serde(with = "codec::id")]
    pub id: MessageId,
    /// Messages with an order at or below it are done, wherever the channel is read from.
    #[serde(with = "codec::timestamp")]
    pub after: Timestamp,
}

/// A collection that the task replicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Covered {
    /// Its id on the source: its identity (invariant I6).
    #[serde(with = "codec::collection")]
    pub id: CollectionId,
    /// The source's database.
    pub database: String,
    /// Its name on the source, as far as the target has followed it.
    pub name: String,
    /// When it was created on the source.
    #[serde(with = "codec::timestamp")]
    pub created: Timestamp,
    /// The source's virtual channels, in shard order.
    pub vchannels: Vec<String>,
    /// Where it begins, by physical channel.
    pub from: BTreeMap<String, From>,
    /// Which partition of the source the target's partition of a name stands for, by its id there.
    #[serde(default)]
    pub partitions: BTreeMap<String, i64>,
    /// The field id of its primary key.
    pub primary_key: i64,
    /// The name of that field; empty in records of before there were sinks.
    #[serde(default)]
    pub key_name: String,
    /// Whether the target has it.
    pub stage: Stage,
    /// How far the target follows its name.
    #[serde(default)]
    pub naming: Naming,
    /// Whether a Go tool may have sent rows of it, so that each shard goes where that tool put it
    /// (`Router::settle`).
    #[serde(default)]
    pub by_name: bool,
    /// The target that it goes to; empty if no other task could write there, or not known.
    #[serde(default)]
    pub target: String,
}

/// How far the target follows a collection's name, which the source may change (`rename`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Naming {
    /// Another collection had the name on the target that it should have, so it has one of its own
    /// there until that is free.
    pub parked: bool,
    /// What the target calls it by now, or is about to: stored before the target is asked.
    pub next: Option<Called>,
    /// When the target was asked last: later each time.
    #[serde(with = "codec::timestamp")]
    pub asked: Timestamp,
}

/// A name for a collection, as the source has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// The source's database.
    pub database: String,
    /// Its name on the source.
    pub name: String,
    /// The target is to give it a name of its own for now.
    pub parked: bool,
}

/// How a collection gets to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It existed when its task began, and is to be created on the target.
    Existing,
    /// It is created on the target when its CreateCollection message is met in the log.
    Awaited,
    /// The target has it.
    Live,
}

impl Covered {
    /// Whether the target has it.
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// The target's database and what it is called there.
    pub fn on_target(&self, names: &Names) -> (String, String) {
        let (database, name) = names.collection(&self.database, &self.name);
        let parked = self.naming.parked.then(|| format!("milvus_cdc_{}", self.id));
        (database.to_owned(), parked.unwrap_or_else(|| name.to_owned()))
    }

    /// The source's physical channels.
    pub fn pchannels(&self) -> impl Iterator<Item = &str> {
        self.vchannels.iter().filter_map(|v| split_vchannel(v)).map(|(pchannel, ..)| pchannel)
    }
}

/// The next message of the op channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpPosition {
    /// Inclusive.
    #[serde(with = "codec::id")]
    pub next: MessageId,
    /// The timestamp of the last one carried out.
    #[serde(with = "codec::timestamp")]
    pub at: Timestamp,
}

/// A stretch of the source that may be on the target already, beyond the reach of its removal of
/// duplicates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fence {
    /// Up to this source tick.
    #[serde(with = "codec::timestamp")]
    pub upto: Timestamp,
}

/// Everything stored of a task.
#[derive(Debug, Default)]
pub struct Loaded {
    /// `None`: the task has not begun.
    pub checkpoint: Option<Checkpoint>,
    /// Its collections.
    pub collections: Vec<Covered>,
    /// Set when a lane was taken from it.
    pub fence: Option<Timestamp>,
}

impl Checkpoint {
    /// A checkpoint to store.
    pub fn new(channels: BTreeMap<String, Position>, pending: Option<Pending>) -> Self {
        Self { channels, pending, taken_over: false }
    }

    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        transaction.puts.push((format!("checkpoint/{task}"), encode(self)));
    }
}

impl Covered {
    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        transaction.puts.push((collection_key(task, self.id), encode(self)));
    }
}

impl OpPosition {
    /// A position to store.
    pub fn new(next: MessageId, at: Timestamp) -> Self {
        Self { next, at }
    }

    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        transaction.puts.push((format!("op/{task}"), encode(self)));
    }

    /// The stored one.
    pub async fn load(store: &dyn Store, task: &str) -> Result<Option<Self>> {
        load_one(store, &format!("op/{task}")).await
    }
}

/// A fence to store, no lower than the one that is there.
pub async fn fence(store: &dyn Store, task: &str, upto: Timestamp) -> Result<Vec<u8>> {
    let before: Option<Fence> = load_one(store, &fence_key(task)).await?;
    let upto = before.map_or(upto, |f| f.upto.max(upto));
    Ok(encode(&Fence { upto }))
}

/// Reads everything stored of a task.
pub async fn load(store: &dyn Store, task: &str) -> Result<Loaded> {
    let checkpoint = load_one(store, &format!("checkpoint/{task}")).await?;
    let fence: Option<Fence> = load_one(store, &fence_key(task)).await?;
    let mut collections = Vec::new();
    for (key, stored) in store.list(&format!("collection/{task}/")).await? {
        collections.push(decode(&key, &stored.value)?);
    }
    Ok(Loaded { checkpoint, collections, fence: fence.map(|f| f.upto) })
}

/// Where a collection begins that is replicated from its creation on.
pub(crate) fn starts(collection: &Collection) -> BTreeMap<String, From> {
    let from = |id: &MessageId| From { id: id.clone(), after: Timestamp::ZERO };
    collection.start_positions.iter().map(|(channel, id)| (channel.clone(), from(id))).collect()
}

pub(crate) fn covered(
    collection: &Collection,
    from: BTreeMap<String, From>,
    stage: Stage,
) -> Result<Covered> {
    let missing = collection.pchannels.iter().find(|p| !from.contains_key(*p));
    if let Some(channel) = missing {
        return Err(Error::transient(format!(
            "the source's catalog has no start position of {} on {channel} yet",
            collection.name()
        )));
    }
    let primary = collection.schema.fields.iter().find(|f| f.is_primary_key);
    Ok(Covered {
        id: collection.id,
        database: collection.database.clone(),
        name: collection.name().to_owned(),
        created: collection.created,
        vchannels: collection.vchannels.clone(),
        from,
        partitions: BTreeMap::new(),
        primary_key: primary.map_or(0, |f| f.field_id),
        key_name: primary.map_or_else(String::new, |f| f.name.clone()),
        stage,
        naming: Naming::default(),
        by_name: false,
        target: String::new(),
    })
}

/// A partition of a pending drop.
pub fn pending_partition(pending: &Pending) -> Option<(PartitionId, &str)> {
    pending.partition.as_ref().map(|(id, name)| (PartitionId(*id), name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_of_before_names_were_followed_is_read_and_a_parked_one_has_a_name_of_its_own() {
        let old = br#"{"id":7,"database":"d","name":"n","created":1,"vchannels":[],"from":{},
            "primary_key":100,"stage":"live"}"#;
        let mut covered: Covered = decode("k", old).unwrap();
        assert_eq!(covered.naming, Naming::default());
        let on_target = |covered: &Covered| covered.on_target(&Names::default());
        assert_eq!(on_target(&covered), ("d".to_owned(), "n".to_owned()));
        covered.naming.parked = true;
        assert_eq!(on_target(&covered), ("d".to_owned(), "milvus_cdc_7".to_owned()));
        assert_eq!(decode::<Covered>("k", &encode(&covered)).unwrap(), covered);
    }
}
