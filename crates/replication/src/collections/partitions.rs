//! The partitions of a task's collections. The log does not have CreatePartition, so they come from
//! the catalog: by watch, and before a round whose rows name a partition that is not known. A name
//! may belong to one partition after another; the record says which of them the target's partition
//! stands for. Never touches rows.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::message::{Entry, Place, Read};
use crate::observer::Noted;
use crate::ports::{Ddl, TargetPartition, Transaction};
use crate::records::checkpoint::ReplicatedCollection;
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use milvus_wire::catalog::{Partition, State};
use milvus_wire::ids::{CollectionId, PartitionId};
use milvus_wire::message::{DdlMessage, Message};
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::DropPartitionRequest;
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// A partition whose name the target still gives to one that is gone on the source.
#[derive(Debug)]
pub(crate) struct Displaced {
    collection: CollectionId,
    name: String,
    old: PartitionId,
    new: PartitionId,
}

impl Displaced {
    /// Drop messages just before the first row of the new partition: the source has dropped the old
    /// one, and writes that to the log later. The log's own drop will find nothing.
    pub(super) fn drop(&self, roster: &Roster, round: &[Read]) -> Vec<Read> {
        let is_new = |read: &&Read| match &read.entry.message {
            Message::Row(row) => row.partition_id == self.new,
            _ => false,
        };
        let first = round.iter().filter(is_new).map(|read| read.entry.order).min();
        let (Some(first), Some(collection)) = (first, roster.get(self.collection)) else {
            return Vec::new();
        };
        let (at, msg_id) = (first.prev(), -self.old.0);
        let request = DropPartitionRequest {
            base: Some(MsgBase {
                msg_type: MsgType::DropPartition.into(),
                msg_id,
                timestamp: at.0,
                ..Default::default()
            }),
            db_name: collection.database.clone(),
            collection_name: collection.name.clone(),
            partition_name: self.name.clone(),
            collection_id: collection.id.0,
            partition_id: self.old.0,
            ..Default::default()
        };
        let message = Message::DropPartition(DdlMessage {
            msg_id,
            timestamp: at,
            database: collection.database.clone(),
            collection: collection.name.clone(),
            partition: self.name.clone(),
            collection_id: collection.id,
            partition_id: self.old,
            raw: request.encode_to_vec().into(),
        });
        // As it would have been read, once per shard, behind everything that was read.
        let read = |channel: &str| {
            let (id, message) = (MessageId::default(), message.clone());
            Read { channel: channel.into(), entry: Entry { seq: u64::MAX, id, order: at, message } }
        };
        collection.pchannels().map(read).collect()
    }
}

/// What learning partitions changes.
pub(super) struct Partitions<'a> {
    pub(super) context: &'a Context,
    pub(super) roster: &'a mut Roster,
    pub(super) router: &'a mut Router,
}

