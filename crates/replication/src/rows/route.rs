//! Step 4 of the way of a row: the target's names, ids and shard for each message.
//! Never changes a message and never decides about timestamps.

use crate::error::{Error, Result};
use crate::message::Read;
use crate::message::{Place, Routed};
use crate::observer::{Event, Noted, Observer};
use crate::ports::TargetCollection;
use crate::rows::roster::Roster;
use crate::selection::Names;
use milvus_wire::ids::{CollectionId, CollectionName, PartitionId, split_vchannel};
use milvus_wire::message::{DdlMessage, Message, RowMessage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A place, the shard there, and the partition if one is named.
type Spot = (Arc<Place>, usize, Option<PartitionId>);

/// Knows where everything of a task lives on the target.
pub(crate) struct Router {
    observer: Arc<dyn Observer>,
    names: Names,
    places: BTreeMap<CollectionId, Arc<Place>>,
    /// Partition ids on the source and on the target.
    partitions: BTreeMap<CollectionId, BTreeMap<PartitionId, PartitionId>>,
}

impl Router {
    /// A router that knows no collection yet.
    pub(crate) fn new(observer: Arc<dyn Observer>, names: Names) -> Self {
        Self { observer, names, places: BTreeMap::new(), partitions: BTreeMap::new() }
    }

    /// What the target calls a collection.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The place of a collection that the target has.
    pub(crate) fn place(&self, id: CollectionId) -> Option<&Arc<Place>> {
        self.places.get(&id)
    }

    /// Remembers where a collection of the roster lives.
    pub(crate) fn settle(
        &mut self,
        roster: &Roster,
        id: CollectionId,
        there: TargetCollection,
    ) -> Result<()> {
        let Some(collection) = roster.get(id) else {
            return Ok(());
        };
        let name = collection.on_target(&self.names);
        if there.vchannels.len() != collection.vchannels.len() {
            return Err(Error::of_one_collection(format!(
                "the collection {name} has {} shards on the target and {} on the source; \
                 drop it on the target, or map it to another name",
                there.vchannels.len(),
                collection.vchannels.len()
            )));
        }
        let mut lanes = Vec::new();
        for (shard, vchannel) in there.vchannels.iter().enumerate() {
            match split_vchannel(vchannel) {
                Some((lane, _, index)) if index == shard => lanes.push(lane.into()),
                _ => {
                    return Err(Error::permanent(format!(
                        "the target names the shard {shard} of {name} {vchannel}, whose \
                         suffix is not v{shard} (invariant I4); report this"
                    )));
                }
            }
        }
        let (mut vchannels, mut order) = (there.vchannels, (0..lanes.len()).collect::<Vec<_>>());
        if collection.by_name {
            order = paired_by_name(&collection.vchannels, &vchannels);
        }
        if !order.is_sorted() {
            tracing::warn!(
                collection = %name,
                ?order,
                "the Go tool has crossed the shards of this collection on the target, and they \
                 stay so; before the target is promoted, drop the collection there and replicate \
                 it anew"
            );
            self.observer.event(Event::Counted(Noted::CrossedShards, 1));
            lanes = order.iter().map(|at| Arc::clone(&lanes[*at])).collect();
            vchannels = order.iter().map(|at| vchannels[*at].clone()).collect();
        }
        let place = Place {
            name,
            id: there.id,
            vchannels,
            lanes,
            primary_key: collection.primary_key,
            key_name: collection.key_name.clone(),
        };
        self.places.insert(id, Arc::new(place));
        self.partitions.remove(&id);
        Ok(())
    }

    /// The target has a new name for a collection.
    pub(crate) fn rename(&mut self, id: CollectionId, name: CollectionName) {
        if let Some(place) = self.places.get_mut(&id) {
            *place = Arc::new(Place { name, ..Place::clone(place) });
        }
    }

    /// Messages that were routed before, with the names that the target has now.
    pub(crate) fn again(&self, mut routed: Vec<Routed>) -> Vec<Routed> {
        if routed.is_empty() {
            return routed;
        }
        let places: BTreeMap<_, _> = self.places.values().map(|place| (place.id, place)).collect();
        for message in &mut routed {
            if let Some(place) = places.get(&message.place.id) {
                message.place = (*place).clone();
            }
        }
        routed
    }

    /// Forgets a collection that has ended.
    pub(crate) fn forget(&mut self, id: CollectionId) {
        self.places.remove(&id);
        self.partitions.remove(&id);
    }

    /// Whether it is known where a partition of the source lives.
    pub(crate) fn knows_partition(&self, id: CollectionId, partition: PartitionId) -> bool {
        self.partition(id, partition).is_some()
    }

    /// Remembers where a partition lives.
    pub(crate) fn settle_partition(
        &mut self,
        id: CollectionId,
        partition: PartitionId,
        there: PartitionId,
    ) {
        self.partitions.entry(id).or_default().insert(partition, there);
    }

    /// Forgets a partition that has ended.
    pub(crate) fn forget_partition(&mut self, id: CollectionId, partition: PartitionId) {
        if let Some(known) = self.partitions.get_mut(&id) {
            known.remove(&partition);
        }
    }

    /// Where a partition of the source lives.
    pub(crate) fn partition(
        &self,
        id: CollectionId,
        partition: PartitionId,
    ) -> Option<PartitionId> {
        self.partitions.get(&id)?.get(&partition).copied()
    }

    /// Gives each message its place. A message of a collection that never came to be, or of a
    /// partition that is gone already, is left out and counted.
    pub(crate) fn route(&self, messages: Vec<Read>, roster: &Roster) -> Result<Vec<Routed>> {
        let mut routed = Vec::with_capacity(messages.len());
        for read in messages {
            let at = match &read.entry.message {
                Message::Row(row) => self.row(row, roster)?,
                Message::DropCollection(ddl) => self.drop(ddl, None, &read.channel, roster),
                Message::DropPartition(ddl) => self
                    .partition(ddl.collection_id, ddl.partition_id)
                    .filter(|_| roster.has_partition(ddl))
                    .and_then(|there| self.drop(ddl, Some(there), &read.channel, roster)),
                _ => None,
            };
            match at {
                Some((place, shard, partition)) => {
                    routed.push(Routed { read, place, shard, partition });
                }
                None => self.observer.event(Event::Counted(Noted::Skipped, 1)),
            }
        }
        Ok(routed)
    }

    fn row(&self, row: &RowMessage, roster: &Roster) -> Result<Option<Spot>> {
        let Some(collection) = roster.get(row.collection_id) else {
            return Ok(None);
        };
        let Some(place) = self.places.get(&row.collection_id).cloned() else {
            return Ok(None);
        };
        let Some(shard) = collection.vchannels.iter().position(|v| *v == row.vchannel) else {
            return Err(Error::permanent(format!(
                "a row names the channel {}, which the collection {} does not have (invariant I4); \
                 report this",
                row.vchannel, row.collection
            )));
        };
        if !row.is_of_one_partition() {
            return Ok(Some((place, shard, None)));
        }
        let partition = self.partition(row.collection_id, row.partition_id);
        Ok(partition.map(|partition| (place, shard, Some(partition))))
    }

    fn drop(
        &self,
        ddl: &DdlMessage,
        partition: Option<PartitionId>,
        channel: &str,
        roster: &Roster,
    ) -> Option<Spot> {
        let place = self.places.get(&ddl.collection_id)?.clone();
        let collection = roster.get(ddl.collection_id)?;
        let shard = collection.pchannels().position(|p| p == channel)?;
        Some((place, shard, partition))
    }
}

/// For each source shard, the index of the target shard that the Go tool wrote it to. The Go tool
/// pairs shards in the order of their channel names as texts, in which `dml_10` comes before
/// `dml_9`. Source: `ForeachChannel` in its `replicate_channel_manager.go`.
fn paired_by_name(here: &[String], there: &[String]) -> Vec<usize> {
    let sorted = |names: &[String]| {
        let mut order: Vec<_> = (0..names.len()).collect();
        order.sort_by_key(|at| &names[*at]);
        order
    };
    let mut paired: Vec<_> = sorted(here).into_iter().zip(sorted(there)).collect();
    paired.sort_unstable();
    paired.into_iter().map(|(_, there)| there).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_tool_pairs_shards_in_the_order_of_their_names() {
        let named = |channels: &[u8]| -> Vec<String> {
            let name = |(shard, channel)| format!("by-dev-rootcoord-dml_{channel}_7v{shard}");
            channels.iter().enumerate().map(name).collect()
        };
        assert_eq!(paired_by_name(&named(&[1, 2, 3]), &named(&[4, 5, 6])), [0, 1, 2]);
        // Seen with the real tool.
        assert_eq!(paired_by_name(&named(&[7, 12]), &named(&[13, 14])), [1, 0]);
        assert_eq!(paired_by_name(&named(&[9, 10]), &named(&[9, 10])), [0, 1]);
        assert_eq!(paired_by_name(&named(&[9, 10, 11]), &named(&[1, 2, 3])), [2, 0, 1]);
    }
}
