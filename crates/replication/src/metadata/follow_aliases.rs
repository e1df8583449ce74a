//! The aliases of a task's collections, which the target is given as the source has them. An alias has
//! one place, so those that look at one collection must not spoil what belongs to another: it is taken
//! only from where it is, and one that has moved is moved, whichever of the two is looked at first.
//! Never touches an alias on the target that the task has not given.

use crate::destination::Destination;
use crate::error::Result;
use crate::metadata::aliases::Aliases;
use crate::metadata::follower::Follower;
use crate::metadata::serving_state::Served;
use crate::ports::{Ddl, Store};
use crate::records::checkpoint::Covered;
use crate::records::codec::{decode, load_one};
use crate::records::keys::{collection_key, serving_key};
use crate::task::Task;
use milvus_wire::ids::CollectionId;

/// What has come of an alias that a collection was to be given.
enum Come {
    Given,
    /// The target has the name for a collection of the task, still.
    Waits,
    Refused,
}

impl Follower {
    /// Lets the target follow from `before` to `now`, and makes `now` what has come of it. Returns
    /// whether that is all.
    pub(crate) async fn follow_aliases(
        &self,
        covered: &Covered,
        before: &Aliases,
        now: &mut Aliases,
    ) -> Result<bool> {
        let new: Vec<_> = before.new_in(now).cloned().collect();
        let had = before.given.union(&before.giving);
        let lost: Vec<_> = had.filter(|alias| !now.given.contains(*alias)).cloned().collect();
        now.refused = before.refused.intersection(&now.given).cloned().collect();
        now.given.retain(|alias| !now.refused.contains(alias));
        let Destination::Milvus(link) = &self.ports.destination else { return Ok(true) };
        if new.is_empty() && lost.is_empty() {
            return Ok(true);
        }
        let (database, collection) = covered.on_target(&self.task.names);
        let Some(here) = link.target.describe(&database, &collection).await? else {
            // The rows have moved on; it is looked at again.
            now.clone_from(before);
            return Ok(false);
        };
        let mut is_all = true;
        for alias in new {
            let has = link.target.alias(&database, &alias).await?;
            let come = match has {
                Some(has) if has == here.id => Come::Given,
                _ => self.give(covered, &alias, has.is_some()).await?,
            };
            match come {
                Come::Given => continue,
                Come::Waits => is_all = false,
                Come::Refused => {
                    now.refused.insert(alias.clone());
                }
            }
            now.given.remove(&alias);
        }
        for alias in lost {
            if link.target.alias(&database, &alias).await? != Some(here.id) {
                continue;
            }
            let database = database.clone();
            match self.moved_to(covered, &alias).await? {
                // The other one may have had it before, and so have nothing to ask for.
                Some(other) if other.is_live() && other.naming.next.is_none() => {
                    let (_, collection) = other.on_target(&self.task.names);
                    self.ask(Ddl::GiveAlias { database, collection, alias }).await?;
                }
                Some(_) => {
                    now.given.insert(alias);
                    is_all = false;
                }
                None => {
                    self.ask(Ddl::DropAlias { database, alias }).await?;
                }
            }
        }
        Ok(is_all)
    }

    /// Gives an alias that the collection does not have on the target.
    async fn give(&self, covered: &Covered, alias: &str, another_has_it: bool) -> Result<Come> {
        let (database, collection) = covered.on_target(&self.task.names);
        if another_has_it && !self.was_given(covered.id, &database, alias).await? {
            self.refused("AlterAlias", alias, &"another collection has it, not from this task");
            return Ok(Come::Refused);
        }
        if !another_has_it && self.is_called(&database, alias).await? {
            // The source has renamed or dropped what the target calls so, which comes with the rows.
            return Ok(Come::Waits);
        }
        let given = self.ask(Ddl::GiveAlias { database, collection, alias: alias.to_owned() });
        Ok(if given.await? { Come::Given } else { Come::Refused })
    }

    /// Another collection of the task that has an alias on the source by now.
    async fn moved_to(&self, covered: &Covered, alias: &str) -> Result<Option<Covered>> {
        let aliases = self.ports.catalog.aliases().await?;
        let named = aliases.iter().filter(|a| a.name == alias && a.collection != covered.id);
        for other in named {
            let key = collection_key(&self.task.id, other.collection);
            let other: Option<Covered> = load_one(&*self.ports.store, &key).await?;
            let other = other.filter(|other| other.database == covered.database);
            if other.is_some() {
                return Ok(other);
            }
        }
        Ok(None)
    }

    /// Whether the task has given an alias to another collection on the target.
    async fn was_given(&self, id: CollectionId, database: &str, alias: &str) -> Result<bool> {
        let by = given_by(&*self.ports.store, &self.task, (database, alias)).await?;
        Ok(by.into_iter().any(|given| given != id))
    }

    /// Whether the target calls a collection of the task so.
    async fn is_called(&self, database: &str, name: &str) -> Result<bool> {
        let covered = covered(&*self.ports.store, &self.task).await?;
        let called = |c: &Covered| c.on_target(&self.task.names);
        Ok(covered.iter().any(|c| called(c) == (database.to_owned(), name.to_owned())))
    }
}

/// The collections to which the task may have given an alias on the target.
pub(crate) async fn given_by(
    store: &dyn Store,
    task: &Task,
    (database, alias): (&str, &str),
) -> Result<Vec<CollectionId>> {
    let mut given = Vec::new();
    for covered in covered(store, task).await? {
        let served: Option<Served> = load_one(store, &serving_key(&task.id, covered.id)).await?;
        let has = served.is_some_and(|served| served.aliases.may_have(alias));
        if has && covered.on_target(&task.names).0 == database {
            given.push(covered.id);
        }
    }
    Ok(given)
}

async fn covered(store: &dyn Store, task: &Task) -> Result<Vec<Covered>> {
    let stored = store.list(&format!("collection/{}/", task.id)).await?;
    stored.into_iter().map(|(key, stored)| decode(&key, &stored.value)).collect()
}
