//! The partitions of a task's collections. CreatePartition is not on the log, so they come from
//! the catalog: by watch, and before a round whose rows name one that is not known. A name may be
//! taken by one partition after the other; which of them the target's stands for is stored.
//! Never touches rows.

use crate::collections::cover::Cover;
use crate::collections::create_drop::on_every_shard;
use crate::destination::Destination;
use crate::error::{Error, Result};
use crate::message::Place;
use crate::message::Read;
use crate::observer::Event;
use crate::ports::{Ddl, TargetPartition, Transaction};
use crate::records::checkpoint::Covered;
use milvus_wire::catalog::{Partition, State};
use milvus_wire::ids::{CollectionId, PartitionId};
use milvus_wire::message::{DdlMessage, Message};
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::DropPartitionRequest;
use milvus_wire::timestamp::Timestamp;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// A partition whose name the target still gives to one that is gone on the source.
#[derive(Debug)]
pub struct Displaced {
    collection: CollectionId,
    name: String,
    old: PartitionId,
    new: PartitionId,
}

impl Cover {
    /// Learns every partition that the rows of a round name, before the round is taken apart. What
    /// is not known afterwards is gone on the source, and its rows with it. Returns those whose
    /// name is still taken.
    pub async fn meet_partitions(&mut self, upto: Timestamp) -> Result<Vec<Displaced>> {
        let unknown = |message: &Message| match message {
            Message::Row(row) if row.partition.is_empty() => None,
            Message::Row(row)
                if self.router.knows_partition(row.collection_id, row.partition_id) =>
            {
                None
            }
            Message::Row(row) => Some((row.collection_id, row.partition_id)),
            _ => None,
        };
        let unknown: BTreeSet<_> = self.channels.held(upto).filter_map(unknown).collect();
        let collections: BTreeSet<_> = unknown.iter().map(|(collection, _)| *collection).collect();
        let mut displaced = Vec::new();
        for id in collections {
            let created = self.create_partitions(id).await?;
            let met = created.into_iter().filter(|p| unknown.contains(&(id, p.id)));
            let taken = self.roster.get(id).map(|c| &c.partitions);
            displaced.extend(met.filter_map(|new| {
                let old = PartitionId(*taken?.get(&new.name)?);
                (old != new.id).then_some(Displaced {
                    collection: id,
                    name: new.name,
                    old,
                    new: new.id,
                })
            }));
        }
        Ok(displaced)
    }

    /// Drop messages for what is displaced, just before the first row of its namesake: the source
    /// has dropped it, and writes that to the log when it gets round to it. The log's own drop will
    /// find nothing.
    pub fn drop_displaced(&self, displaced: &[Displaced], round: &[Read]) -> Vec<Read> {
        displaced.iter().flat_map(|displaced| self.made_up_drop(displaced, round)).collect()
    }

    fn made_up_drop(&self, displaced: &Displaced, round: &[Read]) -> Vec<Read> {
        let is_new = |read: &&Read| matches!(&read.entry.message, Message::Row(row) if row.partition_id == displaced.new);
        let first = round.iter().filter(is_new).map(|read| read.entry.order).min();
        let (Some(first), Some(covered)) = (first, self.roster.get(displaced.collection)) else {
            return Vec::new();
        };
        let (at, msg_id) = (first.prev(), -displaced.old.0);
        let request = DropPartitionRequest {
            base: Some(MsgBase {
                msg_type: MsgType::DropPartition.into(),
                msg_id,
                timestamp: at.0,
                ..Default::default()
            }),
            db_name: covered.database.clone(),
            collection_name: covered.name.clone(),
            partition_name: displaced.name.clone(),
            collection_id: covered.id.0,
            partition_id: displaced.old.0,
            ..Default::default()
        };
        let ddl = DdlMessage {
            msg_id,
            timestamp: at,
            database: covered.database.clone(),
            collection: covered.name.clone(),
            partition: displaced.name.clone(),
            collection_id: covered.id,
            partition_id: displaced.old,
            raw: request.encode_to_vec().into(),
        };
        on_every_shard(covered, at, &Message::DropPartition(ddl))
    }

    /// Creates what the source has and the target lacks, and learns where it lives.
    pub async fn learn_partitions(&mut self, id: CollectionId) -> Result<()> {
        self.create_partitions(id).await.map(|_| ())
    }