impl Partitions<'_> {
    /// Learns every partition that these messages name. A partition that is unknown afterwards is
    /// gone on the source, and its rows with it. Returns the partitions whose name is still taken.
    pub(super) async fn meet<'m>(
        &mut self,
        held: impl Iterator<Item = &'m Message>,
    ) -> Result<Vec<Displaced>> {
        let unknown = |message: &Message| match message {
            Message::Row(row) if !row.is_of_one_partition() => None,
            Message::Row(row)
                if self.router.knows_partition(row.collection_id, row.partition_id) =>
            {
                None
            }
            Message::Row(row) => Some((row.collection_id, row.partition_id)),
            _ => None,
        };
        let unknown: BTreeSet<_> = held.filter_map(unknown).collect();
        let collections: BTreeSet<_> = unknown.iter().map(|(collection, _)| *collection).collect();
        let mut displaced = Vec::new();
        for id in collections {
            let created = self.create(id).await?;
            let met = created.into_iter().filter(|p| unknown.contains(&(id, p.id)));
            let taken = self.roster.get(id).map(|c| &c.partitions);
            displaced.extend(met.filter_map(|new| {
                let old = PartitionId(*taken?.get(&new.name)?);
                let (collection, name, new) = (id, new.name, new.id);
                (old != new).then_some(Displaced { collection, name, old, new })
            }));
        }
        Ok(displaced)
    }

    /// Creates what the source has and the target lacks, and learns where it lives.
    pub(super) async fn learn(&mut self, id: CollectionId) -> Result<()> {
        self.create(id).await.map(|_| ())
    }

    /// Returns the partitions that the source has now.
    async fn create(&mut self, id: CollectionId) -> Result<Vec<Partition>> {
        let Some(place) = self.router.place(id).cloned() else {
            return Ok(Vec::new());
        };
        let mut here = self.context.ports.catalog.partitions(id).await?;
        here.retain(|partition| partition.state == State::Created);
        let destination = &self.context.ports.destination;
        let Some(there) = destination.partitions(&place.name).await? else {
            self.tell(id, &place, &here).await?;
            return Ok(here);
        };
        let stands_for = self.claim_names(id, &here).await?;
        let there = self.create_missing(&place, &here, &stands_for, there).await?;
        if self.context.task.ignore_partition {
            for partition in &here {
                if let Some(found) = there.get(&partition.name).or_else(|| first(&there)) {
                    self.router.settle_partition(id, partition.id, found.id);
                }
            }
            return Ok(here);
        }
        for (name, partition) in &stands_for {
            match there.get(name) {
                Some(found) => self.router.settle_partition(id, PartitionId(*partition), found.id),
                None if here.iter().any(|p| p.id.0 == *partition) => {
                    return Err(Error::transient(format!(
                        "the partition {name} of {} was created on the target and is not there yet",
                        place.name
                    )));
                }
                // Gone on the source before it could be created: its drop comes on the log.
                None => {}
            }
        }
        Ok(here)
    }

    /// Returns the partitions that the target has then.
    async fn create_missing(
        &self,
        place: &Place,
        here: &[Partition],
        stands_for: &BTreeMap<String, i64>,
        there: BTreeMap<String, TargetPartition>,
    ) -> Result<BTreeMap<String, TargetPartition>> {
        let is_missing = |p: &&Partition| {
            !there.contains_key(&p.name) && stands_for.get(&p.name) == Some(&p.id.0)
        };
        let missing: Vec<_> = here.iter().filter(is_missing).collect();
        for partition in &missing {
            let (collection, name) = (place.name.clone(), partition.name.clone());
            let request = Ddl::CreatePartition { collection, partition: name };
            self.context.ask(&request, partition.created).await?;
        }
        if missing.is_empty() {
            return Ok(there);
        }
        let created = self.context.ports.destination.partitions(&place.name).await?;
        Ok(created.unwrap_or_default())
    }

    /// Tells a log of the partitions that it lacks. It has what it was told of: so what it is going
    /// to be told is stored first, and told again after a crash, which its marks make harmless.
    async fn tell(&mut self, id: CollectionId, place: &Place, here: &[Partition]) -> Result<()> {
        if self.context.task.ignore_partition {
            for partition in here {
                self.router.settle_partition(id, partition.id, partition.id);
            }
            return Ok(());
        }
        if let Some(collection) = self.roster.get_mut(id) {
            let lacks = |partition: &&Partition| {
                !collection.partitions.contains_key(&partition.name)
                    && !came_with(partition, collection)
            };
            let new: Vec<_> = here.iter().filter(lacks).collect();
            collection.telling.extend(new.iter().map(|p| (p.name.clone(), p.created.0)));
        }
        for partition in self.claim_names(id, here).await?.into_values().map(PartitionId) {
            self.router.settle_partition(id, partition, partition);
        }
        let telling = self.roster.get(id).map(|c| c.telling.clone()).unwrap_or_default();
        for (partition, created) in &telling {
            let (collection, partition) = (place.name.clone(), partition.clone());
            let request = Ddl::CreatePartition { collection, partition };
            self.context.ask(&request, Timestamp(*created)).await?;
        }
        if let Some(told) = self.roster.get_mut(id).filter(|_| !telling.is_empty()) {
            told.telling.clear();
            self.store(id).await?;
        }
        Ok(())
    }

    /// Maps each partition that a Go tool left on the target to the source's partition that it
    /// stands for: the newest one of that name that existed when it was created, even if it was
    /// dropped since (its drop is still in the log).
    pub(super) async fn claim_taken_over(&mut self, id: CollectionId) -> Result<()> {
        let Some(collection) = self.roster.get(id).cloned() else { return Ok(()) };
        if self.context.task.ignore_partition {
            return Ok(());
        }
        let here = self.context.ports.catalog.partitions(id).await?;
        let destination = &self.context.ports.destination;
        let name = collection.on_target(self.router.names());
        if destination.milvus().is_none() {
            // It was told of those that are being dropped, unless a namesake took the place of one.
            let names = here.iter().map(|p| &p.name);
            let is_alone =
                |p: &&Partition| names.clone().filter(|name| **name == p.name).count() == 1;
            let dropped = here.iter().filter(|p| p.state != State::Created).filter(is_alone);
            let dropped: Vec<_> = dropped.cloned().collect();
            return self.claim_names(id, &dropped).await.map(|_| ());
        }
        let described = destination.describe(&collection, &name).await?;
        let Some(made) = described.map(|there| there.created) else { return Ok(()) };
        let there = destination.partitions(&name).await?.unwrap_or_default();
        let ours = here.iter().filter(|p| came_with(p, &collection)).count();
        let theirs = there.values().filter(|p| p.created == made).count();
        if ours != theirs && ours.max(theirs) > 1 {
            tracing::error!(
                collection = %name,
                source = ours,
                target = theirs,
                "the Go tool created this collection with another number of partitions for its \
                 partition key; filters on that key miss rows on the target: drop it there and \
                 replicate it anew"
            );
            self.context.count(Noted::OtherPartitionCount);
        }
        let mut stand_for = Vec::new();
        for (partition, left) in &there {
            let older = here.iter().filter(|p| p.name == *partition && p.created <= left.created);
            match older.max_by_key(|p| p.created) {
                Some(found) => stand_for.push(found.clone()),
                None if left.created > made => tracing::warn!(
                    collection = %name,
                    partition,
                    "the source does not have this partition of the target; drop it there"
                ),
                None => {}
            }
        }
        self.claim_names(id, &stand_for).await.map(|_| ())
    }

    /// Stores which partition each name stands for, before the target is asked to create any. A
    /// name that is taken stays with its partition until that is dropped.
    async fn claim_names(
        &mut self,
        id: CollectionId,
        here: &[Partition],
    ) -> Result<BTreeMap<String, i64>> {
        let task = &self.context.task;
        let Some(collection) = self.roster.get_mut(id).filter(|_| !task.ignore_partition) else {
            return Ok(BTreeMap::new());
        };
        let before = collection.partitions.len();
        for partition in here {
            collection.partitions.entry(partition.name.clone()).or_insert(partition.id.0);
        }
        let stands_for = collection.partitions.clone();
        if stands_for.len() > before {
            self.store(id).await?;
        }
        Ok(stands_for)
    }

    async fn store(&self, id: CollectionId) -> Result<()> {
        let mut stored = Transaction::default();
        if let Some(collection) = self.roster.get(id) {
            collection.put(&self.context.task.id, &mut stored);
        }
        self.context.records().commit(stored).await
    }
}

/// The partition that every collection begins with, whatever Milvus's `common.defaultPartitionName`
/// says on this cluster: ids are given in order.
fn first(partitions: &BTreeMap<String, TargetPartition>) -> Option<&TargetPartition> {
    partitions.values().min_by_key(|partition| partition.id)
}

/// Whether a partition was made with its collection, so that nobody has to be asked for it.
fn came_with(partition: &Partition, collection: &ReplicatedCollection) -> bool {
    partition.created == collection.created
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_that_a_collection_begins_with_is_known_without_its_name() {
        let named = |(name, id): (&str, i64)| {
            let created = Timestamp(1);
            (name.to_owned(), TargetPartition { id: PartitionId(id), created })
        };
        let there = [("a", 9), ("as_configured", 7), ("z", 8)].map(named).into();
        assert_eq!(first(&there).map(|first| first.id), Some(PartitionId(7)));
        assert_eq!(first(&BTreeMap::new()), None);
    }
}
