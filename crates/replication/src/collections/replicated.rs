//! Which collections a task replicates, and how it comes to know of those that the catalog or the
//! log announces. Those from before are in `starting`.
//! Never touches rows or channels. What a row depends on is stored before the row is delivered.

use crate::collections::channel_change::{ChannelChange, Stopped};
use crate::collections::create_drop::{Requests, pending_drop};
use crate::collections::late_drop;
use crate::collections::out_of_step::Apart;
use crate::collections::partitions::Partitions;
use crate::collections::place::{find_place, mark_live};
use crate::collections::rename::Names;
use crate::context::Context;
use crate::error::Result;
use crate::late;
use crate::message::{Read, Routed};
use crate::observer::Noted;
use crate::ports::{CatalogEvent, Ddl, Transaction};
use crate::records::checkpoint::{NextName, PendingDrop, ReplicatedCollection, Stage};
use crate::rows::merge::Then;
use crate::rows::read::Channels;
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use crate::selection::Selector;
use crate::unsupported::take_out;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::CollectionId;
use milvus_wire::message::Message;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The collections of a task.
pub(crate) struct Collections {
    pub(super) context: Context,
    /// As they are on the source.
    pub(super) roster: Roster,
    /// Where they are on the target.
    pub(super) router: Router,
    /// What the source calls those that still have another name on the target.
    renamed: BTreeMap<CollectionId, NextName>,
    /// Rows up to here may be on the target already.
    unsure: Timestamp,
    /// Those that are in step again, and how far the others were then.
    returning: Vec<(CollectionId, Timestamp)>,
    /// Those that may have got rows since they were flushed last.
    pub(super) written: BTreeSet<CollectionId>,
}

/// The DDL that ends a step.
pub(crate) enum Ending {
    /// The log announced a collection.
    Creation(CollectionId),
    /// The log dropped something that the target has.
    Drop(PendingDrop),
}

impl Ending {
    /// Whether it is a creation.
    pub(crate) fn is_creation(&self) -> bool {
        matches!(self, Self::Creation(_))
    }

    /// What is stored until the drop is carried out.
    pub(crate) fn pending(&self) -> Option<PendingDrop> {
        match self {
            Self::Creation(_) => None,
            Self::Drop(pending) => Some(pending.clone()),
        }
    }
}

impl Collections {
    /// The stored collections of a task. Asks nobody.
    pub(crate) fn new(context: Context, stored: Vec<ReplicatedCollection>) -> Self {
        let router = Router::new(context.ports.observer.clone(), context.task.names.clone());
        let roster = Roster::new(context.task.selection.clone(), stored);
        let (renamed, unsure, returning) = (BTreeMap::new(), Timestamp::ZERO, Vec::new());
        let live = roster.all().filter(|collection| collection.stage == Stage::Live);
        let written = live.map(|collection| collection.id).collect();
        Self { context, roster, router, renamed, unsure, returning, written }
    }

    /// Rows up to here may be on the target already, because of a window that an earlier run has
    /// left open, or of a fence.
    pub(crate) fn raise_unsure(&mut self, unsure: Timestamp) {
        self.unsure = self.unsure.max(unsure);
    }

    /// As they are on the source.
    pub(crate) fn roster(&self) -> &Roster {
        &self.roster
    }

