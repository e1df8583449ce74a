//! Collections that can't be replicated for now, while their task goes on: the target has something
//! else under the name, or lacks the collection, or refuses to create it. Such a collection is out
//! of step. Its rows are passed over, and its record says why, and where it starts again. It is
//! looked at every few seconds: when nothing is in the way any more it joins like a new one, and
//! its channels go back to where it stopped. Never drops or changes anything on the target that is
//! in the way.

use crate::collections::channel_change::{ChannelChange, Stopped};
use crate::collections::create_drop::Requests;
use crate::collections::partitions::Partitions;
use crate::collections::place::{find_place, mark_live};
use crate::collections::rename::Names;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::observer::{Event, Noted};
use crate::ports::{Ddl, TargetCollection, Transaction};
use crate::records::checkpoint::{Naming, NextName, OutOfStep, ReplicatedCollection, Stage, Start};
use crate::records::keys::serving_key;
use crate::rows::read::Channels;
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// What is told until a collection has caught up with the others.
const RETURNS: &str = "nothing is in its way any more: it is read from where it stopped";

/// How long the queue has for the first message from which a collection is to be read again. There
/// is one at once, unless nothing was written since.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// The collections of a task that are, or go, out of step.
pub(super) struct Apart<'a> {
    pub(super) context: &'a Context,
    pub(super) roster: &'a mut Roster,
    pub(super) router: &'a mut Router,
    /// What the source calls those that still have another name on the target.
    pub(super) renamed: &'a mut BTreeMap<CollectionId, NextName>,
    /// Rows up to here may be on the target already.
    pub(super) unsure: Timestamp,
}

