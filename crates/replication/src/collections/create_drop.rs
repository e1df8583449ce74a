//! Asks the target to create and drop databases, collections and partitions. Every request may be
//! made again with the same outcome. Never touches rows. When to ask is decided in `path` and
//! `replicated`.

use crate::collections::partitions::Partitions;
use crate::collections::place::{find_place, refuse_own};
use crate::collections::rename::take_back_alias;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::observer::Noted;
use crate::ports::{Ddl, Snapshot, TargetCollection, Transaction};
use crate::records::checkpoint::{PendingDrop, Stage, pending_partition};
use crate::rows::merge::Then;
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use milvus_wire::catalog::{Collection, field_texts};
use milvus_wire::ids::{CollectionId, CollectionName};

/// What creating and dropping changes.
pub(super) struct Requests<'a> {
    pub(super) context: &'a Context,
    pub(super) roster: &'a mut Roster,
    pub(super) router: &'a mut Router,
}

impl Requests<'_> {
    /// Creates the databases of which the task selects anything.
    pub(super) async fn create_databases(&self, snapshot: &Snapshot) -> Result<()> {
        for database in &snapshot.databases {
            if self.roster.selection().covers_database(&database.name) {
                let name = self.router.names().database(&database.name).to_owned();
                self.context.ask(&Ddl::CreateDatabase(name), database.created).await?;
            }
        }
        Ok(())
    }

    /// Creates a collection of the roster on the target, with its partitions.
    pub(super) async fn create(&mut self, collection: &Collection) -> Result<()> {
        let Some(known) = self.roster.get(collection.id) else { return Ok(()) };
        let name = known.on_target(self.router.names());
        if !self.is_there(collection).await? {
            self.create_absent(name, collection).await?;
        }
        if !find_place(self.context, self.roster, self.router, collection.id).await? {
            return Err(Error::transient(format!(
                "the collection {} was created on the target and is not there yet",
                collection.name()
            )));
        }
        let Self { context, roster, router } = self;
        Partitions { context, roster, router }.learn(collection.id).await
    }

    /// Whether the target has a collection of the roster. Fails if something else has its name
    /// there.
    pub(super) async fn is_there(&self, collection: &Collection) -> Result<bool> {
        let Some(known) = self.roster.get(collection.id) else { return Ok(false) };
        // Under the name that it joined with: a later name is followed next.
        let name = known.on_target(self.router.names());
        let there = self.context.ports.destination.describe(known, &name).await?;
        let is_its = |there: &TargetCollection| {
            // A Go tool creates it with a later time; an earlier time is that of an older namesake.
            let by_go = known.by_name && there.created > collection.created;
            by_go || there.created == collection.created
        };
        let is_awaited = known.stage == Stage::Awaited;
        if let Some(other) = there.as_ref().filter(|there| is_awaited && !is_its(there)) {
            refuse_own(self.roster, &name, other.id)?;
            return Err(Error::of_one_collection(format!(
                "the source created the collection {name}, and the target has one of that name \
                 that is not from this task; drop or rename it there"
            )));
        }
        there.as_ref().map_or(Ok(()), |there| check_fields(&name, collection, there))?;
        Ok(there.is_some())
    }

    async fn create_absent(&mut self, name: CollectionName, collection: &Collection) -> Result<()> {
        let at = collection.created;
        self.forget_the_go_tool(collection.id).await?;
        self.context.ask(&Ddl::CreateDatabase(name.database.clone()), at).await?;
        take_back_alias(self.context, &name, at).await?;
        let collection = Box::new(collection.clone());
        self.context.ask(&Ddl::CreateCollection { name, collection }, at).await
    }

    /// Nobody else has sent rows of a collection that the target lacks. Stored before the
    /// collection is created.
    async fn forget_the_go_tool(&mut self, id: CollectionId) -> Result<()> {
        let mut stored = Transaction::default();
        if let Some(collection) = self.roster.get_mut(id).filter(|collection| collection.by_name) {
            collection.by_name = false;
            collection.put(&self.context.task.id, &mut stored);
            self.context.records().commit(stored).await?;
        }
        Ok(())
    }

    /// Drops a collection or a partition of the roster. What somebody has put in its place on the
    /// target stays.
    pub(super) async fn drop(&mut self, pending: &PendingDrop) -> Result<()> {
        let id = pending.collection;
        let Some(collection) = self.roster.get(id) else { return Ok(()) };
        let name = collection.on_target(self.router.names());
        let destination = &self.context.ports.destination;
        let there = destination.describe(collection, &name).await?;
        let is_anothers = there.is_some_and(|there| !collection.may_be(there.id));
        let Some((partition, partition_name)) = pending_partition(pending) else {
            if !self.leaves(is_anothers, &name, None) {
                self.context.ask(&Ddl::DropCollection(name), pending.at).await?;
            }
            self.router.forget(id);
            return Ok(());
        };
        let is_anothers = is_anothers || {
            let there = destination.partitions(&name).await?.unwrap_or_default();
            let known = self.router.partition(id, partition);
            there.get(partition_name).is_some_and(|there| known.is_some_and(|id| id != there.id))
        };
        if !self.leaves(is_anothers, &name, Some(partition_name)) {
            let dropped = partition_name.to_owned();
            let request = Ddl::DropPartition { collection: name, partition: dropped };
            self.context.ask(&request, pending.at).await?;
        }
        self.router.forget_partition(id, partition);
        if let Some(collection) = self.roster.get_mut(id) {
            collection.partitions.remove(partition_name);
        }
        Ok(())
    }

    fn leaves(&self, is_anothers: bool, name: &CollectionName, partition: Option<&str>) -> bool {
        if is_anothers {
            tracing::warn!(collection = %name, partition, "the source has dropped it, and the \
                target has another one of its name, which stays");
            self.context.count(Noted::NamesakeLeft);
        }
        is_anothers
    }
}

/// What a DDL of the log leaves to be asked for when its messages are acknowledged. `None`: it
/// concerns nothing that the target has.
pub(super) fn pending_drop(then: &Then, roster: &Roster, router: &Router) -> Option<PendingDrop> {
    let (ddl, partition) = match then {
        Then::Create(..) => return None,
        Then::DropCollection(ddl) => (ddl, None),
        Then::DropPartition(ddl) => (ddl, Some((ddl.partition_id.0, ddl.partition.clone()))),
    };
    router.place(ddl.collection_id)?;
    if partition.is_some() && !roster.has_partition(ddl) {
        return None;
    }
    Some(PendingDrop { collection: ddl.collection_id, partition, at: ddl.timestamp })
}

/// Rows of the source must fit a collection that the target has already.
fn check_fields(name: &CollectionName, here: &Collection, there: &TargetCollection) -> Result<()> {
    let here = field_texts(&here.schema);
    let only = |a: &[String], b: &[String]| -> String {
        let only: Vec<_> = a.iter().filter(|field| !b.contains(field)).cloned().collect();
        if only.is_empty() { "none".to_owned() } else { only.join("; ") }
    };
    let Some(there) = there.fields.as_ref().filter(|there| **there != here) else {
        return Ok(());
    };
    Err(Error::of_one_collection(format!(
        "the target has a collection {name} with other fields than the source's (only on the \
         source: {}; only on the target: {}); drop it on the target, or map it to another name",
        only(&here, there),
        only(there, &here)
    )))
}