    /// Returns the partitions that the source has now.
    async fn create_partitions(&mut self, id: CollectionId) -> Result<Vec<Partition>> {
        let Some(place) = self.router.place(id).cloned() else {
            return Ok(Vec::new());
        };
        let mut here = self.ports.catalog.partitions(id).await?;
        here.retain(|partition| partition.state == State::Created);
        let Destination::Milvus(link) = self.ports.destination.clone() else {
            self.tell_of_partitions(id, &place, &here).await?;
            return Ok(here);
        };
        let stands_for = self.claim_names(id, &here).await?;
        let (database, collection) = (&place.database, &place.name);
        let mut there = link.target.partitions(database, collection).await?;
        let lacks = |p: &&Partition| {
            !there.contains_key(&p.name) && stands_for.get(&p.name) == Some(&p.id.0)
        };
        let missing: Vec<_> = here.iter().filter(lacks).collect();
        for partition in &missing {
            let ddl = Ddl::CreatePartition {
                database: database.clone(),
                collection: collection.clone(),
                partition: partition.name.clone(),
            };
            self.apply(ddl, partition.created).await?;
        }
        if !missing.is_empty() {
            there = link.target.partitions(database, collection).await?;
        }
        if self.task.ignore_partition {
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
                        "the partition {name} of {database}.{collection} was created on the target \
                         and is not there yet"
                    )));
                }
                // Gone on the source before it could be created: its drop comes on the log.
                None => {}
            }
        }
        Ok(here)
    }

    /// A log has what it was told of, which is what is stored: so it is told first.
    async fn tell_of_partitions(
        &mut self,
        id: CollectionId,
        place: &Place,
        here: &[Partition],
    ) -> Result<()> {
        if self.task.ignore_partition {
            for partition in here {
                self.router.settle_partition(id, partition.id, partition.id);
            }
            return Ok(());
        }
        for partition in here {
            let lacks = |c: &Covered| {
                !c.partitions.contains_key(&partition.name) && !came_with(partition, c)
            };
            if self.roster.get(id).is_some_and(lacks) {
                let ddl = Ddl::CreatePartition {
                    database: place.database.clone(),
                    collection: place.name.clone(),
                    partition: partition.name.clone(),
                };
                self.apply(ddl, partition.created).await?;
                self.claim_names(id, std::slice::from_ref(partition)).await?;
            }
        }
        for partition in self.claim_names(id, here).await?.into_values().map(PartitionId) {
            self.router.settle_partition(id, partition, partition);
        }
        Ok(())
    }

    /// Which partition of the source each one stands for that a Go tool has left: the newest of its name
    /// that was there when it was made, be it dropped since, for then the drop is still on the log.
    pub(crate) async fn claim_taken_over(&mut self, id: CollectionId) -> Result<()> {
        let Some(covered) = self.roster.get(id).cloned() else { return Ok(()) };
        if self.task.ignore_partition {
            return Ok(());
        }
        let here = self.ports.catalog.partitions(id).await?;
        let Destination::Milvus(link) = self.ports.destination.clone() else {
            // It was told of those that are being dropped, unless a namesake took the place of one.
            let names = here.iter().map(|p| &p.name);
            let is_alone =
                |p: &&Partition| names.clone().filter(|name| **name == p.name).count() == 1;
            let dropped = here.iter().filter(|p| p.state != State::Created).filter(is_alone);
            let dropped: Vec<_> = dropped.cloned().collect();
            return self.claim_names(id, &dropped).await.map(|_| ());
        };
        let (database, name) = covered.on_target(self.router.names());
        let Some(collection) = link.target.describe(&database, &name).await? else { return Ok(()) };
        let there = link.target.partitions(&database, &name).await?;
        let (made, began) = (collection.created, covered.created);
        let ours = here.iter().filter(|p| p.created == began).count();
        let theirs = there.values().filter(|p| p.created == made).count();
        if ours != theirs && ours.max(theirs) > 1 {
            tracing::error!(
                database,
                name,
                source = ours,
                target = theirs,
                "the Go tool has made this collection with another number of partitions for its partition \
                 key; filters on that key miss rows on the target: drop it there and replicate it anew"
            );
            self.ports.observer.event(Event::Counted("other_partition_count", 1));
        }
        let mut stand_for = Vec::new();
        for (partition, left) in &there {
            let older = here.iter().filter(|p| p.name == *partition && p.created <= left.created);
            match older.max_by_key(|p| p.created) {
                Some(found) => stand_for.push(found.clone()),
                None if left.created > made => tracing::warn!(
                    database,
                    name,
                    partition,
                    "the source does not have this partition of the target; drop it there"
                ),
                None => {}
            }
        }
        self.claim_names(id, &stand_for).await.map(|_| ())
    }

    /// Stores, before a target Milvus is asked for any, which partition each name stands for. A name that
    /// is taken stays with its partition until that is dropped.
    async fn claim_names(
        &mut self,
        id: CollectionId,
        here: &[Partition],
    ) -> Result<BTreeMap<String, i64>> {
        let Some(covered) = self.roster.get_mut(id).filter(|_| !self.task.ignore_partition) else {
            return Ok(BTreeMap::new());
        };
        let before = covered.partitions.len();
        for partition in here {
            covered.partitions.entry(partition.name.clone()).or_insert(partition.id.0);
        }
        let stands_for = covered.partitions.clone();
        if stands_for.len() > before {
            let mut stored = Transaction::default();
            covered.put(&self.task.id, &mut stored);
            self.save(stored).await?;
        }
        Ok(stands_for)
    }
}

/// The partition that every collection begins with, whatever Milvus's `common.defaultPartitionName` says
/// on this cluster: ids are given in order.
fn first(partitions: &BTreeMap<String, TargetPartition>) -> Option<&TargetPartition> {
    partitions.values().min_by_key(|partition| partition.id)
}

/// Whether a partition was made with its collection, so that nobody has to be asked for it.
fn came_with(partition: &Partition, collection: &Covered) -> bool {
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
