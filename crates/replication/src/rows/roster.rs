//! The collections that a task replicates, by their id on the source.
//! Never asks the catalog or the target.

use crate::ports::Source;
use crate::records::checkpoint::ReplicatedCollection;
use crate::selection::{Selection, named};
use milvus_wire::ids::CollectionId;
use milvus_wire::message::{DdlMessage, Message};
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The collections of a task.
pub(crate) struct Roster {
    selection: Selection,
    collections: BTreeMap<CollectionId, ReplicatedCollection>,
}

impl Roster {
    /// What was stored of a task.
    pub(crate) fn new(selection: Selection, collections: Vec<ReplicatedCollection>) -> Self {
        let collections = collections.into_iter().map(|c| (c.id, c)).collect();
        Self { selection, collections }
    }

    /// The selection of the task.
    pub(crate) fn selection(&self) -> &Selection {
        &self.selection
    }

    /// A collection of the task.
    pub(crate) fn get(&self, id: CollectionId) -> Option<&ReplicatedCollection> {
        self.collections.get(&id)
    }

    /// A collection of the task, to change it.
    pub(crate) fn get_mut(&mut self, id: CollectionId) -> Option<&mut ReplicatedCollection> {
        self.collections.get_mut(&id)
    }

    /// Adds a collection.
    pub(crate) fn add(&mut self, collection: ReplicatedCollection) {
        self.collections.insert(collection.id, collection);
    }

    /// Removes a collection that has ended.
    pub(crate) fn remove(&mut self, id: CollectionId) -> Option<ReplicatedCollection> {
        self.collections.remove(&id)
    }

    /// All collections.
    pub(crate) fn all(&self) -> impl Iterator<Item = &ReplicatedCollection> {
        self.collections.values()
    }

    /// All collections, to change them.
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut ReplicatedCollection> {
        self.collections.values_mut()
    }

    /// All collections on a channel that go with the task, to change them.
    pub(crate) fn on_mut<'a>(
        &'a mut self,
        channel: &'a str,
    ) -> impl Iterator<Item = &'a mut ReplicatedCollection> {
        let on_it = move |c: &&mut ReplicatedCollection| c.start.contains_key(channel);
        self.collections.values_mut().filter(on_it).filter(|c| c.is_in_step())
    }

    /// Whether a collection that goes with the task lives on a channel.
    pub(crate) fn needs(&self, channel: &str) -> bool {
        self.collections.values().any(|c| c.is_in_step() && c.start.contains_key(channel))
    }

    /// Whether the target has the partition that a drop concerns, and not a namesake.
    pub(crate) fn has_partition(&self, drop: &DdlMessage) -> bool {
        let collection = self.collections.get(&drop.collection_id);
        collection.is_some_and(|c| c.partitions.get(&drop.partition) == Some(&drop.partition_id.0))
    }

    /// Whether a message may concern the task. Of a collection that is not known yet the name
    /// decides: its CreateCollection message may stand before it in the same round.
    pub(crate) fn admits(
        &self,
        message: &Message,
        channel: &str,
        id: &MessageId,
        order: Timestamp,
        source: &dyn Source,
    ) -> bool {
        let (collection, database, name) = match message {
            Message::Row(row) => (row.collection_id, &row.database, &row.collection),
            Message::CreateCollection(ddl)
            | Message::DropCollection(ddl)
            | Message::CreatePartition(ddl)
            | Message::DropPartition(ddl) => (ddl.collection_id, &ddl.database, &ddl.collection),
            Message::Import { collection_id, .. } => {
                return self.get(*collection_id).is_some_and(ReplicatedCollection::is_in_step);
            }
            // It may concern anything.
            Message::Other(..) => return true,
            Message::Tick(_) => return false,
        };
        match self.collections.get(&collection) {
            None => self.selection.find(named(database), name).is_some(),
            Some(known) if !known.is_in_step() => false,
            Some(known) => known.start.get(channel).is_some_and(|start| {
                order > start.after && source.compare(id, &start.id) != Ordering::Less
            }),
        }
    }
}
