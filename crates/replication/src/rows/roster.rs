//! The collections that a task replicates, by their id on the source.
//! Never asks the catalog or the target.

use crate::ports::Source;
use crate::records::checkpoint::Covered;
use crate::selection::{Selection, named};
use milvus_wire::ids::CollectionId;
use milvus_wire::message::{DdlMessage, Message};
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The collections of a task.
pub struct Roster {
    selection: Selection,
    collections: BTreeMap<CollectionId, Covered>,
}

impl Roster {
    /// What was stored of a task.
    pub fn new(selection: Selection, collections: Vec<Covered>) -> Self {
        let collections = collections.into_iter().map(|c| (c.id, c)).collect();
        Self { selection, collections }
    }

    /// The selection of the task.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// A collection of the task.
    pub fn get(&self, id: CollectionId) -> Option<&Covered> {
        self.collections.get(&id)
    }

    /// A collection of the task, to change it.
    pub fn get_mut(&mut self, id: CollectionId) -> Option<&mut Covered> {
        self.collections.get_mut(&id)
    }

    /// Adds a collection.
    pub fn add(&mut self, covered: Covered) {
        self.collections.insert(covered.id, covered);
    }

    /// Removes a collection that has ended.
    pub fn remove(&mut self, id: CollectionId) -> Option<Covered> {
        self.collections.remove(&id)
    }

    /// All collections.
    pub fn all(&self) -> impl Iterator<Item = &Covered> {
        self.collections.values()
    }

    /// All collections on a channel, to change them.
    pub fn on_mut<'a>(&'a mut self, channel: &'a str) -> impl Iterator<Item = &'a mut Covered> {
        self.collections.values_mut().filter(move |c| c.from.contains_key(channel))
    }

    /// Whether a collection of the task lives on a channel.
    pub fn needs(&self, channel: &str) -> bool {
        self.collections.values().any(|c| c.from.contains_key(channel))
    }

    /// Whether the target has the partition that a drop concerns, and not a namesake.
    pub fn has_partition(&self, drop: &DdlMessage) -> bool {
        let covered = self.collections.get(&drop.collection_id);
        covered.is_some_and(|c| c.partitions.get(&drop.partition) == Some(&drop.partition_id.0))
    }

    /// Whether a message may concern the task. Of a collection that is not known yet the name
    /// decides: its CreateCollection message may stand before it in the same round.
    pub fn admits(
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
                return self.collections.contains_key(collection_id);
            }
            // It may concern anything.
            Message::Other(..) => return true,
            Message::Tick(_) => return false,
        };
        match self.collections.get(&collection) {
            None => self.selection.find(named(database), name).is_some(),
            Some(covered) => covered.from.get(channel).is_some_and(|from| {
                order > from.after && source.compare(id, &from.id) != Ordering::Less
            }),
        }
    }
}