    pub(super) fn requests(&mut self) -> Requests<'_> {
        let Self { context, roster, router, .. } = self;
        Requests { context, roster, router }
    }

    pub(super) fn partitions(&mut self) -> Partitions<'_> {
        let Self { context, roster, router, .. } = self;
        Partitions { context, roster, router }
    }

    pub(super) fn names(&mut self) -> Names<'_> {
        let Self { context, roster, router, renamed, .. } = self;
        Names { context, roster, router, renamed }
    }

    pub(super) fn apart(&mut self) -> Apart<'_> {
        let Self { context, roster, router, renamed, unsure, .. } = self;
        Apart { context, roster, router, renamed, unsure: *unsure }
    }

    /// Whether a collection is out of step.
    pub(crate) fn are_any_out_of_step(&self) -> bool {
        self.roster.all().any(|collection| !collection.is_in_step())
    }

    /// Looks at each collection that is out of step, and lets it join again if nothing is in the
    /// way. `done`: what else is done. Returns up to where its rows may be on the target already.
    pub(crate) async fn join_again(
        &mut self,
        channels: &Channels,
        done: Timestamp,
        change: &mut ChannelChange,
    ) -> Result<Option<Timestamp>> {
        let is_out = |c: &&ReplicatedCollection| !c.is_in_step();
        let out: Vec<_> = self.roster.all().filter(is_out).map(|c| c.id).collect();
        let unsure = self.apart().join_again(channels, done, change).await?;
        let is_in = |id: &CollectionId| self.roster.get(*id).is_some_and(|c| c.is_in_step());
        self.returning.extend(out.into_iter().filter(is_in).map(|id| (id, done)));
        Ok(unsure)
    }

    /// Tells of the collections that have caught up with the others. `upto`: this is done.
    pub(crate) fn tell_returned(&mut self, upto: Timestamp) {
        let returned = self.returning.extract_if(.., |(_, done)| upto >= *done);
        let returned: Vec<_> = returned.map(|(id, _)| id).collect();
        returned.into_iter().for_each(|id| self.apart().tell_returned(id));
    }

    /// Looks at what the catalog announced. Returns what joins the task and its `channels`. `None`
    /// of them: nothing may join now.
    pub(crate) async fn look(
        &mut self,
        event: CatalogEvent,
        channels: Option<&Channels>,
    ) -> Result<ChannelChange> {
        let mut change = ChannelChange::default();
        match event {
            CatalogEvent::Collection(id) => {
                if let Some(collection) = self.context.ports.catalog.collection(id).await? {
                    if let Some(channels) = channels {
                        self.join(&collection, channels, &mut change).await?;
                    }
                    self.names().note(&collection);
                }
            }
            CatalogEvent::Partition(id) => self.partitions().learn(id).await?,
            // Rows do not depend on it: see `metadata`.
            CatalogEvent::Serving(_) | CatalogEvent::Rbac => {}
            CatalogEvent::Resync => {
                let snapshot = self.context.ports.catalog.snapshot().await?;
                for collection in &snapshot.collections {
                    if let Some(channels) = channels {
                        self.join(collection, channels, &mut change).await?;
                    }
                    self.names().note(collection);
                }
                for id in self.live() {
                    self.partitions().learn(id).await?;
                }
            }
        }
        Ok(change)
    }

    /// Joins what a round announces before the round is taken apart: a channel may have to be read
    /// again for it, and the round with it.
    pub(crate) async fn join_announced(
        &mut self,
        upto: Timestamp,
        channels: &Channels,
    ) -> Result<ChannelChange> {
        let announced = |message: &Message| match message {
            Message::CreateCollection(ddl) => Some(ddl.collection_id),
            _ => None,
        };
        let announced: BTreeSet<_> = channels.held(upto).filter_map(announced).collect();
        let mut change = ChannelChange::default();
        for id in announced {
            if self.roster.get(id).is_none()
                && let Some(collection) = self.context.ports.catalog.collection(id).await?
            {
                self.join(&collection, channels, &mut change).await?;
            }
        }
        Ok(change)
    }

    /// Begins to replicate a collection that was created while the task runs. The target gets it
    /// when its CreateCollection message is met in the log. A collection that is known already has
    /// joined, whatever its name is now.
    async fn join(
        &mut self,
        collection: &Collection,
        channels: &Channels,
        change: &mut ChannelChange,
    ) -> Result<()> {
        let is_known = self.roster.get(collection.id).is_some();
        if is_known || collection.state != State::Created || self.selector(collection).is_none() {
            return Ok(());
        }
        if !self.claim(collection).await? {
            return Ok(());
        }
        let target = self.context.ports.destination.address().to_owned();
        let start = ReplicatedCollection::starts_of(collection);
        let joined = ReplicatedCollection::new(collection, start, Stage::Awaited)?;
        let joined = ReplicatedCollection { target, ..joined };
        change.join(joined, &mut self.roster, channels, &*self.context.ports.source);
        tracing::info!(collection = %collection.name(), id = %collection.id, "collection joined");
        Ok(())
    }

    /// Claims a collection for the task. Returns whether it is the task's now: a rename may have
    /// brought a collection of another task into the selection of this one.
    pub(super) async fn claim(&self, collection: &Collection) -> Result<bool> {
        let task = &self.context.task.id;
        let is_ours = self.context.ports.destination.claim(task, collection.id).await?;
        if !is_ours {
            let name = collection.name();
            tracing::warn!(%task, name, "another task has this collection, under its old name");
            self.context.count(Noted::OfAnotherTask);
        }
        Ok(is_ours)
    }

    /// Takes a round out of the channels, when every partition that its rows name is known, and
    /// what can't be replicated is noted.
    pub(crate) async fn prepare(
        &mut self,
        upto: Timestamp,
        channels: &mut Channels,
    ) -> Result<Vec<Read>> {
        let displaced = self.partitions().meet(channels.held(upto)).await?;
        let mut round = channels.take(upto);
        for unsupported in take_out(&mut round) {
            unsupported.note(&self.context).await?;
        }
        late::note(&round, &self.roster, &self.context).await?;
        let drops = displaced.iter().flat_map(|displaced| displaced.drop(&self.roster, &round));
        let drops: Vec<_> = drops.collect();
        round.extend(drops);
        let untold = late_drop::missing(&round, &self.roster);
        round.extend(untold);
        Ok(round)
    }

    /// Gives each message its place on the target, behind what was routed before and is delivered
    /// with it.
    pub(crate) fn route(
        &mut self,
        before: Vec<Routed>,
        messages: Vec<Read>,
    ) -> Result<Vec<Routed>> {
        let mut batch = self.router.again(before);
        batch.extend(self.router.route(messages, &self.roster)?);
        self.written.extend(batch.iter().filter_map(Routed::row).map(|row| row.collection_id));
        Ok(batch)
    }

    /// What the DDL that ends a step leaves to be carried out; `None`: nothing.
    pub(crate) fn ending(&self, then: Option<Then>) -> Option<Ending> {
        match then? {
            Then::Create(id, _) => Some(Ending::Creation(id)),
            drop => pending_drop(&drop, &self.roster, &self.router).map(Ending::Drop),
        }
    }

    /// Carries out the DDL that ends a step. `done`: the rows are there.
    pub(crate) async fn carry_out(
        &mut self,
        ending: &Ending,
        done: Timestamp,
    ) -> Result<ChannelChange> {
        match ending {
            Ending::Creation(id) => self.create_announced(*id, done).await,
            Ending::Drop(pending) => self.drop(pending).await,
        }
    }

    /// What a drop has made possible, when it is stored: the target takes up a partition that was
    /// created since under the name of the dropped one.
    pub(crate) async fn carried_out(&mut self, ending: &Ending) -> Result<()> {
        match ending {
            Ending::Drop(pending) if pending.partition.is_some() => {
                self.partitions().learn(pending.collection).await
            }
            _ => Ok(()),
        }
    }

    /// Carries out a drop whose messages are in the target's log: those clean up the target's
    /// nodes, the request cleans up its coordinator.
    async fn drop(&mut self, pending: &PendingDrop) -> Result<ChannelChange> {
        let mut change = ChannelChange::default();
        let id = pending.collection;
        if self.roster.get(id).is_none_or(|collection| !collection.is_in_step()) {
            return Ok(change);
        }
        self.requests().drop(pending).await?;
        if pending.partition.is_some() {
            change.change(id);
        } else {
            self.renamed.remove(&id);
            if let Some(gone) = self.roster.remove(id) {
                change.leave(&gone, &self.roster);
            }
        }
        Ok(change)
    }

    /// Creates a collection that the log announced. A tick covers the announcement, so the catalog
    /// knows whether the collection was created (invariant I6). `done`: the rows are there.
    async fn create_announced(
        &mut self,
        id: CollectionId,
        done: Timestamp,
    ) -> Result<ChannelChange> {
        let mut change = ChannelChange::default();
        if self.roster.get(id).is_some_and(|c| c.is_live() || !c.is_in_step()) {
            return Ok(change);
        }
        let collection = self.context.ports.catalog.collection(id).await?;
        let Some(collection) = collection.filter(|c| c.state == State::Created) else {
            self.never_came_to_be(id, &mut change).await?;
            return Ok(change);
        };
        if self.roster.get(id).is_none() {
            return Ok(change);
        }
        let created = async {
            self.names().make_room(&collection, done).await?;
            self.requests().create(&collection).await
        };
        if let Err(error) = created.await {
            self.apart().leave_out(id, error, done, &mut change)?;
            return Ok(change);
        }
        self.mark_live(id);
        change.change(id);
        self.names().note(&collection);
        Ok(change)
    }

    /// Lets the target follow renames, as far as names are free. Where the target has something
    /// else under a name, the collection is out of step from now on.
    pub(crate) async fn follow_names(&mut self, stopped: &Stopped<'_>) -> Result<ChannelChange> {
        let mut change = ChannelChange::default();
        while let Some((id, error)) = self.names().follow(stopped.done).await? {
            self.apart().stop_one(id, error, stopped, &mut change)?;
        }
        Ok(change)
    }

    pub(super) fn mark_live(&mut self, id: CollectionId) {
        mark_live(&self.context, &mut self.roster, &self.router, id);
    }

    pub(super) async fn store(&self, id: CollectionId) -> Result<()> {
        let mut stored = Transaction::default();
        if let Some(collection) = self.roster.get(id) {
            collection.put(&self.context.task.id, &mut stored);
        }
        self.context.records().commit(stored).await
    }

    /// The catalog does not know a collection any more. An earlier run may have created it on the
    /// target and ended before it could store that; then the log brings the drop.
    pub(super) async fn never_came_to_be(
        &mut self,
        id: CollectionId,
        change: &mut ChannelChange,
    ) -> Result<()> {
        let Some(collection) = self.roster.get(id).cloned() else { return Ok(()) };
        let name = collection.on_target(self.router.names());
        let destination = self.context.ports.destination.clone();
        let there = destination.describe(&collection, &name).await?;
        if there.is_some_and(|there| there.created == collection.created) {
            find_place(&self.context, &self.roster, &mut self.router, id).await?;
            self.partitions().learn(id).await?;
            self.mark_live(id);
            return self.store(id).await;
        }
        let gone = &collection.name;
        tracing::info!(collection = %gone, %id, "collection was gone before it was created");
        // The destination never heard of this collection if another one has the name.
        let is_free = self.names().holder_of(id, &name).is_none();
        // Without its database, which was dropped since, it has no name.
        if destination.forgets() && is_free && !collection.database.is_empty() {
            self.context.ask(&Ddl::DropCollection(name), collection.created).await?;
        }
        self.roster.remove(id);
        change.leave(&collection, &self.roster);
        Ok(())
    }

    /// The records that a change stores together with the positions.
    pub(crate) fn records_of(&self, change: &ChannelChange) -> Transaction {
        change.records(&self.roster, &self.context.task.id)
    }

    pub(super) fn live(&self) -> Vec<CollectionId> {
        self.in_stage(Stage::Live)
    }

    pub(super) fn in_stage(&self, stage: Stage) -> Vec<CollectionId> {
        let is_in = |c: &&ReplicatedCollection| c.stage == stage && c.is_in_step();
        self.roster.all().filter(is_in).map(|c| c.id).collect()
    }

    pub(super) fn selector(&self, collection: &Collection) -> Option<Selector> {
        self.roster.selection().find(&collection.database, collection.name()).cloned()
    }
}