impl Apart<'_> {
    fn requests(&mut self) -> Requests<'_> {
        let Self { context, roster, router, .. } = self;
        Requests { context, roster, router }
    }

    fn partitions(&mut self) -> Partitions<'_> {
        let Self { context, roster, router, .. } = self;
        Partitions { context, roster, router }
    }

    fn names(&mut self) -> Names<'_> {
        let Self { context, roster, router, renamed, .. } = self;
        Names { context, roster, router, renamed }
    }

    /// Tells the observer what an earlier run has left out of step.
    pub(super) fn tell_all(&self) {
        self.roster.all().for_each(|collection| self.tell(collection));
    }

    /// Puts a collection that the target has had out of step: it starts again where it stopped.
    pub(super) fn stop_one(
        &mut self,
        id: CollectionId,
        error: Error,
        stopped: &Stopped<'_>,
        change: &mut ChannelChange,
    ) -> Result<()> {
        if let Some(collection) = self.roster.get_mut(id) {
            let source = &*self.context.ports.source;
            collection.start = collection.reached(stopped.channels, source);
        }
        self.leave_out(id, error, stopped.done, change)
    }

    /// Puts a collection out of step if the error concerns it alone.
    pub(super) fn leave_out(
        &mut self,
        id: CollectionId,
        error: Error,
        done: Timestamp,
        change: &mut ChannelChange,
    ) -> Result<()> {
        if error.kind != Kind::OneCollection {
            return Err(error);
        }
        self.router.forget(id);
        self.renamed.remove(&id);
        let Some(collection) = self.roster.get_mut(id) else { return Ok(()) };
        tracing::error!(
            task = %self.context.task.id, collection = collection.name, %id, error = ?error,
            "a collection is out of step; its task goes on"
        );
        let unsure = self.unsure;
        collection.out_of_step = Some(OutOfStep { reason: error.what, since: done, unsure });
        self.context.count(Noted::OutOfStep);
        if let Some(collection) = self.roster.get(id) {
            change.stop(collection, self.roster);
            self.tell(collection);
        }
        Ok(())
    }

    /// Looks at each collection that is out of step, and lets it join again if nothing is in the
    /// way. `done`: what else is done. Returns up to where its rows may be on the target already.
    pub(super) async fn join_again(
        &mut self,
        channels: &Channels,
        done: Timestamp,
        change: &mut ChannelChange,
    ) -> Result<Option<Timestamp>> {
        let out = self.roster.all().filter(|collection| !collection.is_in_step());
        let out: Vec<_> = out.map(|collection| collection.id).collect();
        let mut unsure = None;
        for id in out {
            let here = self.context.ports.catalog.collection(id).await?;
            let here = here.filter(|here| here.state == State::Created);
            let found = match &here {
                Some(here) => self.find_again(here, done).await,
                None => self.find_dropped(id, done).await,
            };
            match (found, here) {
                (Ok(()), here) => {
                    unsure = unsure.max(Some(self.join_found(id, channels, change)));
                    here.iter().for_each(|here| self.names().note(here));
                }
                (Err(error), Some(_)) if error.kind == Kind::OneCollection => {
                    self.router.forget(id);
                    self.keep_out(id, error.what, change);
                }
                (Err(error), None) if error.kind == Kind::OneCollection => {
                    self.end_out_of_step(id, change);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Ok(unsure.filter(|unsure| *unsure > Timestamp::ZERO))
    }

    /// Finds or creates on the target what a collection needs to be replicated again.
    async fn find_again(&mut self, here: &Collection, done: Timestamp) -> Result<()> {
        let id = here.id;
        let has_been_there = self.roster.get(id).is_some_and(|c| c.stage == Stage::Live);
        if has_been_there && self.is_there_again(id).await? {
            self.names().check_next(here, done).await?;
            return self.check_queue(id).await;
        }
        if has_been_there {
            self.begin_anew(here).await?;
        } else {
            self.take_name(here).await?;
        }
        self.names().make_room(here, done).await?;
        self.requests().is_there(here).await?;
        self.check_queue(id).await?;
        self.requests().create(here).await
    }

    /// Finds a collection that the source has dropped, if the queue still has the drop. Otherwise
    /// the target is asked for it, if it has that collection and no other.
    async fn find_dropped(&mut self, id: CollectionId, done: Timestamp) -> Result<()> {
        let has_been_there = self.roster.get(id).is_some_and(|c| c.stage == Stage::Live);
        if has_been_there && self.is_there_again(id).await? && self.check_queue(id).await.is_ok() {
            return Ok(());
        }
        let Some(collection) = self.roster.get(id).cloned() else { return Ok(()) };
        let name = collection.on_target(self.router.names());
        let there = self.context.ports.destination.describe(&collection, &name).await?;
        let is_it = |there: &TargetCollection| match collection.there {
            Some(known) => there.id.0 == known,
            None => there.created == collection.created,
        };
        if there.as_ref().is_some_and(is_it) {
            self.context.ask(&Ddl::DropCollection(name), done).await?;
        }
        Err(Error::of_one_collection("the source has dropped it"))
    }

    /// Whether the target has the collection that it had before. Fails if another one is in its
    /// place.
    async fn is_there_again(&mut self, id: CollectionId) -> Result<bool> {
        self.names().finish(id).await?;
        let is_there = if self.has_given_its_name_away(id) {
            false
        } else {
            self.refuse_another(id).await?;
            find_place(self.context, self.roster, self.router, id).await?
        };
        if is_there || self.names().follow_the_target(id).await? {
            self.partitions().learn(id).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The target may have another collection under the name of this one.
    pub(super) async fn refuse_another(&self, id: CollectionId) -> Result<()> {
        let Some(collection) = self.roster.get(id) else { return Ok(()) };
        let name = collection.on_target(self.router.names());
        let there = self.context.ports.destination.describe(collection, &name).await?;
        match there.filter(|there| !collection.may_be(there.id)) {
            None => Ok(()),
            Some(_) => Err(Error::of_one_collection(format!(
                "the target has another collection {name} than the one that this task has written \
                 to, which was dropped there and made again, or restored; drop or rename it there, \
                 and it is replicated anew from its first message if the queue still has that"
            ))),
        }
    }

    /// Whether another collection of the task has got the name that this one had on the target: the
    /// source calls this one otherwise by now.
    fn has_given_its_name_away(&mut self, id: CollectionId) -> bool {
        let Some(collection) = self.roster.get(id) else { return false };
        let name = collection.on_target(self.router.names());
        self.names().holder_of(id, &name).is_some()
    }

    /// The target has nothing of a collection any more: it is to be read from its first message.
    /// Stored before it is created there.
    async fn begin_anew(&mut self, here: &Collection) -> Result<()> {
        let start = ReplicatedCollection::starts_of(here);
        let anew = ReplicatedCollection::new(here, start, Stage::Awaited)?;
        let Some(before) = self.roster.get(here.id).cloned() else { return Ok(()) };
        self.check_starts(&anew.start).await?;
        let naming = Naming { parked: false, next: None, ..before.naming };
        let (target, out_of_step) = (before.target, before.out_of_step);
        // Its rows go to channels that had them before, for the collection that is gone: a consumer
        // that reads both must not take them for the same.
        let out_of_step = out_of_step.map(|it| OutOfStep { unsure: it.unsure.max(it.since), ..it });
        let anew = ReplicatedCollection { target, naming, out_of_step, ..anew };
        let task = &self.context.task.id;
        let mut stored = Transaction::default();
        anew.put(task, &mut stored);
        // The new one has none of the indexes and loads of the old one.
        stored.deletes.push(serving_key(task, here.id));
        self.roster.add(anew);
        self.context.records().commit(stored).await
    }

    /// Takes up the name that the source gives a collection now, if something else has the old one.
    /// Otherwise it keeps that: an earlier run may have created it so.
    async fn take_name(&mut self, here: &Collection) -> Result<()> {
        let Some(collection) = self.roster.get(here.id) else { return Ok(()) };
        let name = collection.on_target(self.router.names());
        let there = self.context.ports.destination.describe(collection, &name).await?;
        if there.is_some_and(|there| there.created != here.created) {
            let renamed = collection.renamed(&NextName::of(here));
            self.roster.add(renamed);
        }
        Ok(())
    }

    async fn check_queue(&self, id: CollectionId) -> Result<()> {
        match self.roster.get(id) {
            Some(collection) => self.check_starts(&collection.start).await,
            None => Ok(()),
        }
    }

    /// Fails if the queue no longer has what a collection needs.
    pub(super) async fn check_starts(&self, starts: &BTreeMap<String, Start>) -> Result<()> {
        for (channel, start) in starts {
            let first = async {
                let source = &self.context.ports.source;
                source.open(channel, &start.id).await?.next().await
            };
            match timeout(FIRST_WITHIN, first).await {
                Ok(Err(error)) if error.kind == Kind::Permanent => {
                    let what = format!(
                        "the queue no longer has all rows of it: {}. Create a task of its own for \
                         it, with a copy of what the source has now",
                        error.what
                    );
                    return Err(Error::of_one_collection(what).because(error));
                }
                Ok(Err(error)) => return Err(error),
                Ok(Ok(_)) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Returns up to where its rows may be on the target already.
    fn join_found(
        &mut self,
        id: CollectionId,
        channels: &Channels,
        change: &mut ChannelChange,
    ) -> Timestamp {
        mark_live(self.context, self.roster, self.router, id);
        let Some(mut collection) = self.roster.remove(id) else { return Timestamp::ZERO };
        let Some(out) = collection.out_of_step.take() else { return Timestamp::ZERO };
        tracing::info!(task = %self.context.task.id, collection = collection.name, %id,
            "a collection is in step again, and is read from where it stopped");
        self.tell_why(&collection, Some((out.since, RETURNS)));
        change.join(collection, self.roster, channels, &*self.context.ports.source);
        out.unsure
    }

    fn keep_out(&mut self, id: CollectionId, reason: String, change: &mut ChannelChange) {
        let Some(collection) = self.roster.get_mut(id) else { return };
        let Some(out) = &mut collection.out_of_step else { return };
        if out.reason == reason {
            return;
        }
        tracing::warn!(collection = collection.name, %id, reason, "a collection stays out of step");
        out.reason = reason;
        change.change(id);
        let collection = collection.clone();
        self.tell(&collection);
    }

    /// The source has dropped it. What the target has under its name is somebody else's.
    fn end_out_of_step(&mut self, id: CollectionId, change: &mut ChannelChange) {
        self.router.forget(id);
        let Some(mut gone) = self.roster.remove(id) else { return };
        tracing::info!(collection = gone.name, %id, "a collection that was out of step is gone");
        gone.out_of_step = None;
        self.tell(&gone);
        change.leave(&gone, self.roster);
    }

    /// Tells the observer that a collection has all that the others of the task have.
    pub(super) fn tell_returned(&self, id: CollectionId) {
        if let Some(collection) = self.roster.get(id).filter(|c| c.is_in_step()) {
            self.tell(collection);
        }
    }

    fn tell(&self, collection: &ReplicatedCollection) {
        let why = collection.out_of_step.as_ref().map(|out| (out.since, &*out.reason));
        self.tell_why(collection, why);
    }

    fn tell_why(&self, collection: &ReplicatedCollection, why: Option<(Timestamp, &str)>) {
        let name = format!("{}.{}", collection.database, collection.name);
        let collection_id = collection.id;
        self.context.ports.observer.event(Event::OutOfStep {
            collection_id,
            collection: &name,
            why,
        });
    }
}
