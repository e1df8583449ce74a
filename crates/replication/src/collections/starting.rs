//! How a task comes to its collections when it starts: those that exist when it begins, and those
//! that an earlier run has left. Never touches rows or channels; what joins later is in
//! `replicated`.

use crate::collections::channel_change::{ChannelChange, Stopped};
use crate::collections::given_positions;
use crate::collections::place::find_place;
use crate::collections::replicated::Collections;
use crate::error::{Error, Result};
use crate::records::checkpoint::{Checkpoint, PendingDrop, ReplicatedCollection, Stage, Start};
use crate::selection::Selector;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, split_vchannel};
use milvus_wire::position::MessageId;
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Collections {
    /// Begins a task: everything that exists is replicated from now on, or from where its selector
    /// says. The result has to be stored before [`Collections::create_existing`] touches the
    /// target: what is created there must be known as the task's.
    pub(crate) async fn begin(&mut self) -> Result<ChannelChange> {
        let (source, catalog) = (&self.context.ports.source, &self.context.ports.catalog);
        // Two listings with the ends of the channels between them: what only the second one has
        // was created behind the ends, where the log announces it.
        let before = catalog.snapshot().await?;
        let mut ends = BTreeMap::new();
        for channel in before.collections.iter().flat_map(|c| &c.pchannels) {
            if !ends.contains_key(channel) {
                ends.insert(channel.clone(), source.end(channel).await?);
            }
        }
        let after = catalog.snapshot().await?;
        if let Some(what) = given_positions::misfit(self.roster.selection(), &after.collections) {
            return Err(Error::permanent(format!("{what}; {}", given_positions::REMEDY)));
        }
        self.requests().create_databases(&after).await?;
        let is_created = |c: &&Collection| c.state == State::Created;
        let existed: BTreeSet<_> =
            before.collections.iter().filter(is_created).map(|c| c.id).collect();
        for collection in after.collections.iter().filter(is_created) {
            let Some(selector) = self.selector(collection) else { continue };
            let (start, stage) = if existed.contains(&collection.id) {
                (first_of(collection, &selector, &ends), Stage::Existing)
            } else {
                (ReplicatedCollection::starts_of(collection), Stage::Awaited)
            };
            if self.claim(collection).await? {
                let target = self.context.ports.destination.address().to_owned();
                let new = ReplicatedCollection::new(collection, start, stage)?;
                self.roster.add(ReplicatedCollection { target, ..new });
            }
        }
        Ok(ChannelChange::begin(&self.roster, &*self.context.ports.source))
    }

    /// Takes up what a stored task was doing. Returns which collections go out of step.
    pub(crate) async fn resume(&mut self, checkpoint: &Checkpoint) -> Result<ChannelChange> {
        if checkpoint.taken_over {
            // What created them may lie before the place where the op channel goes on.
            let snapshot = self.context.ports.catalog.snapshot().await?;
            self.requests().create_databases(&snapshot).await?;
        }
        self.apart().tell_all();
        let mut change = ChannelChange::default();
        let ticks = checkpoint.channels.values().map(|position| position.tick);
        let done = ticks.max().unwrap_or(Timestamp::ZERO).max(checkpoint.done);
        let stopped = Stopped { channels: &checkpoint.channels, done };
        for id in self.live() {
            let is_drop = |p: &PendingDrop| p.collection == id && p.partition.is_none();
            let ended = checkpoint.pending.as_ref().is_some_and(is_drop);
            if let Err(error) = self.take_up(id, ended).await {
                self.apart().stop_one(id, error, &stopped, &mut change)?;
            }
        }
        if checkpoint.taken_over {
            for id in self.in_stage(Stage::Existing) {
                self.partitions().claim_taken_over(id).await?;
            }
        }
        Ok(change)
    }

    /// Takes up a collection that the target has. `ended`: all that is left is to drop it.
    async fn take_up(&mut self, id: CollectionId, ended: bool) -> Result<()> {
        self.names().finish(id).await?;
        if !ended {
            self.apart().refuse_another(id).await?;
        }
        let is_there = find_place(&self.context, &self.roster, &mut self.router, id).await?;
        self.learn_id(id).await?;
        if is_there || ended || self.names().follow_the_target(id).await? {
            return Ok(());
        }
        let name = self.roster.get(id).map_or("", |c| &c.name);
        Err(Error::of_one_collection(format!(
            "the collection {name} was on the target and is gone there; it is replicated anew from \
             its first message if the queue still has that"
        )))
    }

    /// Notes which collection of the target it is, in a record that does not have that.
    async fn learn_id(&mut self, id: CollectionId) -> Result<()> {
        let there = self.router.place(id).map(|place| place.id.0);
        match self.roster.get_mut(id) {
            Some(collection) if collection.there.is_none() && there.is_some() => {
                collection.there = there;
                self.store(id).await
            }
            _ => Ok(()),
        }
    }

    /// Creates on the target what existed when the task began. `done`: the rows are there.
    pub(crate) async fn create_existing(&mut self, done: Timestamp) -> Result<ChannelChange> {
        let mut change = ChannelChange::default();
        for id in self.in_stage(Stage::Existing) {
            match self.context.ports.catalog.collection(id).await? {
                Some(collection) if collection.state == State::Created => {
                    if let Err(error) = self.requests().create(&collection).await {
                        self.apart().leave_out(id, error, done, &mut change)?;
                        continue;
                    }
                    self.mark_live(id);
                    self.store(id).await?;
                    self.names().note(&collection);
                }
                _ => self.never_came_to_be(id, &mut change).await?,
            }
        }
        Ok(change)
    }
}

/// Where a collection begins that existed before its task.
fn first_of(
    collection: &Collection,
    selector: &Selector,
    ends: &BTreeMap<String, MessageId>,
) -> BTreeMap<String, Start> {
    let mut starts = ReplicatedCollection::starts_of(collection);
    if !selector.use_start_position {
        for (channel, start) in &mut starts {
            if let Some(end) = ends.get(channel) {
                start.id = end.clone();
            }
        }
    }
    for (vchannel, id) in &selector.positions {
        if let Some((channel, of, _)) = split_vchannel(vchannel)
            && of == collection.id
            && let Some(start) = starts.get_mut(channel)
        {
            start.id = id.clone();
        }
    }
    starts
}
