//! Step 5 of the way of a row: how far a task is, and which collections it replicates.
//! A checkpoint moves only over what the target has acknowledged (invariant I1).
//! Never contains rows.

use crate::error::{Error, Result};
use crate::ports::{Source, Store, Transaction};
use crate::records::codec::{self, decode, encode, encode_as, load_one};
use crate::records::keys::{checkpoint_key, collection_key, collection_prefix, fence_key, op_key};
use crate::records::position::Position;
use crate::selection::Names;
use milvus_wire::catalog::Collection;
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId, split_vchannel};
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// How far a task is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where each channel resumes.
    #[serde(with = "codec::positions")]
    pub channels: BTreeMap<String, Position>,
    /// A drop whose messages are acknowledged and whose request may not have been carried out.
    pub pending: Option<PendingDrop>,
    /// The task was taken over and has not run since: the target may lack databases.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub taken_over: bool,
    /// Up to where all else is done, if channels have gone back for a collection that joined.
    #[serde(default, with = "codec::timestamp", skip_serializing_if = "is_zero")]
    pub done: Timestamp,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn is_zero(at: &Timestamp) -> bool {
    *at == Timestamp::ZERO
}

/// A drop that is announced in the target's log and still has to be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PendingDrop {
    /// The collection on the source.
    #[serde(with = "codec::collection")]
    pub collection: CollectionId,
    /// The partition on the source and its name; `None`: the collection itself.
    pub partition: Option<(i64, String)>,
    /// When it was dropped on the source.
    #[serde(with = "codec::timestamp")]
    pub at: Timestamp,
}

/// Where a collection starts on a channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Messages before it are not the task's.
    #[serde(with = "codec::id")]
    pub id: MessageId,
    /// Messages with an order at or below it are done, wherever the channel is read from.
    #[serde(with = "codec::timestamp")]
    pub after: Timestamp,
}

/// A collection that the task replicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicatedCollection {
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
    /// Where it starts, by physical channel.
    #[serde(rename = "from")]
    pub start: BTreeMap<String, Start>,
    /// Which partition of the source the target's partition of a name stands for, by its id there.
    #[serde(default)]
    pub partitions: BTreeMap<String, i64>,
    /// When those were created of which a log may not have been told yet, by their name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub telling: BTreeMap<String, u64>,
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
    /// Its id there, since the target has it: another collection of its name is not it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<i64>,
    /// Why it is not replicated for now. It starts again at `start` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_step: Option<OutOfStep>,
    /// What the target has surely stored of it, if it may forget the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flushed: Option<Flushed>,
}

/// What a target has surely stored of a collection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flushed {
    /// All that lies before these places, by physical channel.
    pub from: BTreeMap<String, Start>,
    /// And all behind them, as long as the target has these data nodes and no others.
    pub nodes: BTreeSet<i64>,
}

/// Why a collection is not replicated while its task goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutOfStep {
    /// What somebody has to do, in a sentence.
    pub reason: String,
    /// How far the task was on the source then; zero: it had just begun.
    #[serde(with = "codec::timestamp")]
    pub since: Timestamp,
    /// Rows up to here may be on the target already.
    #[serde(default, with = "codec::timestamp", skip_serializing_if = "is_zero")]
    pub unsure: Timestamp,
}

/// How far the target follows a collection's name, which the source may change (`rename`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Naming {
    /// Another collection had the name on the target that it should have, so it has one of its own
    /// there until that is free.
    pub parked: bool,
    /// What the target calls it by now, or is about to: stored before the target is asked.
    pub next: Option<NextName>,
    /// When the target was asked last: later each time.
    #[serde(with = "codec::timestamp")]
    pub asked: Timestamp,
}

/// A name for a collection, as the source has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextName {
    /// The source's database.
    pub database: String,
    /// Its name on the source.
    pub name: String,
    /// The target is to give it a name of its own for now.
    pub parked: bool,
}

impl NextName {
    /// The name that a collection has on the source now.
    pub(crate) fn of(collection: &Collection) -> Self {
        let (database, name) = (collection.database.clone(), collection.name().to_owned());
        Self { database, name, parked: false }
    }
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

impl ReplicatedCollection {
    /// A new record of a collection that starts here on each of its channels.
    pub(crate) fn new(
        collection: &Collection,
        start: BTreeMap<String, Start>,
        stage: Stage,
    ) -> Result<Self> {
        let missing = collection.pchannels.iter().find(|p| !start.contains_key(*p));
        if let Some(channel) = missing {
            return Err(Error::transient(format!(
                "the source's catalog has no start position of {} on {channel} yet",
                collection.name()
            )));
        }
        let primary = collection.schema.fields.iter().find(|f| f.is_primary_key);
        Ok(Self {
            id: collection.id,
            database: collection.database.clone(),
            name: collection.name().to_owned(),
            created: collection.created,
            vchannels: collection.vchannels.clone(),
            start,
            partitions: BTreeMap::new(),
            telling: BTreeMap::new(),
            primary_key: primary.map_or(0, |f| f.field_id),
            key_name: primary.map_or_else(String::new, |f| f.name.clone()),
            stage,
            naming: Naming::default(),
            by_name: false,
            target: String::new(),
            there: None,
            out_of_step: None,
            flushed: None,
        })
    }

