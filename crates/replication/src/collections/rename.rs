//! The names of a task's collections. The source renames without a word in its log, so the catalog says
//! what a collection is called by now, and the target follows as soon as the name is free there: rows do
//! not depend on it, they are routed by id.
//!
//! What the target is about to be asked is stored before, and what it has done after: the record says
//! which name the target has, or which two it may have. A name is free when no collection of the task has
//! it, or will have it when its creation is met in the log. Those that want each other's names, and a new
//! one whose name has not been given up yet, are parked: the target calls them `milvus_cdc_<id>` for a
//! while. Never drops a collection, and never gives one name to two.

use crate::collections::cover::Cover;
use crate::destination::Destination;
use crate::error::{Error, Result};
use crate::metadata::follow_aliases::given_by;
use crate::ports::{Ddl, Transaction};
use crate::records::checkpoint::{Called, Covered};
use milvus_wire::catalog::{Collection, State};
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use std::collections::BTreeSet;

impl Cover {
    /// Learns what the source calls a collection by now. One that is being dropped keeps the name that
    /// it has on the target.
    pub(crate) fn note_name(&mut self, collection: &Collection) {
        let Some(covered) = self.roster.get(collection.id).filter(|c| c.is_live()) else { return };
        // Its database may have been dropped since.
        let is_named = collection.state == State::Created && !collection.database.is_empty();
        let called = Called {
            database: collection.database.clone(),
            name: collection.name().to_owned(),
            parked: false,
        };
        if is_named && covered.called() != called {
            self.renamed.insert(collection.id, called);
        } else {
            self.renamed.remove(&collection.id);
        }
    }

    /// Lets the target follow, as far as names are free.
    pub(crate) async fn follow_names(&mut self) -> Result<()> {
        while let Some((id, called)) = self.next_name() {
            self.rename(id, called).await?;
        }
        Ok(())
    }

    fn next_name(&self) -> Option<(CollectionId, Called)> {
        let free = self.renamed.iter().find(|(id, called)| self.in_the_way(**id, called).is_none());
        let free = free.map(|(id, called)| (*id, called.clone()));
        free.or_else(|| {
            let circle = self.renamed.iter().find(|(id, _)| self.is_in_circle(**id));
            circle.map(|(id, called)| (*id, Called { parked: true, ..called.clone() }))
        })
    }

    /// Another collection of the task that the target has, and has under this name.
    pub(crate) fn has_name(&self, id: CollectionId, name: &(String, String)) -> Option<&Covered> {
        let names = self.router.names();
        self.roster.all().find(|c| c.id != id && c.is_live() && c.on_target(names) == *name)
    }

    /// Another collection of the task that has, or will have, the name that one is to get.
    fn in_the_way(&self, id: CollectionId, called: &Called) -> Option<&Covered> {
        let names = self.router.names();
        let name = self.roster.get(id)?.as_called(called).on_target(names);
        self.roster.all().find(|c| c.id != id && c.on_target(names) == name)
    }

    /// Whether those that stand in the way of each other lead back to this one.
    fn is_in_circle(&self, id: CollectionId) -> bool {
        let (mut at, mut met) = (id, BTreeSet::new());
        while met.insert(at) {
            let next = self.renamed.get(&at).and_then(|called| self.in_the_way(at, called));
            match next {
                Some(next) if next.id == id => return true,
                Some(next) => at = next.id,
                None => return false,
            }
        }
        false
    }

    /// A new collection whose name the target still gives to another one begins under a name of its
    /// own: the other one has been renamed, or dropped, and the source writes a drop to its log when it
    /// gets round to it, which may be after its namesake's creation
    /// (`garbage_collector.GcCollectionData`).
    pub(crate) async fn make_room(&mut self, new: &Collection) -> Result<()> {
        let names = self.router.names();
        let Some(wanted) = self.roster.get(new.id).map(|new| new.on_target(names)) else {
            return Ok(());
        };
        let Some(old) = self.has_name(new.id, &wanted).map(|old| old.id) else { return Ok(()) };
        if let Some(old) = self.ports.catalog.collection(old).await? {
            let both = [&old, new].map(|c| self.router.names().collection(&c.database, c.name()));
            if old.state == State::Created && both[0] == both[1] {
                return Err(Error::permanent(format!(
                    "two collections of the source have the name {}.{} on the target; change the \
                     task's name mapping",
                    wanted.0, wanted.1
                )));
            }
            self.note_name(&old);
            self.follow_names().await?;
        }
        if self.has_name(new.id, &wanted).is_none() {
            return Ok(());
        }
        let mut stored = Transaction::default();
        if let Some(covered) = self.roster.get_mut(new.id) {
            covered.naming.parked = true;
            covered.put(&self.task.id, &mut stored);
        }
        self.keep(stored).await
    }

