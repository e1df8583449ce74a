//! The names of a task's collections. The source renames without a message in its log, so the
//! catalog says what a collection is called now. The target follows as soon as the name is free
//! there. Rows do not depend on it, because they are routed by id.
//!
//! The record contains the next name before the target is asked for it, and the new name
//! afterwards: so it says which name the target has, or which two it may have. A name is free when
//! no collection of the task has it, or will have it when the log announces its creation.
//! Collections that want each other's names, and a new collection whose name is not free yet, are
//! parked: the target calls them `milvus_cdc_<id>` for a while. Never drops a collection, and never
//! gives one name to two.

use crate::collections::place::{find_place, refuse_own};
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::metadata::follow_aliases::given_by;
use crate::ports::{Ddl, TargetCollection, Transaction};
use crate::records::checkpoint::{NextName, ReplicatedCollection};
use crate::rows::roster::Roster;
use crate::rows::route::Router;
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::timestamp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What renaming changes.
pub(super) struct Names<'a> {
    pub(super) context: &'a Context,
    pub(super) roster: &'a mut Roster,
    pub(super) router: &'a mut Router,
    /// What the source calls those that still have another name on the target.
    pub(super) renamed: &'a mut BTreeMap<CollectionId, NextName>,
}

impl Names<'_> {
    /// Notes what the source calls a collection now. A collection that is being dropped keeps the
    /// name that it has on the target.
    pub(super) fn note(&mut self, collection: &Collection) {
        let Some(known) = self.roster.get(collection.id).filter(|c| c.is_live()) else { return };
        // Its database may have been dropped since.
        let is_named = collection.state == State::Created && !collection.database.is_empty();
        let now = NextName::of(collection);
        if is_named && known.present_name() != now {
            self.renamed.insert(collection.id, now);
        } else {
            self.renamed.remove(&collection.id);
        }
    }

    /// Lets the target follow, as far as names are free. `done`: the rows are there. Returns a
    /// collection whose name the target has for something else, and that error.
    pub(super) async fn follow(
        &mut self,
        done: Timestamp,
    ) -> Result<Option<(CollectionId, Error)>> {
        while let Some((id, next)) = self.next() {
            match self.rename(id, next, done).await {
                Err(error) if error.kind == Kind::OneCollection => return Ok(Some((id, error))),
                renamed => renamed?,
            }
        }
        Ok(None)
    }

    fn next(&self) -> Option<(CollectionId, NextName)> {
        let free = self.renamed.iter().find(|(id, next)| self.in_the_way(**id, next).is_none());
        let free = free.map(|(id, next)| (*id, next.clone()));
        free.or_else(|| {
            let circle = self.renamed.iter().find(|(id, _)| self.is_in_circle(**id));
            circle.map(|(id, next)| (*id, NextName { parked: true, ..next.clone() }))
        })
    }

    /// Another collection of the task that the target has, and has under this name.
    pub(super) fn holder_of(
        &self,
        id: CollectionId,
        name: &CollectionName,
    ) -> Option<&ReplicatedCollection> {
        let names = self.router.names();
        self.roster.all().find(|c| c.id != id && c.is_live() && c.on_target(names) == *name)
    }

    /// Another collection of the task that has, or will have, the name that this one is to get.
    fn in_the_way(&self, id: CollectionId, next: &NextName) -> Option<&ReplicatedCollection> {
        let names = self.router.names();
        let name = self.roster.get(id)?.renamed(next).on_target(names);
        let others = self.roster.all().filter(|c| c.id != id && c.is_in_step());
        others.into_iter().find(|c| c.on_target(names) == name)
    }

    /// Whether the collections that stand in the way of each other lead back to this one.
    fn is_in_circle(&self, id: CollectionId) -> bool {
        let (mut at, mut met) = (id, BTreeSet::new());
        while met.insert(at) {
            let next = self.renamed.get(&at).and_then(|next| self.in_the_way(at, next));
            match next {
                Some(next) if next.id == id => return true,
                Some(next) => at = next.id,
                None => return false,
            }
        }
        false
    }

    /// Parks a new collection if the target still gives its name to another one. The other one was
    /// renamed or dropped; the source may write a drop to its log after the creation of the
    /// namesake (`garbage_collector.GcCollectionData`).
    pub(super) async fn make_room(&mut self, new: &Collection, done: Timestamp) -> Result<()> {
        let names = self.router.names();
        let Some(wanted) = self.roster.get(new.id).map(|new| new.on_target(names)) else {
            return Ok(());
        };
        let Some(old) = self.holder_of(new.id, &wanted).map(|old| old.id) else { return Ok(()) };
        if let Some(old) = self.context.ports.catalog.collection(old).await? {
            let both = [&old, new].map(|c| self.router.names().collection(&c.database, c.name()));
            if old.state == State::Created && both[0] == both[1] {
                return Err(Error::of_one_collection(format!(
                    "two collections of the source have the name {wanted} on the target; rename \
                     one of them, or change the task's name mapping"
                )));
            }
            self.note(&old);
            // If it can't go, the new one is parked; whoever follows names next hears of it.
            let _ = self.follow(done).await?;
        }
        if self.holder_of(new.id, &wanted).is_none() {
            return Ok(());
        }
        let mut stored = Transaction::default();
        if let Some(collection) = self.roster.get_mut(new.id) {
            collection.naming.parked = true;
            collection.put(&self.context.task.id, &mut stored);
        }
        self.context.records().commit(stored).await
    }

    async fn rename(&mut self, id: CollectionId, next: NextName, done: Timestamp) -> Result<()> {
        let names = self.router.names();
        let Some(collection) = self.roster.get(id) else {
            self.renamed.remove(&id);
            return Ok(());
        };
        let to = collection.renamed(&next).on_target(names);
        let asked = done.max(collection.naming.asked.plus_ms(1));
        if collection.on_target(names) != to {
            self.check_that_it_is_free(id, &to, done).await?;
        }
        let mut stored = Transaction::default();
        if let Some(collection) = self.roster.get_mut(id) {
            collection.naming.next = Some(next);
            collection.naming.asked = asked;
            collection.put(&self.context.task.id, &mut stored);
        }
        self.context.records().commit(stored).await?;
        self.finish(id).await
    }

    /// Asks for the name that is stored as next, perhaps by an earlier run, perhaps once more.
    pub(super) async fn finish(&mut self, id: CollectionId) -> Result<()> {
        let Some(collection) = self.roster.get(id) else { return Ok(()) };
        let Some(next) = &collection.naming.next else { return Ok(()) };
        let (names, at) = (self.router.names(), collection.naming.asked);
        let renamed = collection.renamed(next);
        let (from, to) = (collection.on_target(names), renamed.on_target(names));
        let held = self.context.ports.destination.holder_of(&from).await?;
        // An earlier run may have renamed it, and somebody else have taken its old name since.
        if from != to && held.is_none_or(|there| collection.may_be(there)) {
            if from.database != to.database {
                self.context.ask(&Ddl::CreateDatabase(to.database.clone()), at).await?;
            }
            let request = Ddl::RenameCollection { id, from, to: to.clone() };
            self.context.ask(&request, at).await?;
        }
        self.store_renamed(renamed, to).await
    }

    /// Takes up a collection that somebody has renamed on the target as the source has. Returns
    /// whether it is there.
    pub(super) async fn follow_the_target(&mut self, id: CollectionId) -> Result<bool> {
        let Some(collection) = self.roster.get(id).cloned() else { return Ok(false) };
        let now = self.context.ports.catalog.collection(id).await?;
        let Some(now) = now.filter(|now| now.state == State::Created) else { return Ok(false) };
        let renamed = collection.renamed(&NextName::of(&now));
        let to = renamed.on_target(self.router.names());
        let there = self.context.ports.destination.describe(&renamed, &to).await?;
        let is_it = |there: TargetCollection| match collection.there {
            Some(id) => there.id.0 == id,
            None => there.created == collection.created,
        };
        if !there.is_some_and(is_it) {
            return Ok(false);
        }
        self.store_renamed(renamed, to).await?;
        find_place(self.context, self.roster, self.router, id).await
    }

    /// The target has the new name.
    async fn store_renamed(
        &mut self,
        renamed: ReplicatedCollection,
        to: CollectionName,
    ) -> Result<()> {
        let id = renamed.id;
        let mut stored = Transaction::default();
        renamed.put(&self.context.task.id, &mut stored);
        if self.renamed.get(&id) == Some(&renamed.present_name()) {
            self.renamed.remove(&id);
        }
        self.roster.add(renamed);
        self.router.rename(id, to);
        self.context.records().commit(stored).await
    }

    /// Fails if the target has the name that the source gives a collection now for something else.
    pub(super) async fn check_next(&self, here: &Collection, done: Timestamp) -> Result<()> {
        let Some(known) = self.roster.get(here.id) else { return Ok(()) };
        let (names, next) = (self.router.names(), NextName::of(here));
        let to = known.renamed(&next).on_target(names);
        let is_ours = self.roster.all().any(|c| c.id != here.id && c.on_target(names) == to);
        if is_ours || known.on_target(names) == to {
            return Ok(());
        }
        self.check_that_it_is_free(here.id, &to, done).await
    }

    /// A name that the target has for something else is nothing that could be settled here.
    async fn check_that_it_is_free(
        &self,
        id: CollectionId,
        to: &CollectionName,
        done: Timestamp,
    ) -> Result<()> {
        let there = self.context.ports.destination.holder_of(to).await?;
        let is_other = |other| self.router.place(id).is_none_or(|place| place.id != other);
        if let Some(other) = there.filter(|there| is_other(*there)) {
            refuse_own(self.roster, to, other)?;
            return Err(Error::of_one_collection(format!(
                "the source renamed a collection to {to}, and the target has one of that name that \
                 is not from this task; drop or rename it there"
            )));
        }
        take_back_alias(self.context, to, done).await
    }
}

/// Takes the name that a collection is to get from an alias: the source has dropped that alias, and
/// the target may not have followed yet.
pub(super) async fn take_back_alias(
    context: &Context,
    name: &CollectionName,
    at: Timestamp,
) -> Result<()> {
    let Some(holder) = context.ports.destination.alias(name).await? else { return Ok(()) };
    if given_by(context, name, holder).await?.is_empty() {
        return Err(Error::of_one_collection(format!(
            "the source has a collection {name}, and the target has an alias of that name that is \
             not from this task; drop it there"
        )));
    }
    let (database, alias) = (name.database.clone(), name.name.clone());
    context.ask(&Ddl::DropAlias { database, alias }, at).await
}