    /// Where a collection starts that is replicated from its creation on.
    pub(crate) fn starts_of(collection: &Collection) -> BTreeMap<String, Start> {
        let start = |id: &MessageId| Start { id: id.clone(), after: Timestamp::ZERO };
        let positions = collection.start_positions.iter();
        positions.map(|(channel, id)| (channel.clone(), start(id))).collect()
    }

    /// Where it starts again if it stops here; if it is out of step, where it has stopped.
    pub(crate) fn reached(
        &self,
        channels: &BTreeMap<String, Position>,
        source: &dyn Source,
    ) -> BTreeMap<String, Start> {
        let mut reached = self.start.clone();
        for (channel, start) in reached.iter_mut().filter(|_| self.is_in_step()) {
            let Some(position) = channels.get(channel) else { continue };
            start.after = start.after.max(position.tick);
            if source.compare(&start.id, &position.id) == Ordering::Less {
                start.id = position.id.clone();
            }
        }
        reached
    }

    /// The name that the target has followed so far.
    pub(crate) fn present_name(&self) -> NextName {
        let (database, name) = (self.database.clone(), self.name.clone());
        NextName { database, name, parked: self.naming.parked }
    }

    /// The record once the target has followed to this name.
    pub(crate) fn renamed(&self, next: &NextName) -> Self {
        let mut renamed = self.clone();
        renamed.database.clone_from(&next.database);
        renamed.name.clone_from(&next.name);
        renamed.naming.parked = next.parked;
        renamed.naming.next = None;
        renamed
    }

    /// Whether the target has it, and its rows go there.
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live && self.is_in_step()
    }

    /// Whether it goes with its task.
    pub fn is_in_step(&self) -> bool {
        self.out_of_step.is_none()
    }

    /// Whether a collection of the target, of its name, may be it.
    pub(crate) fn may_be(&self, there: CollectionId) -> bool {
        self.there.is_none_or(|known| known == there.0)
    }

    /// What the target calls it.
    pub fn on_target(&self, names: &Names) -> CollectionName {
        let mapped = names.collection(&self.database, &self.name);
        match self.naming.parked {
            true => CollectionName::new(mapped.database, format!("milvus_cdc_{}", self.id)),
            false => mapped,
        }
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
    pub collections: Vec<ReplicatedCollection>,
    /// Set when a lane was taken from it.
    pub fence: Option<Timestamp>,
}

impl Checkpoint {
    /// A checkpoint to store.
    pub fn new(channels: BTreeMap<String, Position>, pending: Option<PendingDrop>) -> Self {
        Self { channels, pending, taken_over: false, done: Timestamp::ZERO }
    }

    /// A transaction with this record alone.
    pub(crate) fn record(&self, task: &str) -> Transaction {
        let mut stored = Transaction::default();
        self.put(task, &mut stored);
        stored
    }

    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        transaction.puts.push((checkpoint_key(task), encode(self)));
    }
}

impl ReplicatedCollection {
    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        // An earlier version would pass over its rows and move on.
        let form = if self.is_in_step() { 1 } else { 2 };
        transaction.puts.push((collection_key(task, self.id), encode_as(form, self)));
    }
}

impl OpPosition {
    /// A position to store.
    pub fn new(next: MessageId, at: Timestamp) -> Self {
        Self { next, at }
    }

    /// Adds this record to a transaction.
    pub fn put(&self, task: &str, transaction: &mut Transaction) {
        transaction.puts.push((op_key(task), encode(self)));
    }

