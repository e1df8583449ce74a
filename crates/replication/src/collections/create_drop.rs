//! What a task asks the target for: databases, collections and partitions created and dropped, each
//! as often as it takes with the same outcome.
//! Never touches rows; when to ask is decided in `path` and `cover`.

use crate::collections::cover::Cover;
use crate::destination::Destination;
use crate::error::{Error, Result};
use crate::message::Entry;
use crate::message::Read;
use crate::observer::{Event, Observer};
use crate::ports::{Ddl, Snapshot, TargetCollection, Transaction};
use crate::records::checkpoint::{Covered, Pending, Stage, pending_partition};
use crate::records::keys::{collection_key, serving_key};
use crate::rows::merge::Then;
use milvus_wire::catalog::{Collection, field_texts};
use milvus_wire::ids::CollectionId;
use milvus_wire::message::Message;
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;

impl Cover {
    /// What a drop leaves to be done once its messages are acknowledged; `None` if it concerns
    /// nothing that the target has.
    pub fn pending(&self, then: &Then) -> Option<Pending> {
        let (ddl, partition) = match then {
            Then::Create(..) => return None,
            Then::DropCollection(ddl) => (ddl, None),
            Then::DropPartition(ddl) => (ddl, Some((ddl.partition_id.0, ddl.partition.clone()))),
        };
        self.router.place(ddl.collection_id)?;
        if partition.is_some() && !self.roster.has_partition(ddl) {
            return None;
        }
        Some(Pending { collection: ddl.collection_id, partition, at: ddl.timestamp })
    }

    /// Carries out a drop whose messages are in the target's log: with those the target's nodes
    /// clean up, with the request its coordinator does.
    pub async fn drop(&mut self, pending: &Pending) -> Result<()> {
        let id = pending.collection;
        let Some(covered) = self.roster.get(id) else {
            return Ok(());
        };
        let (database, name) = covered.on_target(self.router.names());
        let mut stored = Transaction::default();
        if let Some((partition, partition_name)) = pending_partition(pending) {
            let partition_name = partition_name.to_owned();
            let (collection, dropped) = (name, partition_name.clone());
            let ddl = Ddl::DropPartition { database, collection, partition: dropped };
            self.apply(ddl, pending.at).await?;
            self.router.forget_partition(id, partition);
            if let Some(covered) = self.roster.get_mut(id) {
                covered.partitions.remove(&partition_name);
                covered.put(&self.task.id, &mut stored);
            }
            self.save(stored).await?;
            // A namesake created since was hidden behind the one just dropped.
            self.learn_partitions(id).await
        } else {
            self.apply(Ddl::DropCollection { database, name }, pending.at).await?;
            self.router.forget(id);
            self.renamed.remove(&id);
            stored.deletes.push(collection_key(&self.task.id, id));
            stored.deletes.push(serving_key(&self.task.id, id));
            if let Some(gone) = self.roster.remove(id) {
                self.leave_channels(&gone);
            }
            self.save(stored).await?;
            // Its name is free.
            self.follow_names().await
        }
    }

    pub(crate) async fn create_databases(&self, snapshot: &Snapshot) -> Result<()> {
        for database in &snapshot.databases {
            if self.roster.selection().covers_database(&database.name) {
                let name = self.router.names().database(&database.name).to_owned();
                self.apply(Ddl::CreateDatabase(name), database.created).await?;
            }
        }
        Ok(())
    }