    async fn rename(&mut self, id: CollectionId, called: Called) -> Result<()> {
        let names = self.router.names();
        let Some(covered) = self.roster.get(id) else {
            self.renamed.remove(&id);
            return Ok(());
        };
        let (from, to) = (covered.on_target(names), covered.as_called(&called).on_target(names));
        if from != to {
            self.make_sure_it_is_free(id, &to).await?;
        }
        let asked = self.channels.done().max(covered.naming.asked.plus_ms(1));
        let mut stored = Transaction::default();
        if let Some(covered) = self.roster.get_mut(id) {
            covered.naming.next = Some(called);
            covered.naming.asked = asked;
            covered.put(&self.task.id, &mut stored);
        }
        self.keep(stored).await?;
        self.finish_rename(id).await
    }

    /// Asks for what is stored as next, perhaps by an earlier life, perhaps once more.
    pub(crate) async fn finish_rename(&mut self, id: CollectionId) -> Result<()> {
        let Some(covered) = self.roster.get(id).cloned() else { return Ok(()) };
        let Some(called) = covered.naming.next.clone() else { return Ok(()) };
        let (names, at) = (self.router.names(), covered.naming.asked);
        let renamed = covered.as_called(&called);
        let ((database, name), to) = (covered.on_target(names), renamed.on_target(names));
        if (&database, &name) != (&to.0, &to.1) {
            if database != to.0 {
                self.apply(Ddl::CreateDatabase(to.0.clone()), at).await?;
            }
            let (to_database, to_name) = to.clone();
            self.apply(Ddl::RenameCollection { id, database, name, to_database, to_name }, at)
                .await?;
        }
        self.is_called(renamed, to).await
    }

    /// Somebody may have renamed a collection on the target as the source has; then that is where it is.
    pub(crate) async fn was_renamed_there(&mut self, id: CollectionId) -> Result<bool> {
        let Some(covered) = self.roster.get(id).cloned() else { return Ok(false) };
        let now = self.ports.catalog.collection(id).await?;
        let Some(now) = now.filter(|now| now.state == State::Created) else { return Ok(false) };
        let called =
            Called { database: now.database.clone(), name: now.name().to_owned(), parked: false };
        let renamed = covered.as_called(&called);
        let to = renamed.on_target(self.router.names());
        let there = self.ports.destination.describe(&renamed, (&to.0, &to.1)).await?;
        if there.is_none_or(|there| there.created != covered.created) {
            return Ok(false);
        }
        self.is_called(renamed, to).await?;
        self.find_place(id).await
    }

    /// The target calls a collection so from now on.
    async fn is_called(&mut self, renamed: Covered, to: (String, String)) -> Result<()> {
        let id = renamed.id;
        let mut stored = Transaction::default();
        renamed.put(&self.task.id, &mut stored);
        if self.renamed.get(&id) == Some(&renamed.called()) {
            self.renamed.remove(&id);
        }
        self.roster.add(renamed);
        self.router.rename(id, to);
        self.keep(stored).await
    }

    /// A name that the target has for something else is nothing that could be settled here.
    async fn make_sure_it_is_free(&self, id: CollectionId, to: &(String, String)) -> Result<()> {
        let Destination::Milvus(link) = &self.ports.destination else { return Ok(()) };
        let there = link.target.describe(&to.0, &to.1).await?;
        let is_other = |other| self.router.place(id).is_none_or(|place| place.id != other);
        if there.is_some_and(|there| is_other(there.id)) {
            let (database, name) = to;
            return Err(Error::permanent(format!(
                "the source renamed a collection to {database}.{name}, and the target has one of that \
                 name that is not from this task; drop or rename it there, then resume"
            )));
        }
        self.take_back_alias((&to.0, &to.1), self.channels.done()).await
    }

    /// Takes a name that a collection is to get from an alias: the source has dropped that, which the
    /// target may not have followed yet.
    pub(crate) async fn take_back_alias(
        &self,
        (database, name): (&str, &str),
        at: Timestamp,
    ) -> Result<()> {
        let Destination::Milvus(link) = &self.ports.destination else { return Ok(()) };
        if link.target.alias(database, name).await?.is_none() {
            return Ok(());
        }
        if given_by(&*self.ports.store, &self.task, (database, name)).await?.is_empty() {
            return Err(Error::permanent(format!(
                "the source has a collection {database}.{name}, and the target has an alias of that \
                 name that is not from this task; drop it there, then resume"
            )));
        }
        self.apply(Ddl::DropAlias { database: database.to_owned(), alias: name.to_owned() }, at)
            .await
    }
}

impl Covered {
    fn called(&self) -> Called {
        let (database, name) = (self.database.clone(), self.name.clone());
        Called { database, name, parked: self.naming.parked }
    }

    /// As it is once it is called so.
    fn as_called(&self, called: &Called) -> Self {
        let mut renamed = self.clone();
        renamed.database.clone_from(&called.database);
        renamed.name.clone_from(&called.name);
        renamed.naming.parked = called.parked;
        renamed.naming.next = None;
        renamed
    }
}