    /// The stored one.
    pub async fn load(store: &dyn Store, task: &str) -> Result<Option<Self>> {
        load_one(store, &op_key(task)).await
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
    let checkpoint = load_one(store, &checkpoint_key(task)).await?;
    let fence: Option<Fence> = load_one(store, &fence_key(task)).await?;
    let mut collections = Vec::new();
    for (key, stored) in store.list(&collection_prefix(task)).await? {
        collections.push(decode(&key, &stored.value)?);
    }
    Ok(Loaded { checkpoint, collections, fence: fence.map(|f| f.upto) })
}

/// A partition of a pending drop.
pub fn pending_partition(pending: &PendingDrop) -> Option<(PartitionId, &str)> {
    pending.partition.as_ref().map(|(id, name)| (PartitionId(*id), name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{ChannelReader, Record};
    use crate::written::read_and_written_again;

    #[test]
    fn what_earlier_versions_stored_of_a_task_is_written_the_same() {
        let checkpoints: Vec<Checkpoint> = read_and_written_again("checkpoint");
        assert!(checkpoints.iter().any(|checkpoint| checkpoint.taken_over));
        let collections: Vec<ReplicatedCollection> = read_and_written_again("collection");
        for stage in [Stage::Existing, Stage::Awaited, Stage::Live] {
            assert!(collections.iter().any(|collection| collection.stage == stage), "{stage:?}");
        }
        assert!(collections.iter().any(|collection| collection.by_name));
        assert!(collections.iter().any(|collection| collection.naming.asked > Timestamp::ZERO));
        let positions: Vec<OpPosition> = read_and_written_again("op");
        assert!(positions.iter().any(|position| position.at > Timestamp::ZERO));
        assert!(!read_and_written_again::<Fence>("fence").is_empty());
    }

    /// An earlier version would take it for one that is replicated, and move on past its rows.
    #[test]
    fn only_a_collection_that_is_out_of_step_is_left_to_versions_that_know_that() {
        let old = br#"{"id":7,"database":"d","name":"n","created":1,"vchannels":[],"from":{},
            "primary_key":100,"stage":"live"}"#;
        let mut collection: ReplicatedCollection = decode("k", old).unwrap();
        let form = |collection: &ReplicatedCollection| {
            let mut stored = Transaction::default();
            collection.put("t", &mut stored);
            let record: serde_json::Value = serde_json::from_slice(&stored.puts[0].1).unwrap();
            record["form"].as_u64()
        };
        assert_eq!(form(&collection), Some(1));
        let (reason, since) = ("gone".to_owned(), Timestamp(5));
        collection.out_of_step = Some(OutOfStep { reason, since, unsure: Timestamp(6) });
        assert_eq!(form(&collection), Some(2));
        let mut stored = Transaction::default();
        collection.put("t", &mut stored);
        let (key, value) = &stored.puts[0];
        assert_eq!(decode::<ReplicatedCollection>(key, value).unwrap(), collection);
    }

    struct SameIds;

    #[async_trait::async_trait]
    impl Source for SameIds {
        async fn open(&self, _: &str, _: &MessageId) -> Result<Box<dyn ChannelReader>> {
            unreachable!()
        }

        async fn end(&self, _: &str) -> Result<MessageId> {
            unreachable!()
        }

        async fn newest(&self, _: &str, _: usize) -> Result<Vec<Record>> {
            unreachable!()
        }

        fn compare(&self, _: &MessageId, _: &MessageId) -> Ordering {
            Ordering::Equal
        }
    }

    /// Its channels have gone on without it.
    #[test]
    fn a_collection_out_of_step_has_reached_where_it_stopped() {
        let old = br#"{"id":7,"database":"d","name":"n","created":1,"vchannels":[],
            "from":{"dml_0":{"id":"","after":10}},"primary_key":100,"stage":"live"}"#;
        let mut collection: ReplicatedCollection = decode("k", old).unwrap();
        let at = Position::new(MessageId::default(), Timestamp(20));
        let channels = BTreeMap::from([("dml_0".to_owned(), at)]);
        let after = |c: &ReplicatedCollection| c.reached(&channels, &SameIds)["dml_0"].after;
        assert_eq!(after(&collection), Timestamp(20));
        let (reason, since, unsure) = ("gone".to_owned(), Timestamp(10), Timestamp::ZERO);
        collection.out_of_step = Some(OutOfStep { reason, since, unsure });
        assert_eq!(after(&collection), Timestamp(10));
    }

    #[test]
    fn a_collection_of_before_names_were_followed_is_read_and_a_parked_one_has_a_name_of_its_own() {
        let old = br#"{"id":7,"database":"d","name":"n","created":1,"vchannels":[],"from":{},
            "primary_key":100,"stage":"live"}"#;
        let mut collection: ReplicatedCollection = decode("k", old).unwrap();
        assert_eq!(collection.naming, Naming::default());
        let on_target = |collection: &ReplicatedCollection| collection.on_target(&Names::default());
        assert_eq!(on_target(&collection), CollectionName::new("d", "n"));
        collection.naming.parked = true;
        assert_eq!(on_target(&collection), CollectionName::new("d", "milvus_cdc_7"));
        assert_eq!(decode::<ReplicatedCollection>("k", &encode(&collection)).unwrap(), collection);
    }
}

#[cfg(test)]
mod fuzz {
    use super::*;
    use crate::written::read_or_refused;

    #[test]
    fn any_bytes_are_a_record_or_refused() {
        bolero::check!().for_each(|bytes: &[u8]| {
            read_or_refused::<Checkpoint>(bytes);
            read_or_refused::<ReplicatedCollection>(bytes);
            read_or_refused::<OpPosition>(bytes);
            read_or_refused::<Fence>(bytes);
        });
    }
}