    /// Creates a collection of the roster on the target, with its partitions.
    pub(crate) async fn create(&mut self, collection: &Collection) -> Result<()> {
        let Some(covered) = self.roster.get(collection.id) else { return Ok(()) };
        // As it was called when it joined: what has changed since is followed next.
        let (database, name) = covered.on_target(self.router.names());
        let destination = &self.ports.destination;
        let there = destination.describe(covered, (&database, &name)).await?;
        let is_its = |there: &TargetCollection| {
            // A Go tool creates it with a later time; what has an earlier one is an older namesake.
            let by_go = covered.by_name && there.created > collection.created;
            by_go || there.created == collection.created
        };
        let awaited = covered.stage == Stage::Awaited;
        if there.as_ref().is_some_and(|there| awaited && !is_its(there)) {
            return Err(Error::permanent(format!(
                "the source created the collection {database}.{name}, and the target has one of \
                 that name that is not from this task; drop or rename it there, then resume"
            )));
        }
        if let Some(there) = &there {
            check_fields(&format!("{database}.{name}"), collection, there)?;
        } else {
            self.is_ours(collection.id).await?;
            self.apply(Ddl::CreateDatabase(database.clone()), collection.created).await?;
            self.take_back_alias((&database, &name), collection.created).await?;
            let collection = Box::new(collection.clone());
            let created = collection.created;
            self.apply(Ddl::CreateCollection { database, name, collection }, created).await?;
        }
        if !self.find_place(collection.id).await? {
            return Err(Error::transient(format!(
                "the collection {} was created on the target and is not there yet",
                collection.name()
            )));
        }
        self.learn_partitions(collection.id).await
    }

    /// Nobody else has sent rows of a collection that the target lacks. Stored before it is created.
    async fn is_ours(&mut self, id: CollectionId) -> Result<()> {
        let mut stored = Transaction::default();
        if let Some(covered) = self.roster.get_mut(id).filter(|covered| covered.by_name) {
            covered.by_name = false;
            covered.put(&self.task.id, &mut stored);
            self.keep(stored).await?;
        }
        Ok(())
    }

    /// Looks a collection of the roster up on the target.
    pub(crate) async fn find_place(&mut self, id: CollectionId) -> Result<bool> {
        let Some(covered) = self.roster.get(id) else {
            return Ok(false);
        };
        let (database, name) = covered.on_target(self.router.names());
        let there = self.ports.destination.describe(covered, (&database, &name)).await?;
        let Some(there) = there else { return Ok(false) };
        self.router.settle(&self.roster, id, there)?;
        if let (Some(place), Destination::Milvus(link)) =
            (self.router.place(id), &self.ports.destination)
        {
            for lane in &place.lanes {
                link.lane(lane);
            }
        }
        Ok(true)
    }

    /// Asks the target for something, if it is for that target.
    pub async fn apply(&self, ddl: Ddl, at: Timestamp) -> Result<()> {
        if !self.ports.destination.takes(&ddl) {
            return Ok(());
        }
        self.ports.destination.apply(&ddl, at).await?;
        let observer: &dyn Observer = &*self.ports.observer;
        let (request, name) = (ddl.name(), ddl.what());
        observer.event(Event::Called(request));
        tracing::info!(task = %self.task.id, request, name, %at, "target changed");
        Ok(())
    }
}

/// Rows of the source must fit a collection that the target has already.
fn check_fields(name: &str, here: &Collection, there: &TargetCollection) -> Result<()> {
    let here = field_texts(&here.schema);
    let only = |a: &[String], b: &[String]| -> String {
        let only: Vec<_> = a.iter().filter(|field| !b.contains(field)).cloned().collect();
        if only.is_empty() { "none".to_owned() } else { only.join("; ") }
    };
    let Some(there) = there.fields.as_ref().filter(|there| **there != here) else {
        return Ok(());
    };
    Err(Error::permanent(format!(
        "the target has a collection {name} with other fields than the source's (only on the source: \
         {}; only on the target: {}); drop it on the target, or map it to another name",
        only(&here, there),
        only(there, &here)
    )))
}

/// A made-up message as it would have been read, once per shard. It stands behind all that was read.
pub(crate) fn on_every_shard(covered: &Covered, at: Timestamp, message: &Message) -> Vec<Read> {
    let read = |channel: &str| {
        let (id, message) = (MessageId::default(), message.clone());
        Read { channel: channel.into(), entry: Entry { seq: u64::MAX, id, order: at, message } }
    };
    covered.pchannels().map(read).collect()
}
